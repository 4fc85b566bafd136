"""Requorum brings an etcd cluster back from lost quorum, and proves it."""

__version__ = "0.1.0"
