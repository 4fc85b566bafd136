"""`python bench/recovery.py`: what the runbook costs beside the bare commands; `--help` says more."""

from __future__ import annotations

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])  # as a script, it would find this folder alone
    from bench.command import main

    sys.exit(main(sys.argv[1:]))
