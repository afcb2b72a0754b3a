"""The extended dataset on disk: a plain nnU-Net dataset with sibling folders for CT, organs and dose."""

import os
import re
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path
from typing import Any

from nnunet_doselo.common.errors import DoseloError
from nnunet_doselo.common.files import read_json
from nnunet_doselo.common.nnunet_environment import RAW
from nnunet_doselo.dataset.guidance import DoseGuidance

CONTEXT_KINDS = ("ct", "oars", "dose")
NEEDED_BY_NNUNET = ("channel_names", "labels", "file_ending")


@dataclass(frozen=True)
class ExtendedDataset:
    """Paths and declarations of one dataset below nnUNet_raw. Splits are nnU-Net's: "Tr" and "Ts"."""

    folder: Path

    @cached_property
    def dataset_json(self) -> dict[str, Any]:
        file = self.folder / "dataset.json"
        if not file.exists():
            raise DoseloError(f"{file}: no such file; is {self.folder} an nnU-Net dataset?")
        content = read_json(file, "doselo convert")
        missing = [key for key in NEEDED_BY_NNUNET if key not in content]
        if missing:
            raise DoseloError(f"{file}: nnU-Net needs {', '.join(NEEDED_BY_NNUNET)}, missing {missing}")
        return content

    @cached_property
    def guidance(self) -> DoseGuidance:
        return DoseGuidance.from_dataset_json(self.dataset_json, where=str(self.folder / "dataset.json"))

    @property
    def is_synthetic(self) -> bool:
        """True if dataset.json says that its patients are none ("synthetic": true, which nnU-Net ignores)."""
        return self.dataset_json.get("synthetic") is True

    @property
    def ending(self) -> str:
        return self.dataset_json["file_ending"]

    def image_paths(self, case: str, split: str = "Tr") -> list[Path]:
        channels = len(self.dataset_json["channel_names"])
        return [self.folder / f"images{split}" / f"{case}_{c:04d}{self.ending}" for c in range(channels)]

    def path(self, kind: str, case: str, split: str = "Tr") -> Path:
        """`kind`: "labels", "ct", "oars" or "dose"."""
        return self.folder / f"{kind}{split}" / f"{case}{self.ending}"

    def cases(self, kind: str = "labels", split: str = "Tr") -> list[str]:
        """Names of the cases that have a file of that kind, sorted; empty if the folder is missing."""
        names = (p.name for p in (self.folder / f"{kind}{split}").glob(f"*{self.ending}") if p.name[0] != ".")
        stems = (name[: -len(self.ending)] for name in names)
        if kind != "images":
            return sorted(stems)
        return sorted({stem[:-5] for stem in stems if re.fullmatch(r".+_\d{4}", stem)})


def environment_folder(variable: str) -> Path:
    """The folder that one of nnU-Net's environment variables names.

    Raises
    ------
    DoseloError: the variable is not set.
    """
    value = os.environ.get(variable)
    if not value:
        raise DoseloError(f"the environment variable {variable} must name a folder, found nothing; see `doselo doctor`")
    return Path(value)


def find_dataset_name(dataset: str | int, root: Path) -> str:
    """Turn 501, "501" or "Dataset501_GBM" into the folder's name below `root`.

    Raises
    ------
    DoseloError: no dataset, or more than one, has that number or name.
    """
    wanted = f"Dataset{int(dataset):03d}_*" if str(dataset).isdigit() else str(dataset)
    names = sorted(p.name for p in root.glob("Dataset*") if p.is_dir() and fnmatchcase(p.name, wanted))
    if len(names) != 1:
        there = sorted(p.name for p in root.glob("Dataset*")) or "nothing"
        raise DoseloError(f"{root}: expected one dataset {wanted}, found {names or 'none'}; in the folder: {there}")
    return names[0]


def raw_dataset(dataset: str | int) -> ExtendedDataset:
    """The extended dataset of that number or name below nnUNet_raw."""
    root = environment_folder(RAW)
    return ExtendedDataset(root / find_dataset_name(dataset, root))
