"""The patients that a layout finds below a folder. Names of files and folders are looked at, no file is opened."""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path

from nnunet_doselo.common.errors import DoseloError

from ..cases.ids import Split
from .layout import FIELD, Layout

MASK = "mask"
IN_BOTH = "lies in the folders of both splits"


@dataclass
class NiftiPatient:
    """Files of one patient, relative to the source.

    split: as the folders say, None if they do not. files: by what they are ("ct", "image T1", "dose", "label map 1").
    masks: by the structure's name in the file name. problems: why this is no patient.
    """

    name: str
    split: Split | None
    files: dict[str, str] = field(default_factory=dict)
    masks: dict[str, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


def find_nifti_patients(source: Path, layout: Layout) -> list[NiftiPatient]:
    """All patients of whom at least one file fits a pattern, by name; who lacks one of the others has a problem.

    Raises
    ------
    DoseloError: no folder, or no file in it that fits.
    """
    if not source.is_dir():
        raise DoseloError(f"{source}: must be the folder that holds the patients, is no folder")
    needed = [(kind, _expression(pattern, layout)) for kind, pattern in layout.needed().items()]
    expressions = [*needed, *((MASK, _expression(pattern, layout)) for pattern in layout.masks)]
    patients: dict[str, NiftiPatient] = {}
    for file in _files_below(source):
        kind, fields = next(((k, m.groupdict()) for k, e in expressions if (m := e.fullmatch(file))), (MASK, {}))
        if fields and fnmatchcase(fields["patient"], layout.patients):
            split = layout.splits.get(fields.get("split", ""))
            patient = patients.setdefault(fields["patient"], NiftiPatient(fields["patient"], split))
            _add(patient, kind, file, fields.get("structure"), split)
    if not patients:
        patterns = ", ".join([*layout.needed().values(), *layout.masks])
        raise DoseloError(f"{source}: no file fits the layout's patterns {patterns}")
    for patient in patients.values():
        patient.problems += [
            f"no {kind} ({pattern})" for kind, pattern in layout.needed().items() if kind not in patient.files
        ]
    return [patients[name] for name in sorted(patients)]


def _add(patient: NiftiPatient, kind: str, file: str, structure: str | None, split: Split | None) -> None:
    if split != patient.split and IN_BOTH not in patient.problems:
        patient.problems.append(IN_BOTH)
    place, key = (patient.masks, structure or "") if kind == MASK else (patient.files, kind)
    if key in place:
        patient.problems.append(f"several files fit {kind if kind != MASK else key}: {place[key]} and {file}")
    place[key] = file


def _expression(pattern: str, layout: Layout) -> re.Pattern[str]:
    """A field stands for part of one name, a second time for the same part."""
    parts = []
    seen: set[str] = set()
    for number, text in enumerate(FIELD.split(pattern)):
        if number % 2 == 0:
            parts.append("[^/]*".join(re.escape(piece) for piece in text.split("*")))
        elif text in seen:
            parts.append(f"(?P={text})")
        else:
            choices = "|".join(re.escape(folder) for folder in layout.splits) if text == "split" else "[^/]+"
            parts.append(f"(?P<{text}>{choices})")
        seen |= {text} if number % 2 else set()
    return re.compile("".join(parts))


def _files_below(source: Path) -> Iterator[str]:
    """Paths relative to the source with forward slashes, sorted; hidden files and folders are left out."""
    for folder, below, files in os.walk(source):
        below[:] = sorted(name for name in below if not name.startswith("."))
        for name in sorted(files):
            if not name.startswith("."):
                yield (Path(folder) / name).relative_to(source).as_posix()
