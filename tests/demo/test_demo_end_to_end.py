"""The quick demo as a user runs it: minutes the first time, seconds the second."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from nnunet_doselo.demo.results import gather
from nnunet_doselo.demo.settings import QUICK
from nnunet_doselo.demo.stages import demo_stages

pytestmark = pytest.mark.slow


def demo(folder: Path) -> list[str]:
    """Run it in a process of its own, without any of nnU-Net's variables; the lines of its output."""
    program = str(Path(sys.executable).parent / "doselo")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("nnUNet_")}
    done = subprocess.run(
        [program, "demo", "--quick", "--folder", str(folder)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        env=environment,
    )
    assert done.returncode == 0, done.stdout[-6000:]
    return done.stdout.splitlines()


def test_quick_demo_ends_with_a_report_and_is_skipped_the_second_time(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    assert demo(folder)[-1] == f"report: {folder / 'report.html'}"
    default, doselo = gather(folder, QUICK).trainers
    for result in (default, doselo):
        assert len(result.evaluation.cases) == QUICK.test_cases
        assert all(picture.stat().st_size > 10_000 for picture in result.pictures.values())
    # Dice + CE learns in any run; cross-entropy alone may not have begun to
    assert (default.evaluation.means["target_dice"] or 0) > 0.2
    start = time.monotonic()
    again = demo(folder)
    assert sum(line.startswith("finished earlier") for line in again) == len(demo_stages(QUICK))
    assert time.monotonic() - start < 60
