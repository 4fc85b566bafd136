"""Operations: functions from facts to changes. No I/O; a change is made by a hand, and nowhere else."""

from requorum.operations import ansible, backup, etcd, fence, marking, masters, membership, probe, tools

__all__ = ["ansible", "backup", "etcd", "fence", "marking", "masters", "membership", "probe", "tools"]
