"""Operations: functions from facts to changes. No I/O; a change is made by a hand, and nowhere else."""

from requorum.operations import backup, etcd, fence, marking, membership

__all__ = ["backup", "etcd", "fence", "marking", "membership"]
