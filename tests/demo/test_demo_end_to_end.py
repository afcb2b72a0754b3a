"""The quick demo as a user runs it: minutes the first time, seconds the second."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from nnunet_doselo.demo.commands import TRAINERS
from nnunet_doselo.demo.settings import QUICK

pytestmark = pytest.mark.slow


def run_quick(folder: Path) -> list[str]:
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


def test_quick_demo_ends_with_the_report_and_is_quick_the_second_time(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    page = folder / "benchmark" / "report.html"
    assert run_quick(folder)[-1] == str(page)
    report = json.loads(page.with_suffix(".json").read_text())
    default, doselo = (f"{name}_{QUICK.epochs}epochs_{QUICK.iterations}iterations" for name in TRAINERS)
    assert [*report["trainers"]] == [default, doselo]
    assert report["baseline"] == default
    assert len(report["cases"]) == QUICK.test_cases
    assert [notice.split(":")[0] for notice in report["notices"]] == ["Synthetic patients", "Few iterations"]
    comparison = json.loads((folder / "benchmark" / "comparison.json").read_text())
    assert [contours["name"] for contours in comparison["contours"]] == [default, doselo]
    # Dice + CE learns in any run; cross-entropy alone may not have begun to
    assert comparison["summary"]["target_dice"][default]["mean"] > 0.2
    start, first = time.monotonic(), times(folder)
    assert run_quick(folder)[-1] == str(page)
    assert times(folder) == first
    assert time.monotonic() - start < 120


def times(folder: Path) -> dict[str, int]:
    """When networks, doses and contours were written."""
    files = [file for kind in ("*.pth", "*.ts", "*.nii.gz") for file in folder.rglob(kind)]
    assert len(files) > 20
    return {str(file): file.stat().st_mtime_ns for file in files}
