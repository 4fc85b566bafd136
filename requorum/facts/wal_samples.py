"""Samples of a log's entries, kept small: a log of a gigabyte has some twenty million entries."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterator, MutableMapping


class Samples(MutableMapping[int, tuple[int, int]]):
    """Term and checksum by index, as a dict has them, in twenty bytes each; sorted by the index."""

    def __init__(self) -> None:
        self._indexes, self._terms, self._sums = array("Q"), array("Q"), array("I")

    def __setitem__(self, index: int, sample: tuple[int, int]) -> None:
        place = bisect_left(self._indexes, index) if self._indexes and index <= self._indexes[-1] else len(self)
        if place == len(self) or self._indexes[place] != index:
            for column in (self._indexes, self._terms, self._sums):
                column.insert(place, 0)
        self._indexes[place], (self._terms[place], self._sums[place]) = index, sample

    def __getitem__(self, index: int) -> tuple[int, int]:
        place = self._place(index)
        return self._terms[place], self._sums[place]

    def __delitem__(self, index: int) -> None:
        place = self._place(index)
        for column in (self._indexes, self._terms, self._sums):
            del column[place]

    def __iter__(self) -> Iterator[int]:
        return iter(self._indexes)

    def __len__(self) -> int:
        return len(self._indexes)

    def __repr__(self) -> str:
        return f"Samples({len(self)} entries)"

    def _place(self, index: int) -> int:
        """Where an index stands. Raises KeyError where it does not."""
        place = bisect_left(self._indexes, index)
        if place == len(self) or self._indexes[place] != index:
            raise KeyError(index)
        return place
