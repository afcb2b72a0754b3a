"""An extended dataset's cases as slices that can be read one at a time: the predictor's training data on disk.

One .b2nd file a case, int16 (3, Z, Y, X) = CT offset so that air is 0, target label, organ label, and one float32
(Z, Y, X) for the dose; resampled to the predictor's spacing: along y and x, slices staying as they were acquired, or
along all axes for a predictor of volumes.
"""

import hashlib
import json
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import blosc2
import numpy as np
import SimpleITK as sitk

from nnunet_doselo.common.errors import DoseloError
from nnunet_doselo.common.files import all_or_nothing
from nnunet_doselo.common.hashing import sha256_of
from nnunet_doselo.common.parallel import map_cases
from nnunet_doselo.dataset.folder import ExtendedDataset
from nnunet_doselo.dataset.geometry import AIR_HU, SAME_SPACING
from nnunet_doselo.dataset.images import array_of, grid_of, onto_grid, read_grid, read_image

TRAINING_KINDS = ("ct", "labels", "oars", "dose")


@dataclass(frozen=True)
class CachedCase:
    """One case in the cache; arrays are read lazily."""

    name: str
    folder: Path

    def context(self) -> blosc2.NDArray:
        """int16 (3, Z, Y, X): HU - AIR_HU, target label, organ label."""
        return blosc2.open(str(self.folder / f"{self.name}_context.b2nd"), mode="r", mmap_mode="r")

    def dose_gy(self) -> blosc2.NDArray:
        """float32 (Z, Y, X)."""
        return blosc2.open(str(self.folder / f"{self.name}_dose.b2nd"), mode="r", mmap_mode="r")

    def dosed_slices(self) -> np.ndarray:
        """Indices of slices that hold any dose."""
        return np.flatnonzero(self.meta("dosed"))

    def meta(self, key: str) -> Any:
        """What was written beside the context."""
        array = self.context()
        chunks = array.schunk  # array and chunks must both outlive their metadata
        return chunks.vlmeta[key]


def training_cases(dataset: ExtendedDataset) -> list[str]:
    """Cases with labels, CT, organs and dose.

    Raises
    ------
    DoseloError: there are fewer than two.
    """
    complete = sorted(set.intersection(*(set(dataset.cases(kind)) for kind in TRAINING_KINDS)))
    if len(complete) < 2:
        raise DoseloError(
            f"{dataset.folder}: a dose predictor needs at least two training cases with "
            f"{', '.join(f'{k}Tr' for k in TRAINING_KINDS)}, found {len(complete)}"
        )
    return complete


def median_spacing(dataset: ExtendedDataset, cases: list[str], dim: int = 2) -> tuple[float, ...]:
    """Median voxel spacing in mm: in-plane (y, x), or (z, y, x) if `dim` is 3."""
    spacings = np.array([read_grid(dataset.path("ct", case)).spacing_zyx[-dim:] for case in cases])
    return tuple(round(float(median), 4) for median in np.median(spacings, axis=0))


def data_hash(dataset: ExtendedDataset, cases: list[str]) -> str:
    """SHA-256 over the content of every file that trains the predictor, in a fixed order."""
    digest = hashlib.sha256()
    for case in cases:
        for kind in TRAINING_KINDS:
            digest.update(f"{case}/{kind}:{sha256_of(dataset.path(kind, case))}\n".encode())
    return digest.hexdigest()


def build_cache(
    dataset: ExtendedDataset,
    cases: list[str],
    spacing_mm: tuple[float, ...],
    folder: Path,
    *,
    processes: int,
) -> list[CachedCase]:
    """Write what is missing or out of date; the rest is kept.

    spacing_mm: (y, x), slices staying where they are, or (z, y, x).
    """
    folder.mkdir(parents=True, exist_ok=True)
    to_do = [case for case in cases if not _is_current(dataset, case, spacing_mm, folder)]
    map_cases(
        partial(_cache_case, dataset=dataset, spacing_mm=spacing_mm, folder=folder),
        to_do,
        processes=processes,
        description="Preparing slices",
    )
    return [CachedCase(case, folder) for case in cases]


def _source(dataset: ExtendedDataset, case: str, spacing_mm: tuple[float, ...]) -> str:
    """What a cached case was made from."""
    stats = {kind: [(s := dataset.path(kind, case).stat()).st_size, s.st_mtime_ns] for kind in TRAINING_KINDS}
    return json.dumps({"spacing_mm": spacing_mm, "files": stats})


def _is_current(dataset: ExtendedDataset, case: str, spacing_mm: tuple[float, ...], folder: Path) -> bool:
    cached = CachedCase(case, folder)
    try:
        cached.dose_gy()
        return cached.meta("source") == _source(dataset, case, spacing_mm)
    except (FileNotFoundError, RuntimeError, KeyError):
        return False


def _cache_case(case: str, dataset: ExtendedDataset, spacing_mm: tuple[float, ...], folder: Path) -> None:
    images = {kind: read_image(dataset.path(kind, case)) for kind in TRAINING_KINDS}
    arrays = {kind: _resampled(image, spacing_mm, _interpolation(kind), kind) for kind, image in images.items()}
    ct = np.clip(np.rint(arrays["ct"]) - AIR_HU, 0, np.iinfo(np.int16).max)
    context = np.stack([ct, arrays["labels"], arrays["oars"]]).astype(np.int16)
    dose = arrays["dose"].astype(np.float32)
    meta = {"source": _source(dataset, case, spacing_mm), "dosed": (dose > 0).any(axis=(1, 2)).tolist()}
    _save(dose, folder / f"{case}_dose.b2nd", {})
    _save(context, folder / f"{case}_context.b2nd", meta)


def _interpolation(kind: str) -> int:
    return sitk.sitkNearestNeighbor if kind in ("labels", "oars") else sitk.sitkLinear


def _resampled(image: sitk.Image, spacing_mm: tuple[float, ...], interpolation: int, kind: str) -> np.ndarray:
    """(Z, Y, X) with spacing (y, x) or (z, y, x), outer faces kept; untouched if the spacing fits to 1 %."""
    grid = grid_of(image)
    spacing_zyx = (*grid.spacing_zyx[: 3 - len(spacing_mm)], *spacing_mm)
    if all(abs(mm / new - 1) <= SAME_SPACING for mm, new in zip(grid.spacing_zyx, spacing_zyx, strict=True)):
        return array_of(image)
    outside = AIR_HU if kind == "ct" else 0
    return array_of(onto_grid(image, grid.respaced(spacing_zyx), interpolator=interpolation, outside=outside))


def _save(array: np.ndarray, path: Path, meta: dict) -> None:
    """One chunk a slice, so that training reads only what it shows."""
    chunks = (*array.shape[:-3], 1, *array.shape[-2:])
    with all_or_nothing(path) as file:
        stored = blosc2.asarray(np.ascontiguousarray(array), urlpath=str(file), mode="w", chunks=chunks)
        for key, value in meta.items():
            stored.schunk.vlmeta[key] = value
        del stored
