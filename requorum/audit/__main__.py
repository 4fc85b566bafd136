"""``python -m requorum.audit FOLDER``: check a run's journal and make its reports again."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from requorum.audit import JOURNAL, read_story, write_all


def main(arguments: list[str] | None = None) -> int:
    """Make the reports of one run again. Returns 0, 1 where the journal does not hold, 2 where it cannot be read."""
    parser = argparse.ArgumentParser(
        prog="python -m requorum.audit", description="Check a run's journal, remake its reports."
    )
    parser.add_argument("folder", type=Path, help=f"the folder of the run, which holds {JOURNAL}")
    folder: Path = parser.parse_args(arguments).folder
    try:
        report = write_all(folder)
        chain = read_story(folder).chain
    except OSError as error:
        sys.stderr.write(
            f"expected the folder of a run with a readable {JOURNAL}, found {error.strerror or error}: "
            f"{error.filename or folder}\nName a folder reports/<cluster>/<run>.\n"
        )
        return 2
    if chain.fault:
        sys.stdout.write(f"the journal does NOT hold from line {chain.line} on: {chain.fault}\n")
    else:
        sys.stdout.write(f"the journal holds: {chain.records} records, hash of the last {chain.head}\n")
    sys.stdout.write(f"{report}\n")
    return 1 if chain.fault else 0


if __name__ == "__main__":
    sys.exit(main())
