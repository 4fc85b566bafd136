"""The restart of flanneld, made under bash: not into nothing, and its note goes only after the proof."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
from builders import name
from local_shell import LocalShell, Said, stand_in

from requorum.changes import ChangeFailed, RestartFlannel
from requorum.facts import flanneld_conf

CONF = flanneld_conf.parse(f"""\
FLANNEL_ETCD_ENDPOINTS=https://{name(1)}:2379,https://{name(0)}:2379
FLANNEL_ETCD_PREFIX=/net
FLANNEL_OPTIONS=--etcd-cafile=/ca
""")
assert CONF is not None
CHANGE = RestartFlannel(name(0), CONF, patience=1)


@dataclass
class Elsewhere(LocalShell):
    """What lies in /var/lib/requorum and in /run/flannel on a host lies in a folder of the test's own."""

    folder: Path = Path()

    def run(self, script: str, *, seconds: float, change: bool = False) -> Said:
        moved = script.replace("/var/lib/requorum", str(self.folder)).replace("/run/flannel", str(self.folder))
        return super().run(moved, seconds=seconds, change=change)


@pytest.fixture
def host(tmp_path: Path) -> Elsewhere:
    """A host whose flanneld is restarted by writing another process number; the first endpoint does not answer."""
    tools, pid, folder = tmp_path / "tools", tmp_path / "pid", tmp_path / "notes"
    folder.mkdir()
    pid.write_text("100")
    show = f"printf 'ActiveState=active\\nMainPID=%s\\nExecMainStartTimestampMonotonic=5\\n' $(cat {pid})"
    stand_in(tools, "systemctl", f"case $1 in show) {show};; restart) echo 200 > {pid};; esac")
    stand_in(tools, "journalctl", "echo flanneld said this")
    (tmp_path / "keys").write_text("config subnets/10.1.5.0-24")
    curl = f"""case "$*" in *{name(1)}*) echo 'curl: (7) refused' >&2; exit 7;; esac
url=https://{name(0)}:2379/v2/keys/net
for key in $(cat {tmp_path}/keys); do
  [ "$*" != "-sS --max-time 5 --cacert /ca $url/$key?quorum=true" ] || {{ echo '{{"action":"get"}}'; exit; }}
done
cat {tmp_path}/otherwise"""
    (tmp_path / "otherwise").write_text('{"errorCode":100}')
    stand_in(tools, "curl", curl)
    (folder / "subnet.env").write_text("FLANNEL_NETWORK=10.1.0.0/16\nFLANNEL_SUBNET=10.1.5.1/24\n")
    (folder / "restart-flanneld").write_text("")
    return Elsewhere(stands_in=tools, folder=folder)


def test_a_restart_is_proven_before_its_note_goes(host: Elsewhere) -> None:
    assert CHANGE.do(host)
    assert not (host.folder / "restart-flanneld").exists()
    assert not CHANGE.do(host)


@pytest.mark.parametrize(
    ("otherwise", "says"), [("404 page not found", "404 page not found"), ('{"errorCode":100}', '"errorCode":100')]
)
def test_it_is_not_restarted_into_nothing(host: Elsewhere, tmp_path: Path, otherwise: str, says: str) -> None:
    """Without its network it would not come back, and docker would go with it."""
    (tmp_path / "keys").write_text("")
    (tmp_path / "otherwise").write_text(otherwise)
    with pytest.raises(ChangeFailed, match=r"v2 API, /net/config.*refused.*not restarted\n.*ENABLE_V2") as failed:
        CHANGE.do(host)
    assert says in str(failed.value)
    assert (tmp_path / "pid").read_text() == "100"
    assert (host.folder / "restart-flanneld").exists()


def test_a_process_that_stays_is_no_restart(host: Elsewhere) -> None:
    assert host.stands_in is not None
    systemctl = host.stands_in / "systemctl"
    systemctl.write_text(systemctl.read_text().replace("restart)", "never)"))
    with pytest.raises(ChangeFailed, match=r"before .*MainPID=100 .*, now .*MainPID=100 (.|\n)*said this"):
        CHANGE.do(host)
    assert (host.folder / "restart-flanneld").exists()


@pytest.mark.parametrize("missing", ["keys", "subnet.env"])
def test_a_lease_that_is_not_there_is_no_proof(host: Elsewhere, tmp_path: Path, missing: str) -> None:
    if missing == "keys":
        (tmp_path / "keys").write_text("config")
    else:
        (host.folder / "subnet.env").write_text("")
    with pytest.raises(
        ChangeFailed, match=r"the lease of this host in etcd \(/net/subnets/10.1.5.0-24|another process"
    ):
        CHANGE.do(host)
    assert (host.folder / "restart-flanneld").exists()
