"""The same work on several hosts at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from lab.spec import Host

T = TypeVar("T")


def in_parallel(work: Callable[[Host], T], hosts: Iterable[Host]) -> list[T]:
    """Do `work` on all hosts at once, in the order given; the first error is raised after all have ended."""
    wanted = list(hosts)
    with ThreadPoolExecutor(max_workers=max(1, len(wanted))) as pool:
        return list(pool.map(work, wanted))
