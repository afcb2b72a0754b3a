"""`doselo demo` from beginning to end."""

from pathlib import Path

from rich.console import Console

from .report import write_report
from .results import gather
from .runner import run_stages
from .settings import FULL, QUICK
from .stages import demo_stages
from .workspace import Workspace


def run_demo(folder: Path, *, quick: bool, console: Console) -> Path:
    """Run every stage that has not run yet in `folder`, and write the report; its path.

    Raises
    ------
    DoseloError: the folder is not the demo's, a command failed, or somebody interrupted.
    """
    settings = QUICK if quick else FULL
    workspace = Workspace(folder)
    console.print(f"{'Quick demo' if quick else 'Demo'} in {workspace.folder}", style="bold")
    console.print(
        "Synthetic patients, few iterations, no clinical meaning. Interrupt whenever you like, and run it again."
    )
    console.print("Commands below can be repeated by hand there, after: source env.sh")
    stages = demo_stages(settings)
    markers = run_stages(stages, workspace, console)
    return write_report(workspace.folder, gather(workspace.folder, settings), stages, markers, quick=quick)
