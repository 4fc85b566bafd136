"""Two edits of one text, brought together line by line. Pure."""

from __future__ import annotations

from difflib import SequenceMatcher


def merged(base: str, ours: str, theirs: str) -> str | None:
    """`theirs` with what was changed from `base` to `ours`; None where both changed the same lines."""
    lines, result = base.splitlines(keepends=True), theirs.splitlines(keepends=True)
    new = ours.splitlines(keepends=True)
    same = SequenceMatcher(None, lines, result, autojunk=False).get_matching_blocks()
    # From the last change to the first, so that the lines of what comes before stay true.
    for kind, start, end, new_start, new_end in reversed(
        SequenceMatcher(None, lines, new, autojunk=False).get_opcodes()
    ):
        if kind == "equal":
            continue
        shift = next((b - a for a, b, size in same if a <= start and end <= a + size and size), None)
        if shift is None:
            return None
        result[start + shift : end + shift] = new[new_start:new_end]
    return "".join(result)
