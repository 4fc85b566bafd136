"""Part of the stand-in for docker: its options, and the commands that only look: ps, inspect, logs."""

from __future__ import annotations

import json
import re
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))
import containers  # type: ignore[import-not-found]
from containers import Container, ContainerError


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
    container = one_of("logs", rest)
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


def one_of(command: str, rest: list[str]) -> Container:
    """The only container that is named. Raises Refused."""
    if len(rest) != 1:
        raise Refused(f"\"docker {command}\" requires exactly 1 argument(s).\nSee 'docker {command} --help'.")
    try:
        return containers.find(rest[0])
    except ContainerError as error:
        raise Refused(f"Error: {error}") from None
