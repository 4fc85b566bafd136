"""The operator's Ansible inventory as it lies on the machine that runs this. Pure; `requorum.bastion` reads it."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

from requorum.facts.ansible_inventory import GROUP
from requorum.facts.ansible_kept import Kept

_SECRET = re.compile(r"(\w*(?:pass|secret|token|key)\w*['\"]?\s*[=:]\s*)(?:'[^']*'|\"[^\"]*\"|\S+)", re.IGNORECASE)
BY_HAND = f"edit its group [{GROUP}] by hand"


def hidden(text: str) -> str:
    """The text with the values hidden of what looks like a password, a token or a key."""
    return _SECRET.sub(r"\1[redacted]", text)


@dataclass(frozen=True)
class AnsibleFile:
    """An Ansible inventory as it lies here.

    `wrong`: why nothing may begin with it, with `advice`; `aside`: why it is not edited, and left to the operator.
    `original` is its text before anybody was taken out, where `kept` says so.
    """

    path: Path
    text: str = ""
    mode: str = ""
    owner: str = ""
    wrong: str = ""
    advice: str = ""
    aside: str = ""
    kept: Kept | None = None
    original: str = ""

    @property
    def sha256(self) -> str:
        """Of its bytes."""
        return hashlib.sha256(self.text.encode("utf-8", "surrogateescape")).hexdigest()

    @property
    def editable(self) -> bool:
        """It can be edited."""
        return not self.wrong and not self.aside
