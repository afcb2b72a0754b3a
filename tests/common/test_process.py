"""A command in a process of its own: shown at once, kept, and taken down with its caller."""

import os
import shutil
import sys
from pathlib import Path

import pytest

from nnunet_doselo.common.process import installed, last_lines, run_process


def test_output_is_shown_at_once_and_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = "print('größer'); import sys; print('wrong', file=sys.stderr); raise SystemExit(2)"
    environment = {**os.environ, "PYTHONIOENCODING": "utf-8"}
    finished = run_process((sys.executable, "-c", code), environment, tmp_path, tmp_path / "logs" / "one.log")
    assert finished.status == 2
    assert sorted(capsys.readouterr().out.splitlines()) == ["größer", "wrong"]
    assert sorted((tmp_path / "logs" / "one.log").read_text().splitlines()) == ["größer", "wrong"]


def test_the_end_of_a_log_is_plain_text(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("old\n\x1b[1mbold\x1b[0m\n\n 10%|#\r 90%|#########\nTraceback\n")
    assert last_lines(log, 3) == ["bold", " 90%|#########", "Traceback"]
    assert last_lines(tmp_path / "none") == []


def test_programs_are_those_of_this_environment() -> None:
    program, *arguments = installed(("doselo", "env"))
    assert arguments == ["env"]
    assert Path(program).parent == Path(sys.executable).parent
    assert shutil.which(program)
    assert installed(("python", "-V")) == [sys.executable, "-V"]
