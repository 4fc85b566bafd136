"""Pages of a bbolt file, the B+ tree database under etcd's v3 store (bbolt: page.go, meta.go, bucket.go).

Numbers are in the byte order of the machine that wrote them; etcd runs on little-endian machines only.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TypeAlias

from requorum.facts.data_error import DataError

MAGIC, VERSION = 0xED0CDAED, 2
BRANCH, LEAF, META = 0x01, 0x02, 0x04
BUCKET = 0x01
"""A leaf item with this flag holds another bucket."""

Item: TypeAlias = tuple[int, bytes, bytes]
"""Flags, key and value in a leaf page."""

HEADER = struct.Struct("<QHHI")  # id, flags, count, overflow
_META = struct.Struct("<IIIIQQQQQQ")
"""Magic, version, page size, flags, root page, sequence, freelist, pages, transaction, checksum."""
_LEAF_ITEM = struct.Struct("<IIII")  # flags, position (from this item), key size, value size
_BRANCH_ITEM = struct.Struct("<IIQ")  # position, key size, page
PAGE_SIZES = tuple(1 << power for power in range(9, 17))
HEAD = PAGE_SIZES[-1] + HEADER.size + _META.size
"""So many bytes from the start hold both meta pages, whatever the page size."""


@dataclass(frozen=True, slots=True)
class Meta:
    """The state that the file is in: bbolt commits by writing one of two meta pages, in turn."""

    page_size: int
    root: int
    pages: int
    txid: int

    @property
    def both(self) -> int:
        """So many bytes from the start hold both meta pages of this file."""
        return self.page_size + HEADER.size + _META.size


def newest_meta(head: bytes) -> Meta:
    """The valid meta page with the highest transaction, as bbolt opens the file (db.go, `meta`).

    Arguments: the first `HEAD` bytes of the file (all of a smaller one), or `Meta.both` where that is known.
    Raises DataError if neither page is valid.
    """
    found = [meta for at in (0, *PAGE_SIZES) if (meta := _meta(head, at))]
    if not found:
        raise DataError(f"expected a bbolt meta page, found none with its checksum in the first {len(head)} bytes")
    return max(found, key=lambda meta: meta.txid)


def _meta(head: bytes, at: int) -> Meta | None:
    if len(head) < at + HEADER.size + _META.size or not HEADER.unpack_from(head, at)[1] & META:
        return None
    at += HEADER.size
    magic, version, page_size, _, root, _, _, pages, txid, checksum = _META.unpack_from(head, at)
    if magic != MAGIC or version != VERSION or page_size not in PAGE_SIZES or at - HEADER.size not in (0, page_size):
        return None
    return Meta(page_size, root, pages, txid) if _fnv64a(head[at : at + _META.size - 8]) == checksum else None


def _fnv64a(data: bytes) -> int:
    value = 0xCBF29CE484222325
    for byte in data:
        value = (value ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return value


@dataclass(frozen=True, slots=True)
class Page:
    """A page with its overflow pages, or as much of it as is at hand."""

    id: int
    is_leaf: bool
    count: int
    overflow: int
    data: bytes

    def children(self) -> list[int]:
        """The pages below a branch page."""
        return [page for _, _, page in self._items(_BRANCH_ITEM)]

    def items(self) -> list[Item]:
        """Flags, key and value of each item of a leaf page."""
        data, at = self.data, HEADER.size
        found: list[Item] = []
        for flags, position, key_size, value_size in self._items(_LEAF_ITEM):
            start = at + position
            middle = start + key_size
            end = middle + value_size
            if end > len(data):
                raise DataError(f"expected an item up to byte {end} of page {self.id}, found {len(data)} bytes")
            found.append((flags, data[start:middle], data[middle:end]))
            at += _LEAF_ITEM.size
        return found

    @property
    def table(self) -> int:
        """How many bytes from a leaf page's start tell where its items lie."""
        return HEADER.size + self.count * _LEAF_ITEM.size

    def last_key(self) -> tuple[int, int]:
        """Where in a leaf page the key of its last item lies, and its length in bytes."""
        _, position, key_size, _ = self._items(_LEAF_ITEM)[-1]
        return self.table - _LEAF_ITEM.size + position, key_size

    def _items(self, layout: struct.Struct) -> list[tuple[int, ...]]:
        end = HEADER.size + self.count * layout.size
        if end > len(self.data):
            raise DataError(f"expected {self.count} items in page {self.id}, found only {len(self.data)} bytes")
        return list(layout.iter_unpack(self.data[HEADER.size : end]))


def page(data: bytes, number: int) -> Page:
    """The branch or leaf page in these bytes. Raises DataError if it is another one.

    Arguments: the page's bytes, from its start; its number (0 for a page inside a bucket's value).
    """
    if len(data) < HEADER.size:
        raise DataError(f"expected page {number}, found the end of the file")
    found, flags, count, overflow = HEADER.unpack_from(data)
    if found != number or flags not in (BRANCH, LEAF):
        raise DataError(f"expected page {number} to be a branch or a leaf, found page {found} with flags {flags:#x}")
    return Page(number, flags == LEAF, count, overflow, data)


@dataclass(frozen=True, slots=True)
class Bucket:
    """A bucket's root page: a page of the file, or, for a small one, a page inside the bucket's own value."""

    root: int
    inline: Page | None


def bucket(name: bytes, value: bytes) -> Bucket:
    """The bucket in a leaf item's value. Raises DataError if it is too short."""
    if len(value) < 16:
        raise DataError(f"expected a bucket of at least 16 bytes at {name!r}, found {len(value)}")
    (root,) = struct.unpack_from("<Q", value)
    inline = None if root else page(value[16:], 0)
    if inline and not inline.is_leaf:
        raise DataError(f"expected a leaf inside the bucket {name!r}, found a branch")
    return Bucket(root, inline)
