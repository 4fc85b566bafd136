"""A scratch etcd: started, forced, on a copy of a member's data, out of everybody's reach; asked one thing, and removed.

It runs in a network namespace of its own, with nothing but its loopback: a forced etcd adds its old peers before it drops
them, and would talk to them. It runs as the data's owner, in a folder outside of the data directory, under a name of its
own, so that nobody takes it for the member; it is stopped, and the folder removed, whatever happens, and what a killed
run left is found by that folder.
"""

from __future__ import annotations

from requorum.changes.change import quote
from requorum.facts.runtime import ETCD, FIND

SECONDS = 60
"""How long a scratch etcd may live."""

NAME = "requorum-try"
"""What the scratch etcd is called: nobody who looks for a process `etcd` finds it."""

ENDED = "the scratch etcd ended:"
"""What is said first where it did not live until it had answered."""

STOP = """
stop() {  # every process that works in the folder, and no other
  local path place pid end=$((SECONDS + 10)) found=yes
  while [ -n "$found" ]; do
    found=
    while read -r path place; do
      case $place in "$scratch"|"$scratch (deleted)") ;; *) continue;; esac
      pid=${path#/proc/}; pid=${pid%/cwd}
      [ "$pid" != $$ ] && [ "$pid" != "$BASHPID" ] || continue
      found=yes; kill -9 "$pid" 2>/dev/null
    done < <(find /proc/[0-9]*/cwd -maxdepth 0 -printf '%p %l\\n' 2>/dev/null)
    [ $SECONDS -lt $end ] || { echo "a process in $scratch does not end" >&2; return 1; }
    [ -z "$found" ] || sleep 0.01
  done
}
clean() {
  [ -e "$scratch" ] || return 0
  cd / && stop && rm -rf --one-file-system -- "$scratch"
}
"""

SAME = (
    FIND
    + ETCD
    + """
same_etcd() {  # the path of the etcd that the start path runs, whose version the survey found to be `$1`
  local path first own= version found=
  first=$(etcd_binary)
  # Where the image's cannot be had, or does not run here, the host's own does as well if it is of that version.
  case $first in ''|*/proc/*) own=$(type -P etcd);; esac
  for path in "$first" "$own"; do
    [ -n "$path" ] || continue
    version=$(etcd_version "$path")
    [ "$version" != "$1" ] || { echo "$path"; return; }
    [[ $found == *"$path,"* ]] || found+="${found:+ and }$path, version ${version:-unknown}"
  done
  found=${found:-none}
  echo "expected etcd $1 to try the copy with, as the survey found it to be started here; found $found: another one proves" \
    "nothing. Run the same command again: it surveys anew, and keeps etcd of an image where docker runs" >&2
  return 1
}
"""
)
"""Shell: `same_etcd VERSION`; after `TOOL`."""

INSIDE = f"""
inside() {{  # in the network namespace
  local etcd said
  ip link set lo up || {{ echo "its loopback does not come up" >&2; return 1; }}
  # Of util-linux 2.23 (RHEL 7) unshare leaves the mounts shared: the next one would stay on the host.
  mount --make-rprivate / || {{ echo "its mounts cannot be kept from the host's: is / a mount point here?" >&2; return 1; }}
  # etcd 3.5 looks for its folder from / on, and its user may not pass the backup's directory. That may lie below /mnt, and
  # has no path from here on.
  cd "$scratch" && mount --bind "$scratch" /mnt || {{ echo "its folder cannot be mounted" >&2; return 1; }}
  (exec setpriv --reuid "$uid" --regid "$gid" --clear-groups env -i PATH="$PATH" \
    ${{ETCD_UNSUPPORTED_ARCH:+ETCD_UNSUPPORTED_ARCH="$ETCD_UNSUPPORTED_ARCH"}} timeout -k 1 "$limit" ./{NAME} \
    --name scratch --data-dir /mnt/data --force-new-cluster --heartbeat-interval 10 --election-timeout 50 \
    --listen-client-urls http://127.0.0.1:2379 --advertise-client-urls http://127.0.0.1:2379 \
    --listen-peer-urls http://127.0.0.1:2380 --initial-advertise-peer-urls http://127.0.0.1:2380 \
    --initial-cluster scratch=http://127.0.0.1:2380 $flags) > log 2>&1 &
  etcd=$!
  until (exec 3<>/dev/tcp/127.0.0.1/2379) 2>/dev/null; do
    kill -0 $etcd 2>/dev/null || break
    sleep 0.01
  done
  ask > answer 2> said &
  said=$!
  while kill -0 $said 2>/dev/null && kill -0 $etcd 2>/dev/null; do sleep 0.01; done
  kill -0 $etcd 2>/dev/null || {{
    {{ kill -9 $said; wait $said; }} 2>/dev/null
    echo "{ENDED}" >&2
    grep -E -m 5 'panic:|fatal|C \\|' log >&2 || tail -n 5 log >&2
    return 1
  }}
  wait $said || {{ echo "the scratch etcd does not answer: $(cat said)" >&2; return 1; }}
  cd / && stop
}}
"""
"""Shell: in the folder `scratch` with `data` in it, `inside` starts etcd as `uid` and `gid`, with `flags` more, and writes
what the function `ask` prints to `answer`. It lives `limit` seconds at most."""

ENDPOINT = "http://127.0.0.1:2379"


def prepare(scratch: str, owner: str, version: str) -> str:
    """Shell: the folder, empty, and what has it removed; `etcd` and `etcdctl` are set, by `SAME` and the function `tool`.

    `scratch`, `owner`: words; the data is run as who owns `owner`. `version`: of the etcd that is to be started with it.
    """
    return f"""export scratch={scratch} limit={SECONDS}
clean || return 1  # of what a killed run may have left
uid=$(stat -c %u {owner}) && gid=$(stat -c %g {owner}) || return 1
etcd=$(same_etcd {quote(version)}) || return 1
etcdctl=$(tool etcdctl) || {{ echo "expected etcdctl on this host; found none" >&2; return 1; }}
export uid gid etcd etcdctl
trap clean EXIT
trap 'exit 1' HUP INT TERM
mkdir -p "$(dirname "$scratch")" && mkdir -m 0700 "$scratch" && mkdir -p "$scratch"/data/member/{{snap,wal}} || return 1"""


def copy(snap: str, wal: str) -> str:
    """Shell: what etcd reads of a member's data goes into the folder. `snap`, `wal`: words, the two directories."""
    return f"""cd {snap} && find . -maxdepth 1 -type f \\( -name db -o -name '*.snap' -o -name '*.snap.db' \\) \
  -print0 | xargs -0 -r cp -a --sparse=always -t "$scratch/data/member/snap" || return 1
cd {wal} && find . -maxdepth 1 -type f -name '*.wal' -print0 |
  xargs -0 -r cp -a --sparse=always -t "$scratch/data/member/wal" || return 1
cd / || return 1"""


def answer(flags: str = "") -> str:
    """Shell: start etcd on the copy, and leave its answer in `$scratch/answer`; the function `ask` is to be there."""
    return f"""export flags={flags!r}
case $etcd in  # the data's owner passes no root of another's process, and that may end
  /proc/*) cp -L "$etcd" "$scratch/{NAME}" || return 1;;
  *) ln -s "$etcd" "$scratch/{NAME}" || return 1;;
esac
chown -R "$uid:$gid" "$scratch" && chmod -R u+rwX,go= "$scratch/data" || return 1
unshare --net --mount -- bash -c "$(declare -f stop inside ask); inside" >&2 || return 1"""
