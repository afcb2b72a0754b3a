"""A large DICOM patient: seconds and memory of `doselo convert dicom`, and its masks beside those of other tools.

python benchmarks/dicom.py work/dicom                    # this package alone
python benchmarks/dicom.py work/dicom --rivals           # makes an environment with the others first

One made-up patient: a CT of 120 slices of 512 x 512, 20 structures, one dose. The structures are ellipsoids, so the
volume of each is known. Tools take turns; each run is a process of its own with one thread.
"""

import json
import os
import shutil
import statistics
import subprocess
import sys
import time
import venv
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from dicom_patient import GEOMETRY, mapping_text, truth, volumes_cc, write_patient
from machine import command, hardware, worker_peak_gb

RIVALS = {"dcmrtstruct2nii": "dcmrtstruct2nii==5", "rt-utils": "rt-utils==1.2.7", "plastimatch": "plastimatch==1.10.0"}
NEEDED = "pydicom<3"
"""By dcmrtstruct2nii."""
OURS = "nnunet-doselo"
ONE_THREAD = {"OMP_NUM_THREADS": "1", "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS": "1", "PYTHONWARNINGS": "ignore"}
GRIDS = {"the CT's voxels": "0", "isotropic 1 mm": "1"}
VOXEL_CC = float(np.prod(GEOMETRY.spacing_mm)) / 1000
LOOK_EVERY_S = 0.02
MASKS = Path(__file__).parent / "dicom_masks.py"


def measured(arguments: list[str], environment: Mapping[str, str]) -> dict[str, float]:
    """Wall-clock seconds and peak memory (GB) of a process."""
    start, peak = time.monotonic(), 0.0
    process = subprocess.Popen(arguments, env={**os.environ, **ONE_THREAD, **environment}, stdout=sys.stderr)
    while process.poll() is None:
        with suppress(OSError, ValueError):  # it has just ended
            peak = worker_peak_gb([process.pid])["largest_worker"]
        time.sleep(LOOK_EVERY_S)
    if process.returncode:
        raise RuntimeError(f"{' '.join(arguments)} ended with status {process.returncode}")
    return {"seconds": time.monotonic() - start, "gb": peak}


def converted(work: Path, spacing_mm: str) -> dict[str, float]:
    raw = work / "nnUNet_raw"
    shutil.rmtree(raw, ignore_errors=True)
    mapping = work / "mapping.yaml"
    mapping.write_text(mapping_text())
    asked = ["convert", "dicom", str(work / "patient"), "501", "--mapping", str(mapping), "--name", "Large", "-np", "1"]
    asked += ["--spacing", spacing_mm]
    return measured([sys.executable, "-m", "nnunet_doselo.cli", *asked], {"nnUNet_raw": str(raw)})


def with_rivals(work: Path) -> dict[str, str]:
    """Interpreter by tool; the others share an environment, which is made once."""
    home = work / "rivals"
    if not (home / "ready").exists():
        venv.create(home, with_pip=True, clear=True)
        install = [home / "bin" / "python", "-m", "pip", "install", *RIVALS.values(), NEEDED]
        subprocess.run(install, check=True, stdout=sys.stderr)
        (home / "ready").touch()
    return dict.fromkeys(RIVALS, str(home / "bin" / "python"))


def masks(work: Path, tool: str, interpreter: str) -> dict[str, float]:
    """Structures to masks on the CT's voxels, with the reading of the files."""
    output = work / f"{tool}.npz"
    used = measured([interpreter, str(MASKS), tool, str(work / "patient"), str(output)], {})
    return {"seconds": float(np.load(output)["seconds"]), "gb": used["gb"]}


def agreement(work: Path, tool: str) -> dict[str, Any]:
    """Against the ellipsoids: Dice with the voxels whose centres they hold, and volume over theirs."""
    found = dict(np.load(work / f"{tool}.npz"))
    dice, volume = [], []
    for name, exact_cc in volumes_cc().items():
        expected = truth(name)
        got = np.unpackbits(found[name], count=expected.size).reshape(expected.shape).astype(bool)
        dice.append(2 * np.count_nonzero(expected & got) / (np.count_nonzero(expected) + np.count_nonzero(got)))
        volume.append(np.count_nonzero(got) * VOXEL_CC / exact_cc)
    return {"least_dice": min(dice), "mean_dice": statistics.mean(dice), "volume_over_exact": _range(volume)}


def _range(values: list[float]) -> list[float]:
    return [float(min(values)), float(max(values))]


def summary(runs: list[dict[str, float]]) -> dict[str, float]:
    return {f"median_{key}": statistics.median(run[key] for run in runs) for key in runs[0]}


def main(
    work: Path,
    rivals: Annotated[bool, typer.Option("--rivals", help="Other tools too; installs them.")] = False,
    rounds: int = 3,
) -> None:
    """Print seconds, memory and agreement as JSON."""
    work = work.resolve()
    write_patient(work / "patient")
    tools = {OURS: sys.executable} | (with_rivals(work) if rivals else {})
    whole: dict[str, list[dict[str, float]]] = {name: [] for name in GRIDS}
    taken: dict[str, list[dict[str, float]]] = {tool: [] for tool in tools}
    for number in range(rounds):
        for name, spacing_mm in GRIDS.items():
            whole[name].append(converted(work, spacing_mm))
        order = list(tools)[number % len(tools) :] + list(tools)[: number % len(tools)]
        for tool in order:
            taken[tool].append(masks(work, tool, tools[tool]))
    result = {"convert_dicom": {name: summary(runs) for name, runs in whole.items()}}
    result["masks"] = {tool: summary(taken[tool]) | agreement(work, tool) for tool in tools}
    print(json.dumps({"command": command(), "hardware": hardware(), "rounds": rounds, **result}, indent=2))


if __name__ == "__main__":
    typer.run(main)
