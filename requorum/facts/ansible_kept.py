"""What a recovery writes down, where it runs, about the Ansible inventory that it edits: whom it took out of [etcd].

It lies beside the runs of the cluster until everybody is back in the group, so that a later run puts them back, also
where the recovery that took them out has ended.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

NAME = "ansible-inventory.json"


@dataclass(frozen=True, slots=True)
class Kept:
    """The original of an inventory, and whom a recovery took out of its group [etcd].

    `path` is the inventory, `copy` the original's copy, from the folder of the cluster's runs on, `sha256` that of its
    bytes, `mode` and `owner` those of the file. `before`: who was out already when this recovery began. `first`: whom a
    recovery put first, for the first host was out and this one holds the CA; `first_before`: whom an earlier one did.
    """

    path: str
    recovery: str
    copy: str
    sha256: str
    mode: str
    owner: str
    out: tuple[str, ...]
    before: tuple[str, ...] = ()
    first: str = ""
    first_before: str = ""

    def text(self) -> str:
        """The file's content."""
        return json.dumps(asdict(self), indent=2) + "\n"


def parse(text: str) -> Kept:
    """What the file says. Raises ValueError for anything else."""
    try:
        fields = json.loads(text)
        out, before = (tuple(str(name) for name in fields.pop(key)) for key in ("out", "before"))
        return Kept(**{key: str(value) for key, value in fields.items()}, out=out, before=before)
    except (ValueError, TypeError, AttributeError, KeyError) as error:
        raise ValueError(
            f"expected Requorum's note about an Ansible inventory, found {text[:200]!r} ({error})"
        ) from None
