"""The demo's loop: what it prints, what it skips, and how it goes on after a kill; with commands that take no time."""

import importlib
import json
import os
import re
import shlex
import shutil
import signal
import sys
from collections.abc import Iterator
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import typer
from rich.console import Console

from nnunet_doselo.cli import app
from nnunet_doselo.common.errors import DoseloError
from nnunet_doselo.demo import main as demo
from nnunet_doselo.demo.commands import Step, demo_steps
from nnunet_doselo.demo.folder import demo_environment, prepare_folder
from nnunet_doselo.demo.settings import FULL, QUICK, DemoSettings

SIZES = pytest.mark.parametrize("settings", [FULL, QUICK], ids=["full", "quick"])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    prepare_folder(tmp_path / "demo", QUICK)
    return tmp_path / "demo"


def python(code: str) -> tuple[str, ...]:
    return ("python", "-c", code)


def says(word: str) -> tuple[str, ...]:
    """A command that adds a word, and all that stands after it, to a file in the demo's folder."""
    return python(f"import sys; print('{word}', *sys.argv[1:], file=open('said.txt', 'a'))")


def said(folder: Path) -> list[str]:
    return (folder / "said.txt").read_text().splitlines()


def run(folder: Path, *steps: Step) -> str:
    """What was shown by the demo itself."""
    console = Console(record=True, width=200, file=StringIO())
    demo.run_steps(steps, folder, console)
    return console.export_text()


@SIZES
def test_every_command_of_the_demo_is_one_that_there_is(settings: DemoSettings) -> None:
    """Typer parses each of doselo's, and refuses commands and options that it does not know."""
    group: Any = typer.main.get_command(app)
    commands = [demo.split_variables(command)[1] for step in demo_steps(settings) for command in step.commands]
    called = [command[1] for command in commands if command[0] == "doselo"]
    assert called == ["phantom", "phantom", "train-predictor", "benchmark", "report"]
    for program, name, *arguments in commands:
        if program == "doselo":
            group.commands[name].make_context(name, [*arguments])
        elif program == "python":
            assert name == "-m"
            assert callable(importlib.import_module(arguments[0]).main)
        else:
            assert shutil.which(str(Path(sys.executable).parent / program))


@SIZES
def test_resumed_commands_are_commands_too(settings: DemoSettings, tmp_path: Path) -> None:
    group: Any = typer.main.get_command(app)
    (step,) = (step for step in demo_steps(settings) if step.checkpoint)
    (tmp_path / step.checkpoint).parent.mkdir(parents=True)
    (tmp_path / step.checkpoint).touch()
    _, name, *arguments = demo._with_resume(step, tmp_path)[-1]
    assert arguments[-1] == "--resume"
    assert group.commands[name].make_context(name, arguments).params["resume"] is True


@SIZES
def test_cohorts_share_no_seed(settings: DemoSettings) -> None:
    seeds = re.findall(r"--seed (\d+)", " ".join(shlex.join(c) for step in demo_steps(settings) for c in step.commands))
    assert len({*seeds}) == len(seeds) == 2


def test_commands_run_in_order_and_are_shown_before(folder: Path) -> None:
    shown = run(folder, Step("first", (says("a"), says("b"))), Step("then", (says("c"),)))
    assert said(folder) == ["a", "b", "c"]
    places = [shown.index(text) for text in ("1 of 2 first", "$ python -c", "2 of 2 then", "done in 0:0")]
    assert places == sorted(places)


def test_variables_before_a_program_are_its_own(folder: Path) -> None:
    code = "import os; print(os.environ['nnUNet_n_proc_DA'], file=open('said.txt', 'a'))"
    assert "$ nnUNet_n_proc_DA=0 python -c" in run(folder, Step("first", (("nnUNet_n_proc_DA=0", *python(code)),)))
    run(folder, Step("then", (python(code),)))
    assert said(folder) == ["0", "1"]


def test_a_step_whose_last_file_is_there_is_skipped(folder: Path) -> None:
    step = Step("first", (says("a"), python("open('made', 'w')")), finished="made")
    run(folder, step)
    assert "finished earlier: made is there" in run(folder, step)
    assert said(folder) == ["a"]


def test_a_command_goes_on_from_its_checkpoint_until_it_has_finished(folder: Path) -> None:
    step = Step("first", (says("a"),), finished="made", checkpoint="last.ckpt")
    run(folder, step)
    (folder / "last.ckpt").touch()
    assert "--resume" in run(folder, step)
    (folder / "made").touch()
    run(folder, step)
    assert said(folder) == ["a", "a --resume"]


