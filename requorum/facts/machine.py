"""The machine under a member: who we are there, its clock, room, ports and tools."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, replace

from requorum.facts.process import LIVES
from requorum.facts.runtime import ETCD, LOG, NO_TOOLS, TOOL
from requorum.facts.shell import CONF, NEEDED

CLIENT_PORT = 2379
PEER_PORT = 2380


COMMITTED = "committed"
"""Beside a segment that was kept before its log was committed: inode and time of the one that took its place."""

PORTS_COMMAND = r"""
cat /proc/net/tcp /proc/net/tcp6 2>/dev/null |
  awk '$4=="0A" {n=split($2,a,":"); if (!seen[a[n]]++) printf "%s ", a[n]}'
"""


def parse_ports(output: str) -> frozenset[int]:
    """The ports that somebody listens on, from hexadecimal. Raises ValueError for anything else."""
    return frozenset(int(port, 16) for port in output.split())


_VERSIONS = (
    r"""
etcd= client= from= etcdctl=$(tool etcdctl)
binary=$(etcd_binary "$shown") && etcd=$(etcd_version "$binary")
if [ -z "$etcd" ] && of_image "$shown"; then  # no container runs at this moment: its log tells
  etcd=$(etcd_log 20000 | sed -nE 's/.*("etcd-version":"|etcd Version: )([0-9][0-9A-Za-z.+~-]*).*/\2/p' | tail -n 1)
"""
    # The host's own may be another one: it tells only where it has to do.
    + f"""  [ -n "$etcd" ] || [ ! -e {NO_TOOLS} ] || {{ etcd=$(etcd_version "$(type -P etcd)"); from=${{etcd:+host}}; }}
"""
    + r"""fi
