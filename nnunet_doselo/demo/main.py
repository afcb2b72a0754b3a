"""`doselo demo` from beginning to end: prints each command before it runs it, and skips what is there."""

import shlex
import shutil
import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from nnunet_doselo.common.errors import DoseloError
from nnunet_doselo.common.process import Command, installed, run_process

from .commands import REPORT, Step, demo_steps
from .folder import VARIABLES_FILE, demo_environment, prepare_folder
from .settings import FULL, QUICK

GO_ON = "run the same demo again to go on from there"
LOG_FILE = "demo.log"


def run_demo(folder: Path, *, quick: bool, console: Console) -> Path:
    """Run all commands in `folder`, each of which goes on where an earlier run was stopped; the path of the report.

    Raises
    ------
    DoseloError: the folder is not this demo's, a command failed, or somebody interrupted.
    """
    folder, settings = folder.resolve(), QUICK if quick else FULL
    prepare_folder(folder, settings)
    console.print(f"{'Quick demo' if quick else 'Demo'} in {escape(str(folder))}", style="bold")
    console.print("Synthetic patients, few iterations, no clinical meaning. Stop it when you like, and run it again.")
    console.print(f"Each command can be repeated by hand in that folder, after: source {VARIABLES_FILE}")
    run_steps(demo_steps(settings), folder, console)
    return folder / REPORT


def run_steps(steps: Sequence[Step], folder: Path, console: Console) -> None:
    """Run what is not finished, in order.

    Raises
    ------
    DoseloError: a command failed, or somebody interrupted.
    """
    start = time.monotonic()
    for number, step in enumerate(steps, 1):
        console.print(
            f"\n[bold cyan]{number} of {len(steps)}[/] {escape(step.about)} ({_clock(start)} since start)",
            highlight=False,
        )
        if step.finished and (folder / step.finished).exists():
            console.print(f"finished earlier: {escape(step.finished)} is there", highlight=False)
            continue
        if step.partial and (folder / step.partial).exists():
            console.print(f"removed, because it was not finished: {escape(step.partial)}", highlight=False)
            shutil.rmtree(folder / step.partial)
        for command in _with_resume(step, folder):
            _run(command, folder, console)
    console.print(f"\ndone in {_clock(start)}; the report:", highlight=False)


def split_variables(command: Command) -> tuple[dict[str, str], Command]:
    """
    >>> split_variables(("A=1", "doselo", "report", "--title=x"))
    ({'A': '1'}, ('doselo', 'report', '--title=x'))
    """
    first = next(place for place, word in enumerate(command) if "=" not in word)
    return dict(word.split("=", 1) for word in command[:first]), command[first:]


def _with_resume(step: Step, folder: Path) -> list[Command]:
    *others, last = step.commands
    begun = bool(step.checkpoint) and (folder / step.checkpoint).exists()
    return [*others, (*last, "--resume") if begun else last]


def _run(command: Command, folder: Path, console: Console) -> None:
    line = shlex.join(command)
    console.print(f"[bold]$ {escape(line)}[/]", soft_wrap=True, highlight=False)
    log = folder / LOG_FILE
    variables, program = split_variables(command)
    try:
        done = run_process(installed(program), {**demo_environment(folder), **variables}, folder, log)
    except KeyboardInterrupt:
        console.show_cursor(True)  # a progress bar that was cut off has hidden it
        raise DoseloError(f"interrupted in `{line}`; {GO_ON}") from None
    if done.status:
        raise DoseloError(f"`{line}` ended with status {done.status}, see above or {log}; mend that, then {GO_ON}")


def _clock(start: float) -> str:
    """Minutes and seconds since then, 2:05."""
    seconds = int(time.monotonic() - start)
    return f"{seconds // 60}:{seconds % 60:02d}"
