"""What a start does not load: each module costs every run, and every worker."""

from __future__ import annotations

import subprocess
import sys


def test_the_reports_are_not_loaded_before_a_run_has_something_to_report() -> None:
    script = "import sys, requorum.stages.plugin; sys.exit('requorum.audit' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