[ -z "$etcdctl" ] || client=$(ETCDCTL_API=3 "$etcdctl" version 2>/dev/null)
[[ $client == *'etcdctl version: '* ]] || client=
client=${client#*'etcdctl version: '}; client=${client%%$'\n'*}
if [ -z "$client$from" ] && [ ! -e "$etcdctl" ] && [ ! -e "$binary" ] && of_image "$shown"; then
  client=$etcd  # one image has both, and a container that starts again and again is gone when its etcdctl is asked
fi
printf '%s\n' "etcd=$etcd" "etcd_from=$from" "etcdctl=$client"
"""
)

VERSIONS_COMMAND = (
    "#: the versions of etcd and etcdctl\n"
    + LOG
    + TOOL
    + ETCD
    + "find_runtime\nshown=$'\\n'$(systemctl show \"$unit\" -p ExecStart)\n"
    + _VERSIONS
)
"""What `parse_versions` reads."""


def release_of(version: str) -> tuple[int, ...]:
    """Major and minor number of a version; empty where it is not known."""
    return tuple(int(part) for part in version.split(".")[:2] if part.isdigit())


def command(backup_directory: str, *, versions: bool = True) -> str:
    """The command that `parse` reads; `backup_directory` is looked at for room, or its nearest parent that is there.

    `versions`: ask the binaries too, which costs most and does not change while a recovery runs.
    """
    return (
        "#: the machine: room, folders, ports, clock, tools\n"
        + CONF
        + NEEDED
        + LOG
        + TOOL
        + ETCD
        + LIVES
        + (
            f"find_runtime\nbackup={shlex.quote(backup_directory)}\n"
            + r"""
data=$(conf ETCD_DATA_DIR); root=${data:+/}; data=${data%/}
wal=$(conf ETCD_WAL_DIR); wal=${wal%/}; wal=${wal:-$data/member/wal}
# What can be done without another process is done without: a busy host has little to spare for a look.
nearest() {  # the folder itself, or its nearest parent that is there
  near=$1
  while [ ! -d "$near" ]; do
    case $near in */*) near=${near%/*}; near=${near:-/};; *) near=.;; esac
  done
}
writable() { nearest "$1"; [ -w "$near" ] && { [ -d "$1" ] || ! { [ -e "$1" ] || [ -L "$1" ]; }; }; }
unmounted() {  # the mount points at or above a folder that systemd knows (fstab, .mount units) and that are not mounted
  local at places=() units
  at=$(readlink -m "$1")
  while [ "${#at}" -gt 1 ]; do places+=("$at"); at=${at%/*}; done
  [ "${#places[@]}" -gt 0 ] && units=$(systemd-escape -p --suffix=mount "${places[@]}") || return 0
  systemctl show $units -p Where -p LoadState -p ActiveState | awk -F= '
    function tell() {if (load=="loaded" && active!="active" && active!="reloading") printf "%s//", where; load=""}
    $1=="Where" {where=$2}  $1=="LoadState" {load=$2}  $1=="ActiveState" {active=$2}  NF==0 {tell()}  END {tell()}'
}
free() {
  local bytes=
  nearest "$2"
  { read -r _; read -r _ _ _ bytes _; } < <(df -P -B1 "$near")
  echo "$1=$bytes"
}
machine= boot= name=
{ read -r machine < /etc/machine-id; read -r boot < /proc/sys/kernel/random/boot_id
  read -r name < /proc/sys/kernel/hostname; } 2>/dev/null
echo "uid=$EUID"
echo "hostname=$name"
echo "machine=$machine"
echo "boot=$boot"
echo "clock=$(date +%s.%N)"
shown=$'\n'$(systemctl show "$unit" -p ExecStart -p User -p LoadState)
user=
[[ $shown != *$'\n'User=* ]] || { user=${shown#*$'\n'User=}; user=${user%%$'\n'*}; }
"""
            # An etcd that comes and goes has its ports for itself: whoever listens is another one where none lives before
            # and after.
            + f"ports=\netcd_lives || ports=$({PORTS_COMMAND.strip()})\netcd_lives && ports=\n"
            + 'echo "ports=$ports"\n'
            + (_VERSIONS if versions else "")
            + r"""
free data_free "${data:-/var/lib/etcd}"
needed= wal_needed= used=0
[ -z "${data:-$root}" ] || needed=$(needed_in "${data:-$root}")
[[ $wal/ == "$data"/* ]] || wal_needed=$(needed_in "$wal" ${data:+"$data"})
echo "data_needed=${needed//$'\n'///}"
echo "wal_needed=${wal_needed//$'\n'///}"
[ -n "$needed$wal_needed" ] || while read -r size _; do used=$((used + size)); done \
  < <(du -s -B1 --exclude='openshift-backup*' "$data" "$wal" 2>/dev/null)
echo "data_used=$used"
[ -d "${data:-$root}" ] && echo data_there=yes || echo data_there=
shopt -s nullglob dotglob
entries= aside= wal_entries= segments=("$wal"/*wal)
[ -z "$data" ] || for path in "$data"/*; do entries+=${path##*/}/; done
[ -z "$data" ] || for path in "$data"/openshift-backup-requorum-*/{,log/}[0-9]*; do
  path=${path#"$data"/openshift-backup-requorum-}; aside+=${path%/*}//
done
[[ $wal/ == "$data"/* ]] || for path in "$wal"/*; do wal_entries+=${path##*/}/; done
shopt -u nullglob dotglob
echo "data_entries=$entries"
echo "wal_entries=$wal_entries"
echo "data_aside=$aside"
echo "data_wal=${#segments[@]}"
# A unit that is masked, or not there, says nothing of its user: whose the data should be is not known.
# What a cut-off change of ours left beside the log (requorum.tmp) is no file of etcd's.
foreign() { find "$@" ! -name requorum.tmp \( $whose ! -perm -u=rw \) -print -quit 2>/dev/null; }
whose="! -user ${user:-root} -o"; [[ $shown == *$'\n'LoadState=loaded* ]] || whose=
at=$(foreign "$data" -maxdepth 0)
echo "data_foreign=${at:-$(foreign "$data/member" "$wal")}"
free backup_free "$backup"
at= inside=
[ -z "$data" ] || { read -r at; while read -r folder; do [[ $at/ != "$folder"/* ]] || inside=$folder; done; } \
  < <(readlink -m -- "$backup" "$wal" "$data" /etc/etcd)
echo "backup_inside=$inside"
error=
while read -r line; do
  [[ -z $line || $line == *'No such file or directory'* ]] || { error=$line; break; }
done < <(ls -A "$data/" "$wal/" 2>&1 > /dev/null)
echo "data_error=$error"
echo "unmounted=$(unmounted "$data"; [ "$wal" = "$data/member/wal" ] || unmounted "$wal")"
unwritable= of_pods=
[ $kind = static-pod ] && of_pods=/etc/origin/node
for place in /etc/etcd $of_pods /etc/systemd/system /run /var/lib "${data:-/var/lib/etcd}" "$wal" "$backup"; do
  # A folder of the data is not named beside the data; it has to be looked at, since `member` may be a link to elsewhere.
  writable "$place" || [[ -n $data && $place == "$data"/* && //$unwritable == *"//$data//"* ]] || unwritable+=$place//
done
echo "unwritable=$unwritable"
kept_log= ran_logs= first=
for kept in "$data"/openshift-backup-requorum-*/wal/*.wal.*[0-9]; do
  [ -f "$kept" ] || continue
  segment=$wal/${kept##*/}; segment=${segment%.*}; recovery=${kept#"$data"/openshift-backup-requorum-}
  now=$(stat -c '%i %y' "$segment" 2>/dev/null)
  if [ -n "$now" ] && [ "$now" = "$(cat "${kept%/*}/committed" 2>/dev/null)" ]; then
    # Where two records were appended, the shorter original is the one without either.
    [ "${first:-${kept##*.}}" -lt "${kept##*.}" ] || { kept_log=$kept; first=${kept##*.}; }
  elif ! [ "$kept" -ef "$segment" ]; then ran_logs+="${recovery%%/*} "
  fi
done
echo "kept_log=$kept_log"
echo "ran_logs=$ran_logs"
for tool in unshare setpriv ip; do command -v $tool > /dev/null || missing="$missing $tool"; done
echo "missing=$missing"
"""
        )
    )


@dataclass(frozen=True, slots=True)
class Machine:
    """One host; sizes in bytes, `clock` in seconds since 1970, `ports` those somebody listens on while no etcd lives.

    `unwritable` are directories that a recovery writes to and cannot: read-only, or no directory. `unmounted` are mount
    points at or above the data directory where nothing is mounted now: what lies there is not the member's data.
    `data_error`: why the data directory cannot be listed, though it may be there. `missing` are commands of util-linux
    and iproute2 that are not there. `kept_log` is a segment as it was before a recovery first committed the log, where
    etcd has not run since; `ran_logs`: the recoveries after whose record it has.
    `data_foreign`: a path in the data directory that etcd's user does not own, or may not read and write; else empty.
    `backup_inside`: the folder of etcd's, links followed, in which the directory for backups lies; else empty.
    `data_needed`: folders of the system that the data directory is, or holds, links followed; `data_used` is 0 then.
    `data_aside`: the recoveries that have moved what was in it aside, where that lies there still; `…/log`: in a directory of
    the log's own.
    `etcd_of_host`: its version is that of the host's own etcd, since the one of the image could not be had.
    `wal_needed`, `wal_entries`: the same, and the names in it, of a directory of the log outside of the data directory.
    """

    uid: int
    hostname: str
    machine_id: str
    boot_id: str
    clock: float
    ports: frozenset[int]
    etcd_version: str
    etcdctl_version: str
    data_free: int
    data_used: int
    data_there: bool
    data_entries: tuple[str, ...]
    data_has_wal: bool
    backup_free: int
    unwritable: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    kept_log: str = ""
    ran_logs: tuple[str, ...] = ()
    unmounted: tuple[str, ...] = ()
    data_error: str = ""
    data_foreign: str = ""
    backup_inside: str = ""
    data_needed: tuple[str, ...] = ()
    wal_needed: tuple[str, ...] = ()
    wal_entries: tuple[str, ...] = ()
    data_aside: frozenset[str] = frozenset()
    etcd_of_host: bool = False

    @property
    def data_hidden(self) -> str:
        """Why the member's data may be there and cannot be seen; empty where it can, or is gone."""
        if self.unmounted:
            return f"no file system is mounted at {', '.join(self.unmounted)}, and one should be: `mount {self.unmounted[0]}`"
        return self.data_error

    @property
    def identity(self) -> tuple[str, str]:
        """Which machine it is: a clone may have the machine-id, and containers of one kernel the boot ID, but not both."""
        return self.machine_id, self.boot_id


def _split(text: str, by: str) -> tuple[str, ...]:
    return tuple(part for part in text.split(by) if part)


def parse(output: str, known: Machine | None = None) -> Machine:
    """The machine from the output of `command`; versions that were not asked for are those that are known.

    Raises ValueError where a value is missing or no number.
    """
    values = dict(line.partition("=")[::2] for line in output.splitlines() if "=" in line)
    if known is not None:
        tools = {"etcd": known.etcd_version, "etcdctl": known.etcdctl_version}
        tools["etcd_from"] = "host" if known.etcd_of_host else ""
        values = tools | values
    try:
        return Machine(
            uid=int(values["uid"]),
            hostname=values["hostname"],
            machine_id=values["machine"],
            boot_id=values["boot"],
            clock=float(values["clock"]),
            ports=parse_ports(values["ports"]),
            etcd_version=values["etcd"],
            etcdctl_version=values["etcdctl"],
            data_free=int(values["data_free"]),
            data_used=int(values["data_used"] or 0),
            data_there=values["data_there"] == "yes",
            data_entries=_split(values["data_entries"], "/"),
            data_has_wal=int(values["data_wal"] or 0) > 0,
            backup_free=int(values["backup_free"]),
            unwritable=_split(values["unwritable"], "//"),
            kept_log=values.get("kept_log", ""),
            ran_logs=tuple(values.get("ran_logs", "").split()),
            missing=tuple(values.get("missing", "").split()),
            data_error=values["data_error"],
            unmounted=_split(values["unmounted"], "//"),
            data_foreign=values["data_foreign"],
            backup_inside=values.get("backup_inside", ""),
            data_needed=_split(values.get("data_needed", ""), "//"),
            wal_needed=_split(values.get("wal_needed", ""), "//"),
            wal_entries=_split(values.get("wal_entries", ""), "/"),
            data_aside=frozenset(_split(values.get("data_aside", ""), "//")),
            etcd_of_host=values.get("etcd_from") == "host",
        )
    except (KeyError, ValueError) as error:
        raise ValueError(f"expected the facts of a machine, found {output[:300]!r} ({error!r})") from None


def parse_versions(output: str, known: Machine) -> Machine:
    """The machine as known, with the versions from the output of VERSIONS_COMMAND. Raises ValueError for anything else."""
    values = dict(line.partition("=")[::2] for line in output.splitlines() if "=" in line)
    try:
        of_host = values.get("etcd_from") == "host"
        return replace(known, etcd_version=values["etcd"], etcdctl_version=values["etcdctl"], etcd_of_host=of_host)
    except KeyError as error:
        raise ValueError(f"expected the versions of etcd and etcdctl, found {output[:300]!r} ({error!r})") from None
