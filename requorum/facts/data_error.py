"""The one error of the parsers of a member's data."""

from __future__ import annotations


class DataError(ValueError):
    """A member's data is not what etcd writes: the message says where, what was expected, and what was found."""
