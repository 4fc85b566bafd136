"""Where the scratch etcd runs, with a stand-in for etcd: what real ones do there is in tests/tail."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from local_shell import stand_in

from requorum.changes import scratch

ETCD = """exec python3 -c '
import os, socket, sys
os.listdir(sys.argv[sys.argv.index("--data-dir") + 1] + "/member/snap")
server = socket.create_server(("127.0.0.1", 2379))
while True: server.accept()[0].close()
' "$@"
"""
VERSION = '[ "$1" != --version ] || exec echo "etcd Version: 3.4.23"'
SCRIPT = """
mount --make-rshared / && mount -t tmpfs tmpfs /mnt
mkdir -p /mnt/data/member/{{snap,wal}} && echo db > /mnt/data/member/snap/db
tool() {{ type -P "$1"; }}
ask() {{ cat /mnt/data/member/snap/db; }}
{same}
{stop}
{inside}
act() {{
{prepare}
{copy}
{answer}
cat "$scratch/answer"
}}
(act); code=$?
grep -c ' /mnt ' /proc/self/mountinfo
ls -A {scratch} 2>/dev/null
exit $code
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: the scratch etcd gets namespaces of its own")
@pytest.mark.parametrize("place", ["/mnt/backup/etcd-scratch-r1", "/mnt/etcd-scratch-r1"])
def test_a_backup_directory_below_mnt_on_a_host_that_shares_its_mounts(tmp_path: Path, place: str) -> None:
    """As systemd has them: unshare of util-linux 2.23, in RHEL 7, leaves them so, and a mount in there is one on the host."""
    tools = stand_in(tmp_path / "bin", "etcd", f"{VERSION}\n{ETCD}")
    stand_in(tools, "systemctl", "")
    stand_in(tools, "etcdctl", "")
    stand_in(tools, "unshare", 'exec /usr/bin/unshare --propagation unchanged "$@"')
    data = "/mnt/data"
    script = SCRIPT.format(
        same=scratch.SAME, stop=scratch.STOP, inside=scratch.INSIDE, prepare=scratch.prepare(place, data, "3.4.23"),
        copy=scratch.copy(f"{data}/member/snap", f"{data}/member/wal"), answer=scratch.answer(), scratch=place,
    )  # fmt: skip
    said = subprocess.run(
        ["/usr/bin/unshare", "--mount", "bash", "-c", script],
        capture_output=True, text=True, check=False, timeout=60, env={"PATH": f"{tools}:/usr/sbin:/usr/bin:/sbin:/bin"},
    )  # fmt: skip
    assert (said.returncode, said.stdout) == (0, "db\n1\n"), said.stderr
