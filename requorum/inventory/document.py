"""From a file to YAML nodes that still know their lines. Nothing is ever constructed from a tag."""

from __future__ import annotations

import difflib
import stat
from pathlib import Path

import yaml

from requorum.inventory.problem import InventoryError, Problem, printable, without_hidden

LARGEST = 1 << 18
"""Bytes; the inventory of a hundred hosts is some 10 KiB."""

_WHOLE = "inventory"
_EXAMPLE = "start from inventories/external.yaml"


def read(path: Path) -> bytes:
    """The file's bytes. Raises InventoryError where it is not there, no regular file, too large or unreadable."""
    try:
        found = path.stat()
        if stat.S_ISDIR(found.st_mode):
            raise _whole(path, "a file", "a directory", "name the file in it")
        if not stat.S_ISREG(found.st_mode):
            # A pipe can be read once only; workers and a resumed run read the inventory again.
            raise _whole(path, "a regular file", "a pipe or a device", "save the inventory as a file and name that")
        if found.st_size > LARGEST:
            raise _whole(path, f"at most {LARGEST} bytes", f"{found.st_size} bytes", "is this the right file?")
        return path.read_bytes()
    except FileNotFoundError:
        raise _whole(path, "a file", "nothing of this name", _nearest(path)) from None
    except PermissionError:
        raise _whole(
            path,
            "a file that can be read",
            "permission denied",
            "run as a user that may read it, or change its mode (`ls -l` tells)",
        ) from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise _whole(path, "a file that can be read", printable(reason or repr(error)), "check the path") from None


def compose(path: Path, data: bytes) -> yaml.Node:
    """The one document in `data`. Raises InventoryError for what is no text, no YAML, empty or several documents."""
    text = _decoded(path, data)
    try:
        loader = yaml.SafeLoader(text)
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise _whole(path, "text", "a control character", "remove it (`cat -A` shows it)", line) from None
    try:
        root = loader.get_node() if loader.check_node() else None
        second = loader.get_node() if loader.check_node() else None
    except yaml.MarkedYAMLError as error:
        raise _syntax(path, text, error, _opened(loader, text)) from None
    except RecursionError:
        raise _whole(path, "YAML a few levels deep", "hundreds of levels", _EXAMPLE) from None
    except (ValueError, OverflowError):  # PyYAML lets these out for escapes and directives with absurd numbers
        raise _whole(
            path, "YAML", "an escape or a directive with an impossible number", "remove it", loader.line + 1
        ) from None
    if second is not None:
        raise _whole(
            path,
            "one YAML document",
            "a second one",
            "keep one; remove the line `---` between them",
            second.start_mark.line + 1,
        )
    if root is None or (isinstance(root, yaml.ScalarNode) and root.tag.endswith(":null")):
        raise _whole(path, "an inventory", "an empty file" if not data.strip() else "no content", _EXAMPLE)
    return root


def _decoded(path: Path, data: bytes) -> str:
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise _whole(path, "UTF-8 text", "UTF-16", "save the file as UTF-8")
    if b"\0" in data:
        line = data.count(b"\n", 0, data.index(b"\0")) + 1
        raise _whole(path, "UTF-8 text", "binary data", "is this the right file?", line)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1  # behind a byte order mark, where there is one
        byte = error.object[error.start]
        found, fix = f"the byte 0x{byte:02x}", "save the file as UTF-8"
        if byte == 0xED:  # how UTF-8 would write a surrogate, if it did
            found, fix = "half of a character (a lone surrogate)", "remove it; typing the line anew is the surest way"
        raise _whole(path, "UTF-8 text", found, fix, line) from None


def _opened(loader: yaml.SafeLoader, text: str) -> yaml.Mark | None:
    """Where the innermost bracket or brace stands that was still open when reading stopped; None where none was."""
    return next((mark for mark in reversed(loader.marks) if text[mark.index : mark.index + 1] in ("{", "[")), None)


def _syntax(path: Path, text: str, error: yaml.MarkedYAMLError, opened: yaml.Mark | None) -> InventoryError:
    found = printable(error.problem or error.context or "something else")
    mark = error.problem_mark or error.context_mark
    line = mark.line + 1 if mark else 1
    lines = text.splitlines()
    written = lines[line - 1] if line <= len(lines) else ""
    if "\t" in written and ("\\t" in found or written[: len(written) - len(written.lstrip())].count("\t")):
        return _whole(path, "spaces", "a tab", "replace tabs by spaces, also between a name and its value", line)
    # A space that is none makes one text of two lines, and is noticed in the second.
    for number in (line, line - 1):
        if 0 < number <= len(lines) and not lines[number - 1].startswith("#") and without_hidden(lines[number - 1]):
            return _whole(path, "YAML", f"what YAML cannot read ({found})", without_hidden(lines[number - 1]), number)
    if "undefined alias" in found:
        fix = "define it first (`&name`), or quote a value that begins with `*`"
    elif error.context == "while scanning a quoted scalar" and error.context_mark and "end of stream" in found:
        line = error.context_mark.line + 1
        fix = f"close the quote that opens here, in column {error.context_mark.column + 1}"
    elif opened and error.problem and ("expected ',' or" in error.problem or "stream end" in error.problem):
        # What is left open is noticed further down, and mended where it was opened.
        at = "" if line == opened.line + 1 else " at the end" if line > len(lines) else f" in line {line}"
        found, line = found + at, opened.line + 1
        sign = text[opened.index]
        fix = f"close the `{sign}` of column {opened.column + 1}, or write the comma that is missing in it"
    else:
        fix = "check the indentation, the colon (`name: value`) and open quotes or brackets here and one line above"
    return _whole(path, "YAML", f"what YAML cannot read ({found})", fix, line)


def _nearest(path: Path) -> str:
    try:
        beside = [entry.name for entry in path.parent.iterdir() if entry.is_file()]
    except OSError:
        return f"the folder {printable(str(path.parent))} cannot be read either; check the path"
    near = difflib.get_close_matches(path.name, beside, n=1)
    return f"did you mean {printable(str(path.parent / near[0]))}?" if near else f"check the path, or {_EXAMPLE}"


def _whole(path: Path, expected: str, found: str, fix: str, line: int = 1) -> InventoryError:
    return InventoryError((Problem(path, line, _WHOLE, expected, found, fix),))
