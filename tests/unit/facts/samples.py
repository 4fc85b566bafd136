"""The recorded data directories, and what etcd said of them (`record_samples.py` makes them)."""

from __future__ import annotations

import base64
import json
import lzma
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

RECORDED = Path(__file__).parent / "recorded"
VERSIONS = ("3.3.25", "3.4.23", "3.5.16")
SEGMENTS = RECORDED / "3.4.23-segments"


def unpack(path: Path) -> bytes:
    return lzma.decompress(path.read_bytes())


def segments(folder: Path) -> list[tuple[str, bytes]]:
    return [(path.name.removesuffix(".xz"), unpack(path)) for path in sorted(folder.glob("*.wal.xz"))]


@dataclass(frozen=True)
class Sample:
    """One cluster of one version."""

    version: str

    @cached_property
    def said(self) -> Any:
        return json.loads((RECORDED / self.version / "said.json").read_text())

    def segments(self, member: str) -> list[tuple[str, bytes]]:
        return segments(RECORDED / self.version / member)

    def db(self, member: str) -> bytes:
        return unpack(RECORDED / self.version / member / "db.xz")

    def snapshot(self) -> bytes:
        return unpack(RECORDED / self.version / "snapshot.db.xz")

    def keys(self) -> dict[int, dict[bytes, int]]:
        return {
            int(revision): {base64.b64decode(key): changed for key, changed in keys.items()}
            for revision, keys in self.said["keys"].items()
        }
