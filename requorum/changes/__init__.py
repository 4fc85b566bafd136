"""The kinds of change. The only things that are ever done to a host."""

from requorum.changes.backup import CopyTree, FetchTree, SaveSnapshot
from requorum.changes.change import Change, ChangeFailed, Shell
from requorum.changes.files import MoveAside, MoveBack, RemoveFile, RestoreFile, WriteFile
from requorum.changes.log import RaiseCommit
from requorum.changes.membership import AddMember, PromoteMember, RemoveMember, UpdatePeerUrls
from requorum.changes.service import EnableEtcd, ReloadUnits, RunEtcd, StartEtcd, StopEtcd

__all__ = [
    "AddMember",
    "Change",
    "ChangeFailed",
    "CopyTree",
    "EnableEtcd",
    "FetchTree",
    "MoveAside",
    "MoveBack",
    "PromoteMember",
    "RaiseCommit",
    "ReloadUnits",
    "RemoveFile",
    "RemoveMember",
    "RestoreFile",
    "RunEtcd",
    "SaveSnapshot",
    "Shell",
    "StartEtcd",
    "StopEtcd",
    "UpdatePeerUrls",
    "WriteFile",
]
