"""The demo's machinery: what is skipped, what is taken up again, what is shown; with stages that take no time."""

import json
import os
import re
import shutil
import signal
import sys
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import typer
from rich.console import Console

from nnunet_doselo.cli import app
from nnunet_doselo.common.errors import DoseloError
from nnunet_doselo.common.process import last_lines, run_process
from nnunet_doselo.demo.runner import clock, run_stages
from nnunet_doselo.demo.settings import FULL, QUICK, DemoSettings
from nnunet_doselo.demo.small_plans import main as small_plans
from nnunet_doselo.demo.stages import Stage, demo_stages
from nnunet_doselo.demo.workspace import Marker, Workspace


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "demo")


def appends(word: str, file: str = "made/said.txt") -> tuple[str, ...]:
    """A command that adds a word to a file below the demo's folder, and says so."""
    return ("python", "-c", f"import os; os.makedirs('made', exist_ok=True); print('{word}', file=open('{file}', 'a'))")


def fails(word: str) -> tuple[str, ...]:
    return ("python", "-c", f"print('{word}'); raise SystemExit(3)")


def run(workspace: Workspace, *stages: Stage) -> tuple[list[Marker], str]:
    """Markers, and what was shown."""
    console = Console(record=True, width=200, file=StringIO())
    return run_stages(stages, workspace, console), console.export_text()


def said(workspace: Workspace) -> list[str]:
    return (workspace.folder / "made" / "said.txt").read_text().split()


def test_stages_run_in_order_and_show_their_commands(workspace: Workspace) -> None:
    markers, shown = run(workspace, Stage("one", "first", (appends("a"),)), Stage("two", "then", (appends("b"),)))
    assert said(workspace) == ["a", "b"]
    assert all(marker.finished for marker in markers)
    assert all(marker.seconds > 0 and marker.peak_mb > 1 for marker in markers)
    assert shown.index("stage 1 of 2: one") < shown.index("$ python -c") < shown.index("stage 2 of 2: two")


def test_finished_stages_are_skipped(workspace: Workspace) -> None:
    stages = [Stage("one", "first", (appends("a"),)), Stage("two", "then", (appends("b"),))]
    first, _ = run(workspace, *stages)
    again, shown = run(Workspace(workspace.folder), *stages)
    assert said(workspace) == ["a", "b"]
    assert again == first
    assert shown.count("finished earlier") == 2


def test_a_failure_shows_the_end_of_the_log_and_the_next_run_goes_on_there(workspace: Workspace) -> None:
    one = Stage("one", "first", (appends("a"),))
    with pytest.raises(
        DoseloError, match=r"stage 2 of 2: two: .* ended with status 3\. The end of .*two\.log:"
    ) as error:
        run(workspace, one, Stage("two", "then", (fails("no such luck"),)))
    assert "\n    no such luck\n" in str(error.value)
    assert "finished stages are skipped" in str(error.value)
    run(workspace, one, Stage("two", "then", (appends("b"),)))
    assert said(workspace) == ["a", "b"]


def test_another_command_is_another_stage_and_so_is_all_after_it(workspace: Workspace) -> None:
    after = Stage("two", "then", (appends("c"),))
    run(workspace, Stage("one", "first", (appends("a"),), outputs=("made",)), after)
    run(workspace, Stage("one", "first", (appends("b"),), outputs=("made",)), after)
    assert said(workspace) == ["b", "c"]


def test_a_stage_whose_output_was_removed_runs_again_and_so_does_all_after_it(workspace: Workspace) -> None:
    stages = [Stage("one", "first", (appends("a"),), outputs=("made",)), Stage("two", "then", (appends("b"),))]
    run(workspace, *stages)
    shutil.rmtree(workspace.folder / "made")
    run(workspace, *stages)
    assert said(workspace) == ["a", "b"]


@pytest.mark.parametrize(("resumable", "left"), [(False, ["a"]), (True, ["a", "a"])])
def test_what_a_broken_stage_left_is_removed_unless_it_resumes_by_itself(
    workspace: Workspace, resumable: bool, left: list[str]
) -> None:
    """The second command fails until a file is there: the first runs twice."""
    waits = ("python", "-c", "import os; raise SystemExit(not os.path.exists('allowed'))")
    stage = Stage("one", "first", (appends("a"), waits), ("made",), resumable)
    with pytest.raises(DoseloError, match="status 1"):
        run(workspace, stage)
    (workspace.folder / "allowed").touch()
    run(workspace, stage)
    assert said(workspace) == left


