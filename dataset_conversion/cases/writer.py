"""Writes extended datasets: every converter ends here.

Cases appear whole, and a broken run can be taken up again.
"""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nnunet_doselo.common.errors import DoseloError
from nnunet_doselo.common.files import all_or_nothing, json_values, read_json, write_json
from nnunet_doselo.dataset.folder import CONTEXT_KINDS
from nnunet_doselo.dataset.geometry import Grid
from nnunet_doselo.dataset.guidance import DOSE_GUIDANCE, DoseGuidance
from nnunet_doselo.dataset.images import write_array

SETTINGS_FILE = "conversion.json"


@dataclass(frozen=True)
class Case:
    """One patient on one grid. Arrays are (Z, Y, X); an image of None means: the CT itself."""

    name: str
    grid: Grid
    images: tuple[np.ndarray | None, ...]
    labels: np.ndarray
    ct_hu: np.ndarray
    oars: np.ndarray
    dose_gy: np.ndarray | None


class DatasetWriter:
    """Writes the cases of one dataset, one after another or from several processes."""

    def __init__(self, folder: Path, ending: str = ".nii.gz") -> None:
        self.folder = folder
        self.ending = ending

    def begin(self, settings: dict[str, Any], *, overwrite: bool = False) -> None:
        """Create the folder, or take up an earlier run with the same settings.

        Raises
        ------
        DoseloError: the folder holds the output of other settings, or no conversion at all.
        """
        if overwrite and self.folder.exists():
            shutil.rmtree(self.folder)
        settings = json_values(settings)
        record = self.folder / SETTINGS_FILE
        if self.folder.exists() and any(self.folder.iterdir()):
            begun_with = read_json(record, "doselo convert ... --overwrite") if record.exists() else "nothing"
            if begun_with != settings:
                raise DoseloError(
                    f"{self.folder}: not empty, and its {SETTINGS_FILE} says {begun_with} where this run has "
                    f"{settings}; choose another dataset number, or pass --overwrite to replace it"
                )
            self._remove_partial_files()
        self.folder.mkdir(parents=True, exist_ok=True)
        write_json(record, settings)

    def _remove_partial_files(self) -> None:
        """What a killed run left behind: nnU-Net would take hidden files for cases."""
        for kind in ("images", "labels", *CONTEXT_KINDS):
            for split in ("Tr", "Ts"):
                for partial in (self.folder / f"{kind}{split}").glob(f".*{self.ending}"):
                    partial.unlink()

    def has(self, case: str, split: str, *, with_dose: bool = True) -> bool:
        """True if the case was written to its end (labels come last) and nothing was deleted since."""
        kinds = ("labels", *(CONTEXT_KINDS if with_dose else CONTEXT_KINDS[:2]))
        files = [
            self.file("images", f"{case}_0000", split),
            *(self.file(kind, case, split) for kind in kinds),
        ]
        return all(file.exists() for file in files)

    def write(self, case: Case, split: str = "Tr") -> None:
        """Write one case; its labels last, so that a case with labels is complete."""
        ct_file = self.file("ct", case.name, split)
        write_array(ct_file, as_hu(case.ct_hu), case.grid)
        write_array(self.file("oars", case.name, split), case.oars.astype(np.uint8), case.grid)
        if case.dose_gy is not None:
            write_array(self.file("dose", case.name, split), case.dose_gy.astype(np.float32), case.grid)
        for channel, image in enumerate(case.images):
            file = self.file("images", f"{case.name}_{channel:04d}", split)
            if image is None:
                link_or_copy(ct_file, file)
            else:
                write_array(file, image, case.grid)
        write_array(self.file("labels", case.name, split), case.labels.astype(np.uint8), case.grid)

    def finish(self, channel_names: list[str], labels: dict[str, Any], guidance: DoseGuidance, **more: Any) -> None:
        """Write dataset.json; from here on nnU-Net sees the dataset."""
        write_json(
            self.folder / "dataset.json",
            {
                "channel_names": {str(i): name for i, name in enumerate(channel_names)},
                "labels": labels,
                "numTraining": len(list((self.folder / "labelsTr").glob(f"[!.]*{self.ending}"))),
                "file_ending": self.ending,
                "overwrite_image_reader_writer": "SimpleITKIO",
                DOSE_GUIDANCE: guidance.to_json(),
                **more,
            },
        )

    def file(self, kind: str, name: str, split: str) -> Path:
        return self.folder / f"{kind}{split}" / f"{name}{self.ending}"


def as_hu(ct_hu: np.ndarray) -> np.ndarray:
    """A CT (Z, Y, X) as it is stored: HU, rounded, int16.

    Raises
    ------
    DoseloError: a voxel is not finite.
    """
    if not np.isfinite(ct_hu).all():
        raise DoseloError(f"the CT must be finite, found {int((~np.isfinite(ct_hu)).sum())} voxels that are not")
    limits = np.iinfo(np.int16)
    return np.clip(np.rint(ct_hu), limits.min, limits.max).astype(np.int16)


def link_or_copy(source: Path, destination: Path) -> None:
    """Hard-link, or copy where the file system cannot; the destination appears whole."""
    with all_or_nothing(destination) as partial:
        try:
            os.link(source.resolve(), partial)  # a link to a link would break when the folder moves
        except OSError:
            shutil.copy2(source, partial)


def dataset_folder(root: Path, dataset_id: int, name: str) -> Path:
    """`DatasetXXX_name` below `root`.

    Raises
    ------
    DoseloError: the number is out of range or taken by a dataset of another name.
    """
    if not 1 <= dataset_id <= 999:
        raise DoseloError(f"dataset number must be 1 to 999, found {dataset_id}")
    folder = root / f"Dataset{dataset_id:03d}_{name}"
    others = sorted(p.name for p in root.glob(f"Dataset{dataset_id:03d}_*") if p != folder)
    if others:
        raise DoseloError(f"{root}: number {dataset_id} is taken by {others}; choose another")
    return folder