def test_what_a_stopped_step_left_is_removed_where_its_commands_would_trust_it(folder: Path) -> None:
    code = "import os; os.mkdir('half'); open('half/case', 'w').write('cut sh')"
    step = Step("first", (python(code), python("raise SystemExit(1)")), finished="half/last", partial="half")
    with pytest.raises(DoseloError, match="status 1"):
        run(folder, step)
    mended = replace(step, commands=(python("import os; os.mkdir('half'); open('half/last', 'w')"),))
    assert "removed, because it was not finished: half" in run(folder, mended)
    assert [file.name for file in (folder / "half").iterdir()] == ["last"]
    run(folder, mended)


def test_a_failure_is_one_line_with_the_status_and_the_next_run_goes_on_there(folder: Path) -> None:
    first = Step("first", (says("a"),), finished="said.txt")
    with pytest.raises(DoseloError) as error:
        run(folder, first, Step("then", (python("print('no such luck'); raise SystemExit(3)"),)))
    (line,) = str(error.value).splitlines()
    assert "ended with status 3" in line
    assert f"see above or {folder / 'demo.log'}; mend that, then run the same demo again to go on from there" in line
    assert "no such luck" in (folder / "demo.log").read_text()
    run(folder, first, Step("then", (says("b"),)))
    assert said(folder) == ["a", "b"]


@pytest.fixture
def interruptible() -> Iterator[None]:
    """A shell that starts tests in the background has them ignore Ctrl-C, and Python then keeps to that."""
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, handler)


@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
@pytest.mark.parametrize("killed", range(len(demo_steps(QUICK))))
def test_a_kill_in_any_step_takes_its_command_down_and_the_next_run_goes_on(
    folder: Path, killed: int, name: str
) -> None:
    """The command interrupts the demo, as Ctrl-C or `kill` would, and leaves its process number; once."""
    code = (
        "import os, signal, time; again = os.path.exists('pid'); open('pid', 'w').write(str(os.getpid())); "
        f"again or (os.kill({os.getpid()}, signal.{name}), time.sleep(60)); " + says("on")[2]
    )
    steps = [replace(step, commands=(says("on"),)) for step in demo_steps(QUICK)]
    steps[killed] = replace(steps[killed], commands=(python(code),))
    with pytest.raises(DoseloError, match=r"^interrupted in `python .*`; run the same demo again to go on from there$"):
        run(folder, *steps)
    with pytest.raises(ProcessLookupError):
        os.kill(int((folder / "pid").read_text()), 0)
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    run(folder, *steps)
    assert len(said(folder)) == killed + len(steps), "every step was begun again, and ran to its end"


def test_planning_starts_again_and_the_predictor_goes_on_after_a_kill(folder: Path) -> None:
    """With the demo's own steps: what nnU-Net left is gone, what Lightning left is used."""
    steps = [replace(step, commands=(says(step.about.split()[0]),)) for step in demo_steps(QUICK)]
    for path in ("nnUNet_preprocessed/Dataset902_DemoGTV/gt_segmentations", steps[2].checkpoint):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).touch()
    run(folder, *steps)
    assert said(folder) == ["cohort", "cohort", "dose --resume", "planning", "benchmark:", "report"]
    assert not (folder / "nnUNet_preprocessed/Dataset902_DemoGTV").exists()


def test_only_a_new_an_empty_or_its_own_folder_is_taken(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    prepare_folder(tmp_path / "data", QUICK)
    prepare_folder(tmp_path / "data", QUICK)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.tex").touch()
    with pytest.raises(DoseloError, match="other: must be new, empty or an earlier demo's"):
        prepare_folder(tmp_path / "other", QUICK)
    assert [file.name for file in (tmp_path / "other").iterdir()] == ["thesis.tex"]


def test_a_demo_of_another_size_is_not_mixed_in(folder: Path) -> None:
    sizes = f"training_cases {QUICK.training_cases}, now {FULL.training_cases}"
    with pytest.raises(DoseloError, match=rf"demo: holds another demo \(.*{sizes}.*remove the folder"):
        prepare_folder(folder, FULL)
    assert json.loads((folder / "doselo_demo.json").read_text())["training_cases"] == QUICK.training_cases


def test_commands_see_the_demos_folders_and_not_the_users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("nnUNet_raw", "/data/patients")
    monkeypatch.setenv("nnUNet_preprocessed_elsewhere", "/data")
    folder = tmp_path / "a demo"
    prepare_folder(folder, QUICK)
    environment = demo_environment(folder)
    assert environment["nnUNet_raw"] == str(folder / "nnUNet_raw")
    assert "nnUNet_preprocessed_elsewhere" not in environment
    assert environment["PATH"] == os.environ["PATH"]
    assert f"export nnUNet_raw='{folder}/nnUNet_raw'\n" in (folder / "env.sh").read_text()
