"""Operations: functions from facts to changes. No I/O; a change is made by a hand, and nowhere else."""

from requorum.operations import (
    ansible,
    backup,
    certificates,
    etcd,
    fence,
    flannel,
    marking,
    masters,
    membership,
    probe,
    tools,
)

__all__ = [
    "ansible",
    "backup",
    "certificates",
    "etcd",
    "fence",
    "flannel",
    "marking",
    "masters",
    "membership",
    "probe",
    "tools",
]
