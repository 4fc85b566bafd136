"""etcd and etcdctl of a container's image, kept on its host while no container runs."""

from __future__ import annotations

from dataclasses import dataclass

from requorum.changes.change import Change, quote
from requorum.facts.host import HostFacts
from requorum.facts.runtime import FOLDERS, MANIFEST, NO_TOOLS, OF_IMAGE, TOOL, TOOLS

_NAMES = ("etcd", "etcdctl")
MEET_SECONDS = 60
"""How long a container is waited for that cannot be started: one that crashes is started again after 10 s, then 20 s."""


@dataclass(frozen=True)
class KeepTools(Change):
    """Have etcd and etcdctl of an image on its host: from the living container, else by docker.

    A stopped member's copy is read with them, and what its log holds is tried on a copy. Of a host without data they tell
    the version: of a fenced pod neither container nor log is left (the kubelet removes them a minute after the end).
    Those that the host has itself, for its etcdctl, may be of another version; they do where the image's cannot be had,
    and the trial asks for the version.
    """

    image: str

    def shown(self) -> str:
        image = quote(self.image) if self.image else "the image"
        return f"copy etcd and etcdctl out of {image} to {TOOLS}; the host's own do only where those cannot be had"

    def test(self) -> str:
        kept = " && ".join(f"[ -x {TOOLS}/{name} ]" for name in _NAMES)
        return f"""{{ {kept} && [ "$(cat {OF_IMAGE} 2>/dev/null)" = {quote(self.image)} ]; }} ||
  [ "$(cat {NO_TOOLS} 2>/dev/null)" = $$ ]  # a later run tries again"""

    def act(self) -> str:
        names = " ".join(_NAMES)
        run = (  # a daemon that hangs must not take the time of the host's own
            f"timeout -k 5 240 docker run --rm --user=0 --net=host -v {TOOLS}:{TOOLS}:z --entrypoint=/bin/sh "
            + quote(self.image)
        )
        inside = f"""for name in {names}; do
  from=; for folder in {FOLDERS}; do [ -n "$from" ] || [ ! -x /$folder/$name ] || from=/$folder/$name; done
  cp -L "$from" {TOOLS}/$name.part || exit 1
done"""
        return f"""{TOOL}
mkdir -p -m 0755 {TOOLS} && rm -f {OF_IMAGE} {NO_TOOLS} || return 1
copied() {{  # from beside the living etcd
  local name from
  for name in {names}; do
    from=$(beside_etcd $name apart) && [ -s "$from" ] && cp -L "$from" {TOOLS}/$name.part || return 1
  done
}}
met() {{  # the same, of a container that crashes, and comes and goes, where there is no docker that could run the image
  local end=$((SECONDS + {MEET_SECONDS}))
  ! type -P docker > /dev/null && [ -f {MANIFEST} ] || return 1
  until copied; do [ $SECONDS -lt $end ] || return 1; sleep 0.2; done
}}
instead() {{  # `$1`: why; the host's own
  rm -rf {TOOLS}
  type -P etcd > /dev/null && type -P etcdctl > /dev/null && mkdir -p -m 0755 {TOOLS} && echo $$ > {NO_TOOLS} && return
  echo "$1" >&2; return 1
}}
copied || met || {run} -c {quote(inside)} >&2 || {{
  instead "expected etcd and etcdctl beside a living etcd, in the image "{quote(self.image)}", or on the host; found neither"
  return; }}
for name in {names}; do
  chmod 0755 {TOOLS}/$name.part && sync {TOOLS}/$name.part && mv -fT {TOOLS}/$name.part {TOOLS}/$name || return 1
done
said=$({TOOLS}/etcd --version 2>&1 && ETCDCTL_API=3 {TOOLS}/etcdctl version 2>&1) || {{
  instead "etcd and etcdctl of the image do not run on this host: $said"; return; }}
echo {quote(self.image)} > {OF_IMAGE}.part && sync {OF_IMAGE}.part && mv -fT {OF_IMAGE}.part {OF_IMAGE}"""

    @property
    def seconds(self) -> float:
        """The image may have to be pulled: a rebuilt host has none."""
        return 300

    def after(self, facts: HostFacts) -> HostFacts:
        return facts


@dataclass(frozen=True)
class RemoveTools(Change):
    """Remove what `KeepTools` has kept."""

    def shown(self) -> str:
        return f"rm -r {TOOLS}"

    def test(self) -> str:
        return f"[ ! -e {TOOLS} ]"

    def act(self) -> str:
        return f'rm -rf --one-file-system {TOOLS} && {{ rmdir "$(dirname {TOOLS})" 2>/dev/null; return 0; }}'

    def after(self, facts: HostFacts) -> HostFacts:
        return facts
