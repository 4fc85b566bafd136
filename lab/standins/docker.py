#!/usr/bin/python3
"""Stand-in for docker 1.13, as far as OpenShift's scripts, a unit that runs etcd, and an operator beside them need it.

ps, run, rm, stop, kill, wait, logs, exec, inspect. As the real one: `--env-file` keeps quotes as they are; refusals are
docker's, with its exit codes; `exec` gives no standard input without `-i`; without the daemon (docker.service) nothing
works. What it does not know it refuses.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, NoReturn

sys.path.insert(0, str(Path(__file__).resolve().parent))
import containers  # type: ignore[import-not-found]
from containers import Container, ContainerError, Volume
from docker_show import Refused, inspect, logs, options_of, ps  # type: ignore[import-not-found]


def read_env_file(path: str) -> dict[str, str]:
    """Variables as docker reads them: lines, nothing unquoted. Raises Refused."""
    found: dict[str, str] = {}
    try:
        text = Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise Refused(f"docker: open {path}: {(error.strerror or '').lower()}.", 125) from None
    for raw in text.splitlines():
        line = raw.lstrip(" \t")
        if not line or line.startswith("#"):
            continue
        name, equals, value = line.partition("=")
        if not name or re.search(r"[ \t]", name):
            raise Refused(
                f"docker: poorly formatted environment: variable '{name}' has white spaces.\nSee 'docker run --help'.",
                125,
            )
        if equals:
            found[name] = value
        elif name in os.environ:
            found[name] = os.environ[name]
    return found


def _volume(text: str) -> Volume:
    parts = text.split(":")
    if len(parts) not in (2, 3) or not all(part.startswith("/") for part in parts[:2]):
        raise Refused(f"docker: Error response from daemon: invalid volume specification: '{text}'.", 125)
    modes = parts[2].split(",") if len(parts) == 3 else []
    if unknown := [mode for mode in modes if mode not in ("ro", "rw", "z", "Z", "rslave", "rshared")]:
        raise Refused(f"docker: Error response from daemon: invalid mode: {','.join(unknown)}.", 125)
    return Volume(parts[0], parts[1], "ro" in modes)


def run(words: list[str]) -> int:
    """docker run; in front, it ends as the container does, and passes SIGTERM and SIGINT on."""
    flags = "rm d,detach i,interactive t,tty privileged"
    values = "name v,volume env-file e,env net,network entrypoint l,label w,workdir u,user"
    given, rest = options_of(words, flags, values, first_only=True)
    if not rest:
        raise Refused("\"docker run\" requires at least 1 argument(s).\nSee 'docker run --help'.", 125)
    if given.get("net", ["bridge"])[-1] != "host":
        raise Refused("docker: Error response from daemon: this stand-in has --net=host only.", 125)
    environment: dict[str, str] = {}
    for path in given.get("env-file", []):
        environment |= read_env_file(path)
    for text in given.get("e", []):
        name, equals, value = text.partition("=")
        environment |= {name: value} if equals else {name: os.environ[name]} if name in os.environ else {}
    labels = dict(text.partition("=")[::2] for text in given.get("l", []))
    command = [*given.get("entrypoint", [])[-1:], *rest[1:]]
    if not command:
        raise Refused("docker: Error response from daemon: No command specified.", 125)
    try:
        container = containers.create(
            given.get("name", [f"standin_{os.getpid()}"])[-1],
            rest[0],
            command,
            environment,
            [_volume(text) for text in given.get("v", [])],
            labels,
            given.get("w", ["/"])[-1],
        )
    except ContainerError as error:
        if "manifest" in str(error):
            print(f"Unable to find image '{rest[0]}' locally", file=sys.stderr)
        raise Refused(f"docker: Error response from daemon: {error}.\nSee 'docker run --help'.", 125) from None
    if "d" in given:
        print(container.id)
        return 0
    for number, name in ((signal.SIGTERM, "TERM"), (signal.SIGINT, "INT")):
        signal.signal(number, lambda *_, name=name: containers.send(container, name))
    follower = threading.Thread(target=logs, args=(["-f", container.id],), daemon=True)
    follower.start()
    code = containers.wait(container)
    follower.join(2)
    if "rm" in given:
        containers.remove(container)
    return code or 0


def stop(words: list[str]) -> int:
    """docker stop."""
    given, rest = options_of(words, "", "t,time")
    return _each("stop", rest, lambda one: containers.stop(one, float(given.get("t", ["10"])[-1])))


def kill(words: list[str]) -> int:
    """docker kill."""
    given, rest = options_of(words, "", "s,signal")
    name = given.get("s", ["KILL"])[-1].removeprefix("SIG")

    def one(container: Container) -> None:
        if not container.running:
            raise ContainerError(f"Cannot kill container {container.name}: Container {container.id} is not running")
        containers.send(container, name)

    return _each("kill", rest, one)


def rm(words: list[str]) -> int:
    """docker rm."""
    given, rest = options_of(words, "f,force v,volumes", "")

    def one(container: Container) -> None:
        if container.running and "f" not in given:
            raise ContainerError(
                f"You cannot remove a running container {container.id}. "
                "Stop the container before attempting removal or use -f"
            )
        containers.send(container, "KILL")
        containers.wait(container)
        containers.remove(container)

    return _each("rm", rest, one)


def wait(words: list[str]) -> int:
    """docker wait: prints exit codes."""
    _, rest = options_of(words, "", "")
    return _each("wait", rest, lambda one: containers.wait(one), echo=False)


def execute(words: list[str]) -> int:
    """docker exec."""
    given, rest = options_of(words, "i,interactive t,tty d,detach privileged", "e,env u,user", first_only=True)
    if len(rest) < 2:
        raise Refused("\"docker exec\" requires at least 2 argument(s).\nSee 'docker exec --help'.")
    if "t" in given and not sys.stdin.isatty():
        raise Refused("the input device is not a TTY")
    try:
        container = containers.find(rest[0])
    except ContainerError as error:
        raise Refused(f"Error: {error}") from None
    environment = dict(text.partition("=")[::2] for text in given.get("e", []))
    try:
        process = containers.execute(
            container, rest[1:], environment, stdin=None if "i" in given else subprocess.DEVNULL
        )
    except ContainerError as error:
        raise Refused(f"Error response from daemon: {error}") from None
    code = int(process.wait())
    if code in (126, 127):
        print(f'rpc error: code = 2 desc = oci runtime error: exec failed: "{rest[1]}"', file=sys.stderr)
    return code if code >= 0 else 128 - code


def _each(command: str, rest: list[str], do: Any, *, echo: bool = True) -> int:
    if not rest:
        raise Refused(f"\"docker {command}\" requires at least 1 argument(s).\nSee 'docker {command} --help'.")
    code = 0
    for word in rest:
        try:
            result = do(containers.find(word))
            print(word if echo else result, flush=True)
        except ContainerError as error:
            print(f"Error response from daemon: {error}", file=sys.stderr)
            code = 1
    return code


def daemon(words: list[str]) -> int:
    """What docker.service runs: there is no daemon, only the sign that it is up. Its end ends every container."""
    if words == ["start"]:
        containers.SOCKET.touch()
        return 0
    containers.SOCKET.unlink(missing_ok=True)
    threads = [threading.Thread(target=containers.stop, args=(one,)) for one in containers.all_containers()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return 0


COMMANDS = {
    "ps": ps,
    "inspect": inspect,
    "logs": logs,
    "run": run,
    "stop": stop,
    "kill": kill,
    "rm": rm,
    "wait": wait,
    "exec": execute,
}


def main(words: list[str]) -> int:
    """Run one command; its exit code."""
    if words[:1] == ["standin-daemon"]:
        return daemon(words[1:])
    try:
        if not words or words[0] not in COMMANDS:
            raise Refused(f"docker: '{' '.join(words[:1])}' is not a docker command.\nSee 'docker --help'.")
        if not containers.SOCKET.exists():
            raise Refused(
                "Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?",
                125 if words[0] == "run" else 1,
            )
        return int(COMMANDS[words[0]](words[1:]))
    except Refused as refused:
        print(refused, file=sys.stderr)
        return int(refused.code)


def _exit() -> NoReturn:
    code = main(sys.argv[1:])
    sys.stdout.flush()
    os._exit(code)  # a follower of logs may still read


if __name__ == "__main__":
    _exit()
