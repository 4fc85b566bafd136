"""etcd and etcdctl of a container's image, kept on its host while no container runs."""

from __future__ import annotations

from dataclasses import dataclass

from requorum.changes.change import Change, quote
from requorum.facts.host import HostFacts
from requorum.facts.runtime import FOLDERS, TOOL, TOOLS

_NAMES = ("etcd", "etcdctl")


@dataclass(frozen=True)
class KeepTools(Change):
    """Have etcd and etcdctl on a host that has them only in an image: from the living container, else by docker.

    A stopped member's copy is read with them, and what its log holds is tried on a copy. Nothing where the host has both.
    """

    image: str

    def shown(self) -> str:
        image = quote(self.image) if self.image else "the image"
        return f"copy etcd and etcdctl out of {image} to {TOOLS}, where the host has none"

    def test(self) -> str:
        return "\n".join(
            [
                f'there() {{ type -P "$1" > /dev/null || [ -x {TOOLS}/"$1" ]; }}',
                " && ".join(f"there {name}" for name in _NAMES),
            ]
        )

    def act(self) -> str:
        names = " ".join(_NAMES)
        run = f"docker run --rm --net=host -v {TOOLS}:{TOOLS}:z --entrypoint=/bin/sh {quote(self.image)}"
        inside = f"""for name in {names}; do
  from=; for folder in {FOLDERS}; do [ -n "$from" ] || [ ! -x /$folder/$name ] || from=/$folder/$name; done
  cp -L "$from" {TOOLS}/$name.part || exit 1
done"""
        return f"""{TOOL}
mkdir -p -m 0755 {TOOLS} || return 1
copied() {{  # from beside the living etcd
  local name from
  for name in {names}; do
    from=$(tool $name) && [ -s "$from" ] && cp -L "$from" {TOOLS}/$name.part || return 1
  done
}}
copied || {run} -c {quote(inside)} >&2 || {{ rm -f {TOOLS}/*.part
  echo "expected etcd and etcdctl on the host, beside a living etcd, or in the image "{quote(self.image)}"; found neither" >&2
  return 1; }}
for name in {names}; do
  chmod 0755 {TOOLS}/$name.part && sync {TOOLS}/$name.part && mv -fT {TOOLS}/$name.part {TOOLS}/$name || return 1
done
said=$({TOOLS}/etcd --version 2>&1 && ETCDCTL_API=3 {TOOLS}/etcdctl version 2>&1) || {{
  echo "etcd and etcdctl of the image do not run on this host: $said" >&2; rm -rf {TOOLS}; return 1; }}"""

    @property
    def seconds(self) -> float:
        """The image may have to be unpacked."""
        return 120

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
