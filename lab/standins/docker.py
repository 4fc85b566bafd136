#!/usr/bin/python3
"""Stand-in for docker 1.13, as far as OpenShift's scripts, a unit that runs etcd, and an operator beside them need it.

ps, run, rm, stop, kill, wait, logs, exec, inspect. As the real one: `--env-file` keeps quotes as they are; refusals are
docker's, with its exit codes; `exec` gives no standard input without `-i`; without the daemon (docker.service) nothing
works. What it does not know it refuses.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any, NoReturn

sys.path.insert(0, str(Path(__file__).resolve().parent))
import containers  # type: ignore[import-not-found]
from containers import Container, ContainerError, Volume


class Refused(Exception):
    """What is printed on stderr, and the exit code."""

    def __init__(self, text: str, code: int = 1) -> None:
        super().__init__(text)
        self.code = code


def options_of(
    words: list[str], flags: str, values: str, *, first_only: bool = False
) -> tuple[dict[str, list[str]], list[str]]:
    """Options by their first name, and the rest; `flags` and `values` are names as in `f,follow tail`.

    With `first_only` what follows the first word that is no option is left alone. Raises Refused.
    """
    names = {name: (group.split(",")[0], False) for group in flags.split() for name in group.split(",")}
    names |= {name: (group.split(",")[0], True) for group in values.split() for name in group.split(",")}
    given: dict[str, list[str]] = {}
    rest: list[str] = []
    queue = list(words)
    while queue:
        word = queue.pop(0)
        if not word.startswith("-") or word == "-":
            rest.append(word)
            if first_only:
                return given, rest + queue
            continue
        if word == "--":
            return given, rest + queue
        name, equals, value = word.lstrip("-").partition("=")
        if not word.startswith("--") and name not in names and len(name) > 1:  # as in -it, -n5
            head, tail = name[0], name[1:]
            takes = names.get(head, ("", False))[1]
            queue.insert(0, tail + equals + value if takes else f"-{tail}{equals}{value}")
            name, equals, value = head, "", ""
        if name not in names:
            kind = "flag: " if word.startswith("--") else "shorthand flag: "
            raise Refused(f"unknown {kind}{name!r} in {word}\nSee 'docker --help'.", 125)
        known, takes = names[name]
        if takes and not equals:
            if not queue:
                raise Refused(f"flag needs an argument: {word}\nSee 'docker --help'.", 125)
            value = queue.pop(0)
        given.setdefault(known, []).append(value if takes else value or "true")
    return given, rest


# -- looking ------------------------------------------------------------------------------------------------------------


def _matches(container: Container, text: str) -> bool:
    key, _, value = text.partition("=")
    if key == "label":
        name, equals, wanted = value.partition("=")
        return name in container.labels and (not equals or container.labels[name] == wanted)
    if key == "name":
        return re.search(value, f"/{container.name}") is not None
    if key == "id":
        return str(container.id).startswith(value)
    if key == "status":
        return value == ("running" if container.running else "exited")
    raise Refused(f"Error response from daemon: Invalid filter '{key}'")


def _status(container: Container) -> str:
    ended = container.ended
    seconds = time.time() - (ended[1] if ended else container.created)
    ago = f"{seconds:.0f} seconds" if seconds < 120 else f"{seconds // 60:.0f} minutes"
    return f"Exited ({ended[0]}) {ago} ago" if ended else f"Up {ago}"


def _render(template: str, container: Container, full: bool) -> str:
    """The verbs of a Go template that `docker ps` has."""
    fields = {
        "ID": container.id if full else container.id[:12],
        "Names": container.name,
        "Image": container.image,
        "Command": json.dumps(" ".join(container.command)),
        "Status": _status(container),
        "CreatedAt": time.strftime("%Y-%m-%d %H:%M:%S +0000 UTC", time.gmtime(container.created)),
        "Labels": ",".join(f"{name}={value}" for name, value in sorted(container.labels.items())),
    }

    def one(match: re.Match[str]) -> str:
        inner = match[1].strip()
        if label := re.fullmatch(r"""\.Label\s+["`]([^"`]+)["`]""", inner):
            return str(container.labels.get(label[1], ""))
        if inner[:1] == "." and inner[1:] in fields:
            return str(fields[inner[1:]])
        raise Refused(f"Template parsing error: template: :1: function {inner!r} not defined", 64)

    return re.sub(r"\{\{(.*?)\}\}", one, template).replace("\\t", "\t")


def ps(words: list[str]) -> int:
    """docker ps."""
    given, rest = options_of(words, "a,all l,latest q,quiet no-trunc", "f,filter format n,last")
    if rest:
        raise Refused("\"docker ps\" accepts no argument(s).\nSee 'docker ps --help'.")
    found = [one for one in containers.all_containers() if all(_matches(one, text) for text in given.get("f", []))]
    status = any(text.startswith("status=") for text in given.get("f", []))
    if "l" in given or "n" in given:
        found = found[: int(given["n"][0]) if "n" in given else 1]
    elif "a" not in given and not status:
        found = [one for one in found if one.running]
    full = "no-trunc" in given
    if "q" in given:
        template = "{{.ID}}"
    elif "format" in given:
        template = given["format"][0]
    else:
        print(f"{'CONTAINER ID':<15}{'IMAGE':<45}{'STATUS':<28}NAMES")
        for one in found:
            print(f"{_render('{{.ID}}', one, full):<15}{one.image:<45}{_status(one):<28}{one.name}")
        return 0
    for one in found:
        print(_render(template, one, full))
    return 0


def inspect(words: list[str]) -> int:
    """docker inspect, with the paths of a template as in `{{ .State.Pid }}` and `{{ index .Config.Labels "x" }}`."""
    given, rest = options_of(words, "", "f,format type")
    code = 0
    shown = []
    for word in rest:
        try:
            shown.append(_described(containers.find(word)))
        except ContainerError:
            print(f"Error: No such object: {word}", file=sys.stderr)
            code = 1
    if "f" not in given:
        print(json.dumps(shown, indent=4))
        return code
    for one in shown:
        parts = re.split(r"\{\{(.*?)\}\}", given["f"][0])
        print("".join(_value(one, part.strip()) if index % 2 else part for index, part in enumerate(parts)))
    return code


def _described(container: Container) -> dict[str, Any]:
    ended = container.ended

    def moment(seconds: float) -> str:
        return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{seconds % 1:.9f}"[2:] + "Z"

    state = {
        "Status": "exited" if ended else "running",
        "Running": not ended,
        "Pid": container.pid,
        "ExitCode": ended[0] if ended else 0,
        "StartedAt": moment(container.created),
        "FinishedAt": moment(ended[1]) if ended else "0001-01-01T00:00:00Z",
    }
    mounts = [
        {"Type": "bind", "Source": one.source, "Destination": one.target, "RW": not one.read_only}
        for one in container.volumes
    ]
    config = {
        "Env": [f"{name}={value}" for name, value in container.environment.items()],
        "Image": container.image,
        "Labels": container.labels,
        "Entrypoint": container.command[:1],
        "Cmd": container.command[1:],
        "WorkingDir": container.directory,
    }
    return {
        "Id": container.id,
        "Name": f"/{container.name}",
        "Created": moment(container.created),
        "Path": container.command[0],
        "Args": container.command[1:],
        "State": state,
        "Config": config,
        "Mounts": mounts,
        "HostConfig": {"NetworkMode": "host"},
    }


def _value(described: dict[str, Any], path: str) -> str:
    value: Any = described
    as_json = path.startswith("json ")
    if match := re.fullmatch(r"""index\s+([.\w]+)\s+["`]([^"`]+)["`]""", path):
        keys = [*match[1].strip(".").split("."), match[2]]
        missing = ""
    else:
        keys, missing = [key for key in path.removeprefix("json ").strip(" .").split(".") if key], "<no value>"
    for key in keys:
        value = value.get(key, missing) if isinstance(value, dict) else missing
    if as_json:
        return json.dumps(value)
    return str(value).lower() if isinstance(value, bool) else str(value)


def logs(words: list[str]) -> int:
    """docker logs: what the container wrote on stdout and stderr, each on its own."""
    given, rest = options_of(words, "f,follow", "tail")
    container = _one("logs", rest)
    tail = given.get("tail", ["all"])[0]
    places = {sys.stdout.buffer: container.place / "stdout", sys.stderr.buffer: container.place / "stderr"}
    read = dict.fromkeys(places, 0)
    first = True
    while True:
        running = container.running
        for stream, path in places.items():
            content = path.read_bytes() if path.exists() else b""
            new = content[read[stream] :]
            read[stream] = len(content)
            if first and tail.isdigit():
                lines = new.splitlines(keepends=True)
                new = b"".join(lines[len(lines) - min(int(tail), len(lines)) :])
            stream.write(new)
            stream.flush()
        first = False
        if "f" not in given or not running:
            return 0
        time.sleep(0.2)


# -- doing --------------------------------------------------------------------------------------------------------------


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
    values = "name v,volume env-file e,env net,network entrypoint l,label w,workdir"
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
        containers.stop(container, 0)
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


def _one(command: str, rest: list[str]) -> Container:
    if len(rest) != 1:
        raise Refused(f"\"docker {command}\" requires exactly 1 argument(s).\nSee 'docker {command} --help'.")
    try:
        return containers.find(rest[0])
    except ContainerError as error:
        raise Refused(f"Error: {error}") from None


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
        return COMMANDS[words[0]](words[1:])
    except Refused as refused:
        print(refused, file=sys.stderr)
        return refused.code


def _exit() -> NoReturn:
    code = main(sys.argv[1:])
    sys.stdout.flush()
    os._exit(code)  # a follower of logs may still read


if __name__ == "__main__":
    _exit()
