"""The same work on several hosts at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

One = TypeVar("One")
T = TypeVar("T")


def in_parallel(work: Callable[[One], T], each: Iterable[One]) -> list[T]:
    """Do `work` on all (hosts, clients) at once, in the order given; the first error is raised after all have ended."""
    wanted = list(each)
    with ThreadPoolExecutor(max_workers=max(1, len(wanted))) as pool:
        return list(pool.map(work, wanted))
