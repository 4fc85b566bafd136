"""What a host of OpenShift 3.11 has (RHEL 7: bash 4.2, systemd 219, util-linux 2.23, iproute 3.10) and newer ones do not show."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from local_shell import stand_in

from requorum.changes import RestartMaster

ROOT = Path(__file__).parents[2] / "requorum"
UNKNOWN = {
    # bash 4.2 leaves a mark in the pattern where such a value is empty, so that it matches nothing (seen with 4.2.45)
    r'\[\[[^]]* (==|!=|=) [^ ]*"\$\{\w+[%#]': "a value cut to size within a pattern of [[ ]]: name it first",
    # and keeps these backslashes between double quotes
    r"\$\{\w+//[^}]*\\/": "a backslash before the slash of a replacement",
    r"\$\{\w+@[A-Za-z]\}|wait -n|local -n|inherit_errexit|EPOCHSECONDS|EPOCHREALTIME": "bash 4.3 and later",
    r"systemctl[^|]* --value": "systemd 230",
    r"\bss -\w*H": "iproute 4.9",
    r"unshare [^|]*--propagation": "util-linux 2.27",
}


@pytest.mark.parametrize("pattern", UNKNOWN)
def test_no_command_needs_a_newer_host(pattern: str) -> None:
    lines = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in sorted(ROOT.rglob("*.py"))
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        if re.search(pattern, line)
    ]
    assert lines == [], UNKNOWN[pattern]


@pytest.mark.parametrize(
    "said",
    [
        'LISTEN 0 128 *:8443 *:* users:(("openshift",4711,9))',  # 3.10
        'LISTEN 0 128 *:8443 *:* users:(("openshift",pid=4711,fd=9))',
    ],
)
def test_the_listener_of_a_master_by_either_shape_of_ss(tmp_path: Path, said: str) -> None:
    """Where no process was found, none seemed to listen, and the restarted API was never believed."""
    tools = stand_in(
        tmp_path / "bin",
        "ss",
        f"for word; do [[ $word != -*H* ]] || exit 255; done; printf '%s\\n' 'State Recv-Q Send-Q' '{said}'",
    )
    act = RestartMaster("m0", "api", "https://m0.example.com:8443", 8443).act()
    listening = next(line for line in act.splitlines() if line.startswith("listening() "))
    script = f"{listening}\nlistening"
    path = {"PATH": f"{tools}:/usr/bin:/bin"}
    found = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True, env=path).stdout
    assert found.count("4711") == 1 == found.count("\n")
