"""Walking through a bbolt file: in rounds of byte ranges where it is far away, item by item where it is at hand."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from mmap import mmap
from typing import TypeAlias

from requorum.facts.bolt_pages import Bucket, Item, Meta, Page, newest_meta, page
from requorum.facts.data_error import DataError

Range: TypeAlias = tuple[int, int]
"""Offset and length, in bytes."""
Image: TypeAlias = bytes | mmap
"""A whole file."""

READ_AHEAD = 16 << 10
"""So many bytes are asked for where a page begins: most overflow pages come with it, and no round is lost."""


class Reader:
    """One state of a file that is read in rounds. Each round reads the meta pages again, last, to see it unchanged."""

    def __init__(self, head: bytes) -> None:
        self.meta: Meta = newest_meta(head)
        self._chunks = [(0, head)]

    def items(
        self, buckets: dict[bytes, Bucket], last_of: bytes | None = None
    ) -> Generator[list[Range], list[bytes], dict[bytes, list[Item]]]:
        """All items of these buckets, level by level; of the bucket `last_of` only the last one, without its value."""
        found: dict[bytes, list[Item]] = {name: [] for name in buckets}
        level = [(name, one.inline) for name, one in buckets.items() if one.inline]
        wanted = [(name, one.root) for name, one in buckets.items() if not one.inline]
        seen: set[int] = set()
        while level or wanted:
            level += yield from self._pages(wanted, seen, last_of)
            wanted = []
            for name, one in level:
                if not one.is_leaf:
                    wanted += [(name, child) for child in one.children()[-1 if name == last_of else 0 :]]
                elif name != last_of:
                    found[name] += one.items()
                elif one.count:
                    found[name] = [(0, (yield from self._last_key(one)), b"")]
            level = []
        return found

    def _pages(
        self, wanted: list[tuple[bytes, int]], seen: set[int], last_of: bytes | None
    ) -> Generator[list[Range], list[bytes], list[tuple[bytes, Page]]]:
        """These pages, each with its overflow pages; of a leaf of `last_of` only where its items lie."""
        size = self.meta.page_size
        for _, number in wanted:
            check_page(self.meta, number, seen)
        begins = yield from self._read([(number * size, max(READ_AHEAD, size)) for _, number in wanted])
        ranges: list[Range] = []
        for (name, number), data in zip(wanted, begins, strict=True):
            one = page(data, number)
            check_overflow(self.meta, one)
            partly = name == last_of and one.is_leaf
            ranges.append((number * size, one.table if partly else (one.overflow + 1) * size))
        wholes = yield from self._read(ranges)
        return [(name, page(data, number)) for (name, number), data in zip(wanted, wholes, strict=True)]

    def _last_key(self, leaf: Page) -> Generator[list[Range], list[bytes], bytes]:
        at, length = leaf.last_key()
        if leaf.id == 0:  # inside its bucket's value, and whole
            return leaf.data[at : at + length]
        if at + length > (leaf.overflow + 1) * self.meta.page_size:
            raise DataError(f"expected the last key of page {leaf.id} inside it, found it at byte {at}")
        [key] = yield from self._read([(leaf.id * self.meta.page_size + at, length)])
        return key

    def _read(self, ranges: list[Range]) -> Generator[list[Range], list[bytes], list[bytes]]:
        """The bytes of these ranges, fewer at the file's end; what is at hand is not asked for again."""
        missing = [one for one in ranges if self._at_hand(*one) is None]
        fetched: dict[Range, bytes] = {}
        if missing:
            *found, head = yield [*missing, (0, self.meta.both)]
            if newest_meta(head) != self.meta:
                raise DataError("the database was changed while it was read: etcd is writing to it; read it again")
            fetched = dict(zip(missing, found, strict=True))
            self._chunks += [(at, data) for (at, _), data in fetched.items()]
        return [fetched[one] if one in fetched else self._at_hand(*one) or b"" for one in ranges]

    def _at_hand(self, at: int, length: int) -> bytes | None:
        for start, data in self._chunks:
            if start <= at and at + length <= start + len(data):
                return data[at - start : at - start + length]
        return None


def scan(image: Image, meta: Meta, one: Bucket) -> Iterator[Item]:
    """The items of a bucket in the order of their keys, from a whole file."""
    seen: set[int] = set()
    size = meta.page_size
    ahead = [] if one.inline else [one.root]  # the next page is the last of these
    if one.inline:
        yield from one.inline.items()
    while ahead:
        number = ahead.pop()
        check_page(meta, number, seen)
        found = page(image[number * size : (number + 1) * size], number)
        check_overflow(meta, found)
        if found.overflow:
            found = page(image[number * size : (number + 1 + found.overflow) * size], number)
        if found.is_leaf:
            yield from found.items()
        else:
            ahead += reversed(found.children())


def check_page(meta: Meta, number: int, seen: set[int]) -> None:
    """Raise DataError for a reference that no tree of pages has; remember it in `seen`."""
    if not 1 < number < meta.pages:
        raise DataError(f"expected a page from 2 to {meta.pages - 1} in the database, found page {number}")
    if number in seen:
        raise DataError(f"expected one reference to page {number} of the database, found a second one")
    seen.add(number)


def check_overflow(meta: Meta, one: Page) -> None:
    """Raise DataError for a page that goes on behind the database's last page."""
    if one.id + one.overflow >= meta.pages:
        raise DataError(f"expected page {one.id} to end by page {meta.pages - 1}, found {one.overflow} overflow pages")
