"""A real sshd on loopback, with keys and a port of its own."""

from __future__ import annotations

import getpass
import shutil
import socket
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from requorum.inventory import EtcdHost, Ssh

NAME = "etcd-0.example.com"

Start = Callable[..., "Sshd"]


def keygen(file: Path, kind: str = "ed25519", passphrase: str = "") -> Path:
    subprocess.run(["ssh-keygen", "-q", "-t", kind, "-N", passphrase, "-f", str(file)], check=True)
    return file


def public(file: Path) -> str:
    return " ".join(Path(f"{file}.pub").read_text().split()[:2])


def fingerprint(file: Path) -> str:
    shown = subprocess.run(["ssh-keygen", "-lf", f"{file}.pub"], check=True, capture_output=True, text=True).stdout
    return shown.split()[1]


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def eventually(what: Callable[[], bool], seconds: float = 10) -> bool:
    until = time.monotonic() + seconds
    while not what():
        if time.monotonic() > until:
            return False
        time.sleep(0.02)
    return True


@dataclass(frozen=True)
class Sshd:
    """A running sshd; `folder` holds its keys, `user_key` is the one it admits."""

    folder: Path
    port: int
    user_key: Path
    host_key: Path
    known_hosts: Path
    process: subprocess.Popen[bytes]

    def host(self, **changes: object) -> EtcdHost:
        ssh = Ssh(user=getpass.getuser(), port=self.port, identity_file=self.user_key, known_hosts=self.known_hosts)
        return EtcdHost(NAME, "127.0.0.1", False, replace(ssh, **changes))  # type: ignore[arg-type]


def launch(folder: Path, *, config: str = "", force: str = "", keys: tuple[str, ...] = ("ed25519",)) -> Sshd:
    """Start a server; `force` is shell text before each command, `config` are more lines of sshd_config."""
    program = shutil.which("sshd") or "/usr/sbin/sshd"
    if not Path(program).exists() or shutil.which("ssh-keygen") is None:
        pytest.fail("this test starts a real sshd, and there is none here: apt-get install openssh-server")
    Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # sshd's privilege separation wants it
    host_keys = [keygen(folder / f"host_{kind}", kind) for kind in keys]
    user_key = keygen(folder / "id")
    port = free_port()
    (folder / "authorized_keys").write_text(public(user_key) + "\n")
    (folder / "known_hosts").write_text(f"[127.0.0.1]:{port} {public(host_keys[0])}\n")
    lines = [
        f"Port {port}", "ListenAddress 127.0.0.1", "StrictModes no", "UsePAM no", "PidFile none",
        "PermitRootLogin prohibit-password", "PasswordAuthentication no", "KbdInteractiveAuthentication no",
        "SetEnv SHLVL=5",  # then bash does not read the ~/.bashrc of whoever runs the tests
        f"AuthorizedKeysFile {folder / 'authorized_keys'}", *(f"HostKey {key}" for key in host_keys), config,
    ]  # fmt: skip
    if force:
        (folder / "force").write_text(f'#!/bin/bash\n{force}\nexec /bin/bash -c "$SSH_ORIGINAL_COMMAND"\n')
        (folder / "force").chmod(0o755)
        lines.append(f"ForceCommand {folder / 'force'}")
    (folder / "config").write_text("\n".join(lines) + "\n")
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([program, "-D", "-e", "-f", str(folder / "config")], stderr=log)

    def listens() -> bool:
        with socket.socket() as sock:
            return sock.connect_ex(("127.0.0.1", port)) == 0

    if not eventually(listens):
        raise RuntimeError(f"sshd does not listen: {(folder / 'log').read_text()}")
    return Sshd(folder, port, user_key, host_keys[0], folder / "known_hosts", process)
