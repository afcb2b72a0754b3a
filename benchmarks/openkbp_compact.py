"""Unpack the compact OpenKBP set (.npz) into OpenKBP's original CSV layout, which `doselo convert openkbp` reads.

python benchmarks/openkbp_compact.py ../shared/data/openkbp work/openkbp --patients 6
"""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import typer
from rich.progress import track

FOLDERS = {"train": "train-pats", "validation": "validation-pats"}


def load_reader(compact: Path) -> ModuleType:
    """The reader that comes with the compact set."""
    spec = importlib.util.spec_from_file_location("load_openkbp", compact / "load_openkbp.py")
    if spec is None or spec.loader is None:
        raise FileNotFoundError(compact / "load_openkbp.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["load_openkbp"] = module
    spec.loader.exec_module(module)
    return module


def unpack(file: Path, folder: Path, reader: ModuleType) -> None:
    """Write one patient as CSV files: flat voxel index and value; masks have an index alone."""
    patient = reader.load(file)
    folder.mkdir(parents=True, exist_ok=True)
    _values(folder / "ct.csv", patient.ct.astype(float))
    _values(folder / "dose.csv", patient.dose_gy.astype(float).round(3))
    _mask(folder / "possible_dose_mask.csv", patient.possible_dose)
    for bit, name in enumerate(reader.STRUCTURES):
        mask = (patient.structures >> bit) & 1 > 0
        if mask.any():
            _mask(folder / f"{name}.csv", mask)
    np.savetxt(folder / "voxel_dimensions.csv", patient.voxel_mm)


def _values(file: Path, volume: np.ndarray) -> None:
    where = np.flatnonzero(volume)
    pd.Series(volume.flat[where], index=where, name="data").to_csv(file)


def _mask(file: Path, mask: np.ndarray) -> None:
    where = np.flatnonzero(mask)
    pd.Series(np.nan, index=where, name="data").to_csv(file)


def main(compact: Path, destination: Path, patients: int = 0, validation: int = -1) -> None:
    """Unpack the first `patients` training (0: all) and `validation` validation patients (-1: all)."""
    reader = load_reader(compact)
    for (name, folder), count in zip(
        FOLDERS.items(), (patients or None, None if validation < 0 else validation), strict=True
    ):
        files = sorted((compact / name).glob("pt_*.npz"), key=lambda p: int(p.stem[3:]))[:count]
        for file in track(files, f"Unpacking {name}"):
            unpack(file, destination / folder / file.stem, reader)


if __name__ == "__main__":
    typer.run(main)
