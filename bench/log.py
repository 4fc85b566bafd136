"""`python bench/log.py`: how fast a write-ahead log is read, and what that holds in memory; `--help` says more.

No lab and no root: the log is made here, as etcd writes it. Speed is told by what this process computed, so that
a busy machine changes little.
"""

from __future__ import annotations

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])  # as a script, it would find this folder alone
    from bench.log_reading import main

    sys.exit(main(sys.argv[1:]))
