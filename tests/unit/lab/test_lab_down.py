"""What `down` removes."""

from __future__ import annotations

import subprocess
from functools import partial
from pathlib import Path

from lab import wait
from lab.cluster import _removed


def test_a_folder_in_which_a_child_of_a_killed_command_still_writes(tmp_path: Path) -> None:
    folder = tmp_path / "ca"
    folder.mkdir()
    script = 'for n in {1..4000}; do echo key > "$1/$n" || exit 0; done 2> /dev/null'
    with subprocess.Popen(["bash", "-c", script, "-", str(folder)]) as child:
        wait.until(lambda: len(list(folder.iterdir())) > 100, "the child writes", within=20)
        wait.until(partial(_removed, folder), "the folder is removed", within=20)
        assert child.wait(10) == 0
    assert not folder.exists()