@pytest.fixture
def interruptible() -> Iterator[None]:
    """A shell that starts tests in the background has them ignore Ctrl-C, and Python then keeps to that."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_an_interrupt_takes_the_command_down_and_says_how_to_go_on(workspace: Workspace) -> None:
    """The command interrupts the demo, as Ctrl-C would, and leaves its process number."""
    code = (
        "import os, signal, time; open('pid', 'w').write(str(os.getpid())); "
        f"os.kill({os.getpid()}, signal.{{}}); time.sleep(60)"
    )
    for name in ("SIGINT", "SIGTERM"):
        with pytest.raises(DoseloError, match=r"interrupted in stage 1 of 1: one; run the same command again"):
            run(workspace, Stage("one", "first", (("python", "-c", code.format(name)),)))
        with pytest.raises(ProcessLookupError):
            os.kill(int((workspace.folder / "pid").read_text()), 0)
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_only_a_new_an_empty_or_its_own_folder_is_taken(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    Workspace(tmp_path / "data")
    Workspace(tmp_path / "data")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.tex").touch()
    with pytest.raises(DoseloError, match="other: must be new, empty or an earlier demo's"):
        Workspace(tmp_path / "other")
    assert [file.name for file in (tmp_path / "other").iterdir()] == ["thesis.tex"]


def test_commands_see_the_demos_folders_and_not_the_users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("nnUNet_raw", "/data/patients")
    monkeypatch.setenv("nnUNet_preprocessed_elsewhere", "/data")
    workspace = Workspace(tmp_path / "a demo")
    environment = workspace.environment
    assert environment["nnUNet_raw"] == str(tmp_path / "a demo" / "nnUNet_raw")
    assert "nnUNet_preprocessed_elsewhere" not in environment
    assert environment["PATH"] == os.environ["PATH"]
    assert f"export nnUNet_raw='{tmp_path}/a demo/nnUNet_raw'\n" in (workspace.folder / "env.sh").read_text()


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


def test_a_clock_shows_minutes_and_seconds() -> None:
    assert [clock(seconds) for seconds in (0, 9.9, 125, 3600)] == ["0:00", "0:09", "2:05", "60:00"]


def test_small_plans_keep_all_but_features_and_batch(tmp_path: Path) -> None:
    arguments = {"n_stages": 3, "features_per_stage": [32, 64, 128], "strides": [1, 2, 2]}
    as_planned = {"batch_size": 99, "patch_size": [48, 40], "architecture": {"class": "U", "arch_kwargs": arguments}}
    (tmp_path / "nnUNetPlans.json").write_text(json.dumps({"configurations": {"2d": as_planned}}))
    for name in ("c", "a", "b"):
        (tmp_path / "gt_segmentations").mkdir(exist_ok=True)
        (tmp_path / "gt_segmentations" / f"{name}.nii.gz").touch()
    small_plans([str(tmp_path), "--features", "4,8,16,32", "--batch-size", "6", "--validation-cases", "1"])
    configurations = json.loads((tmp_path / "nnUNetPlans.json").read_text())["configurations"]
    assert configurations["2d"] == as_planned
    narrow = {"n_stages": 3, "features_per_stage": [4, 8, 16], "strides": [1, 2, 2]}
    assert configurations["2d_small"] == {
        "inherits_from": "2d",
        "batch_size": 6,
        "architecture": {"class": "U", "arch_kwargs": narrow},
    }
    assert json.loads((tmp_path / "splits_final.json").read_text()) == [{"train": ["a", "b"], "val": ["c"]}]


@pytest.mark.parametrize("settings", [FULL, QUICK], ids=["full", "quick"])
def test_every_doselo_command_of_the_demo_is_one_that_there_is(settings: DemoSettings) -> None:
    """Typer parses each of them, and refuses options and commands that it does not know."""
    group: Any = typer.main.get_command(app)
    ours = [command for stage in demo_stages(settings) for command in stage.commands if command[0] == "doselo"]
    assert len(ours) >= 5
    for _, name, *arguments in ours:
        group.commands[name].make_context(name, [*arguments])


@pytest.mark.parametrize("settings", [FULL, QUICK], ids=["full", "quick"])
def test_names_of_stages_are_different_and_cohorts_share_no_seed(settings: DemoSettings) -> None:
    stages = demo_stages(settings)
    assert len({stage.name for stage in stages}) == len(stages)
    seeds = re.findall(r"--seed (\d+)", " ".join(" ".join(c) for stage in stages for c in stage.commands))
    assert len(set(seeds)) == len(seeds) == 2
