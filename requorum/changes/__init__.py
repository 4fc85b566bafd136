"""The kinds of change. The only things that are ever done to a host."""

from requorum.changes.aside import MoveAside, MoveBack
from requorum.changes.backup import CopyTree, FetchTree, SaveSnapshot
from requorum.changes.certificates import (
    ForgetCertificates,
    MakeRequest,
    PlaceCertificates,
    SignRequest,
    TakeCertificatesBack,
)
from requorum.changes.change import Change, ChangeFailed, ClientChange, Shell
from requorum.changes.files import EditFile, RemoveFile, RemoveUnfinished, WriteFile
from requorum.changes.flannel import RestartFlannel
from requorum.changes.force import SetForce
from requorum.changes.here import CopyHere, EditHere
from requorum.changes.log import Append, KeepTail, ProveOnCopy
from requorum.changes.masters import KeepFound, RestartMaster
from requorum.changes.membership import AddMember, PromoteMember, RemoveMember, UpdatePeerUrls
from requorum.changes.oc import SaveSnapshotByOc
from requorum.changes.pod import AwaitPod, EditManifest, KeepManifest, ParkManifest, StartPod
from requorum.changes.service import DisableEtcd, EnableEtcd, ReloadUnits, RunEtcd, StartEtcd, StopEtcd
from requorum.changes.together import Together
from requorum.changes.tools import KeepTools, RemoveTools
from requorum.changes.undo import PutLogBack, RestoreFile
from requorum.changes.v2 import BackUpV2

__all__ = [
    "AddMember",
    "Append",
    "AwaitPod",
    "BackUpV2",
    "Change",
    "ChangeFailed",
    "ClientChange",
    "CopyHere",
    "CopyTree",
    "DisableEtcd",
    "EditFile",
    "EditHere",
    "EditManifest",
    "EnableEtcd",
    "FetchTree",
    "ForgetCertificates",
    "KeepFound",
    "KeepManifest",
    "KeepTail",
    "KeepTools",
    "MakeRequest",
    "MoveAside",
    "MoveBack",
    "ParkManifest",
    "PlaceCertificates",
    "PromoteMember",
    "ProveOnCopy",
    "PutLogBack",
    "ReloadUnits",
    "RemoveFile",
    "RemoveMember",
    "RemoveTools",
    "RemoveUnfinished",
    "RestartFlannel",
    "RestartMaster",
    "RestoreFile",
    "RunEtcd",
    "SaveSnapshot",
    "SaveSnapshotByOc",
    "SetForce",
    "Shell",
    "SignRequest",
    "StartEtcd",
    "StartPod",
    "StopEtcd",
    "TakeCertificatesBack",
    "Together",
    "UpdatePeerUrls",
    "WriteFile",
]
