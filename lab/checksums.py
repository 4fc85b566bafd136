"""What is on the hosts, as text that can be compared: the proof that nothing was changed.

For each host: mode, owner and SHA-256 of every file under /etc, /root, /home, /backup, /var/lib/requorum, of etcd's
unit files and of units made at run time, of what Requorum forces with; the names in /var/lib; the boot id; process number
and start time of sshd.

Left out: the line of the last run's lock, which a reboot takes away and which stops nobody once that run has ended. And,
because it changes by itself: what is in `member/` of the data directory while an etcd lives on the host (in its unit,
or outside of it) or is being restarted (its log grows with every election), and the process number of an etcd whose unit is
not `active`. What stands for them: the process of an active etcd, and the revision of its store; of one that has data
and listens, and waits for a quorum before it becomes active (deaf), the invocation of its unit, and how often systemd has
restarted it: every 90 seconds it does so by itself, and counts it; a stop and a start by anybody else is not counted, and
so is seen. Nothing stands for the process of a member without data that fails and is started again; it is given 20 seconds to
come to an end of that. Units of containers, and the process of an etcd in one that is not healthy: the node service and
docker's unit start it again.
"""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from lab import runtimes
from lab.errors import LabError
from lab.parallel import in_parallel
from lab.spec import Host

if TYPE_CHECKING:
    from lab.cluster import Lab

PLACES = (
    "/etc",
    "/root",
    "/home",
    "/backup",
    "/var/lib/requorum",
    "/usr/lib/systemd/system/etcd.service",
    "/usr/lib/systemd/system/etcd.service.d",
    "/run/systemd/system",
    "/run/systemd/transient",
    "/run/requorum-force.env",
    "/run/requorum-force",
)

DEAF = "etcd that waits for a quorum"

# An emptied member fails some five times within two seconds of its boot, until systemd gives up: let that end.
_LOOK_AT_SERVICE = r"""
for _ in {{1..100}}; do
    read -r active sub job < <(systemctl show --property=ActiveState,SubState,Job --value etcd | xargs)
    case $active/$sub/$job in
        active/*|failed/*|inactive/dead/) break ;;
        # An emptied one listens as well before it fails, but has no write-ahead log.
        activating/start/*)
            compgen -G {data}/member/wal/*.wal && [ -n "$(ss -Hltn 'sport = :2379')" ] && deaf=yes && break ;;
    esac
    sleep 0.2
done > /dev/null
"""

_SCRIPT = r"""
export LC_ALL=C
{look}
places=({places})
case $active$(pgrep -x etcd) in inactive|failed) live=(); places+=({data}) ;; *) live=({data}/member) ;; esac
found=()
for place in "${{places[@]}}"; do [ -e "$place" ] && found+=("$place"); done
# What was moved aside in a live data directory counts; the member's own files do not.
[ ${{#live[@]}} -gt 0 ] && [ -d {data} ] && found+=({data})
skip=(\( -path "${{live[0]:-/nothing}}" -o -name 'docker-*.service' \) -prune)
find "${{found[@]}}" -xdev "${{skip[@]}}" -o -printf '%p\t%y %m %u:%g %l\n' | sort -u
find /var/lib -mindepth 1 -maxdepth 1 -printf '%p\t%y %m %u:%g %l\n'
find "${{found[@]}}" -xdev "${{skip[@]}}" -o -type f -print0 | sort -zu | xargs -0r sha256sum |
    while read -r sum path; do printf '%s\tsha256 %s\n' "$path" "$sum"; done
start() {{ printf '%s\t%s %s\n' "$1" "$2" "$(cut -d')' -f2- "/proc/$2/stat" | cut -d' ' -f21)"; }}
printf 'boot\t%s\n' "$(cat /proc/sys/kernel/random/boot_id)"
printf 'etcd enabled\t%s\n' "$(systemctl is-enabled etcd)"
start 'process sshd' "$(systemctl show --property=MainPID --value ssh)"
[ "$active" != active ] || start 'process etcd' "$({pid})"
[ -z "${{deaf-}}" ] || printf '{waits}\t%s\n' "$(systemctl show --property=InvocationID,NRestarts etcd | sort | xargs)"
"""


def of_host(lab: Lab, host: Host) -> dict[str, str]:
    """Everything comparable about one host; `{"power": "off"}` if it has none."""
    if not lab.is_on(host):
        return {"power": "off"}
    data = shlex.quote(lab.record.spec.data_dir.rstrip("/"))
    if lab.runtime == runtimes.SERVICE:
        look, pid = _LOOK_AT_SERVICE.format(data=data), "systemctl show --property=MainPID --value etcd"
    else:
        look, pid = f"read -r active _ < <({lab.runtime.state})", "pidof etcd"
    script = _SCRIPT.format(look=look, pid=pid, places=shlex.join(PLACES), data=data, waits=DEAF)
    printed = lab.run(host, script).stdout
    result = {"power": "on"}
    for line in printed.splitlines():
        name, _, value = line.partition("\t")
        result[name] = f"{result[name]} {value}" if name in result and value.startswith("sha256 ") else value
    if lab.runtime != runtimes.SERVICE and not lab.healthy(host):
        result.pop("process etcd", None)
    if "process etcd" in result:
        client = lab.client(host, timeout=1)
        try:
            result["etcd revision"] = str(client.revision())
        except LabError as error:
            result["etcd revision"] = f"no answer: {error}"
        finally:
            client.close()
    return result


def of_lab(lab: Lab) -> dict[str, dict[str, str]]:
    """Host name → everything comparable about it."""
    answers = in_parallel(lambda host: of_host(lab, host), lab.machines)
    return {host.name: answer for host, answer in zip(lab.machines, answers, strict=True)}


def changes(before: dict[str, dict[str, str]], after: dict[str, dict[str, str]]) -> list[str]:
    """What differs between two answers of `of_lab`, in words; empty if nothing was changed."""
    found = []
    for host in sorted(before.keys() | after.keys()):
        old, new = before.get(host, {}), after.get(host, {})
        for name in sorted(old.keys() | new.keys()):
            if old.get(name) != new.get(name) and not (name == DEAF and _by_systemd(old.get(name), new.get(name))):
                found.append(f"{host}: {name}: {old.get(name, 'absent')} → {new.get(name, 'absent')}")
    return found


def _by_systemd(old: str | None, new: str | None) -> bool:
    """Whether it is systemd that has restarted a deaf etcd, whose time to start was up: that is counted, and nothing else."""
    counts = [int(one.rpartition("NRestarts=")[2]) for one in (old, new) if one is not None]
    return len(counts) == 2 and counts[0] < counts[1]
