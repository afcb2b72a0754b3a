"""Runs stages one after another: skips what is finished, shows what it runs, and says how to go on after a failure."""

import hashlib
import json
import shlex
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from nnunet_doselo.common.errors import DoseloError
from nnunet_doselo.common.process import Finished, last_lines, run_process
from nnunet_doselo.common.versions import version_of

from .stages import Command, Stage
from .workspace import Marker, Workspace

GO_ON = "run the same command again to go on: finished stages are skipped"


def run_stages(stages: Sequence[Stage], workspace: Workspace, console: Console) -> list[Marker]:
    """Run what has not been done yet, and all that comes after a stage that had to run; one marker a stage.

    Raises
    ------
    DoseloError: a command failed, or somebody interrupted; finished stages stay finished.
    """
    start, markers = time.monotonic(), list[Marker]()
    for number, stage in enumerate(stages, 1):
        key = _key(stage, markers)
        title = f"stage {number} of {len(stages)}: {stage.name}"
        console.print(f"\n[bold cyan]{escape(title)}[/] · {clock(time.monotonic() - start)} since start")
        try:
            markers.append(_run(stage, key, title, workspace, console))
        except KeyboardInterrupt:
            console.show_cursor(True)  # a progress bar that was cut off has hidden it
            raise DoseloError(f"interrupted in {title}; {GO_ON}") from None
    return markers


def clock(seconds: float) -> str:
    """Minutes and seconds, 125.3 -> 2:05."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


def _key(stage: Stage, before: Sequence[Marker]) -> str:
    """Changes with the package's version, the stage's commands, and every new run of a stage before it."""
    last = [before[-1].key, before[-1].finished] if before else [version_of("nnunet-doselo")]
    return hashlib.sha256(json.dumps([last, stage.commands]).encode()).hexdigest()


def _run(stage: Stage, key: str, title: str, workspace: Workspace, console: Console) -> Marker:
    before = workspace.marker(stage)
    if before is not None and workspace.is_done(stage, key):
        console.print(f"finished earlier, in {clock(before.seconds)}")
        return before
    if not (stage.resumable and before is not None and before.key == key):
        workspace.clear(stage)
    workspace.mark(stage, Marker(key))
    console.print(escape(stage.about))
    finished = [_command(command, stage, title, workspace, console) for command in stage.commands]
    marker = Marker(key, time.time(), sum(f.seconds for f in finished), max(f.peak_mb for f in finished))
    workspace.mark(stage, marker)
    console.print(f"[green]done[/] in {clock(marker.seconds)}, largest process {marker.peak_mb / 1000:.1f} GB")
    return marker


def _command(command: Command, stage: Stage, title: str, workspace: Workspace, console: Console) -> Finished:
    console.print(f"[bold]$ {escape(shlex.join(command))}[/]", soft_wrap=True)
    log = workspace.log(stage)
    finished = run_process(_installed(command), workspace.environment, workspace.folder, log)
    if finished.status:
        end = "\n".join(f"    {line}" for line in last_lines(log))
        raise DoseloError(
            f"{title}: `{shlex.join(command)}` ended with status {finished.status}. The end of {log}:\n{end}\n"
            f"Mend that, then {GO_ON}"
        )
    return finished


def _installed(command: Command) -> Command:
    """The program beside this interpreter, whether or not its environment is activated."""
    beside = Path(sys.executable).parent / command[0]
    return (sys.executable if command[0] == "python" else str(beside), *command[1:])
