"""Layout files: where a cohort's NIfTI files lie, and what they hold. YAML, read strictly.

The structure is told at the head of layouts/paper_dose.yaml.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nnunet_doselo.common.errors import DoseloError

from ..cases.assemble import CT_CHANNEL
from ..cases.ids import Split
from ..names.yaml_files import mapping, read_yaml, texts

LAYOUT_FOLDER = Path(__file__).resolve().parent / "layouts"
BUILTIN_LAYOUTS = tuple(sorted(path.stem for path in LAYOUT_FOLDER.glob("*.yaml")))
CT_UNITS = {"HU": (1.0, 0.0), "HU+1000": (1.0, -1000.0), "HU+1024": (1.0, -1024.0), "HU/1000": (1000.0, 0.0)}
"""Stored value to HU: factor and shift."""
DOSE_UNITS = {"Gy": 1.0, "cGy": 0.01}
COORDINATES, RIGID = ALIGN = ("coordinates", "rigid")
FILES = ("ct", "images", "masks", "label_maps", "dose")
LAYOUT_KEYS = (*FILES, "patients", "ct_units", "dose_units", "align", "splits", "mapping", "note")
FIELDS = ("patient", "structure", "split")
FIELD = re.compile(r"\{(\w*)\}")
CHANNEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")


@dataclass(frozen=True)
class LabelMap:
    """A file of several structures: their names by value; None for a value that is left out."""

    pattern: str
    names: dict[int, str | None]


@dataclass(frozen=True)
class Layout:
    """Patterns are paths below the source folder, with {patient}, {structure}, {split}, and * within a name.

    images: pattern by network input, in order; None for the planning CT. patients: glob of patients' names.
    ct_to_hu: factor and shift. dose_to_gy: factor. align: how images come onto the CT, one of ALIGN.
    splits: nnU-Net's split by folder name. mapping: the name map that fits, unless the user names another.
    note: what users must know, printed with every conversion.
    """

    ct: str
    images: dict[str, str | None]
    masks: tuple[str, ...] = ()
    label_maps: tuple[LabelMap, ...] = ()
    dose: str | None = None
    patients: str = "*"
    ct_to_hu: tuple[float, float] = (1.0, 0.0)
    dose_to_gy: float = 1.0
    align: str = COORDINATES
    splits: dict[str, Split] = field(default_factory=dict)
    mapping: str | None = None
    note: str = ""

    @property
    def channels(self) -> list[str]:
        return list(self.images)

    def needed(self) -> dict[str, str]:
        """Pattern of each file that a patient must have, by what it is."""
        images = {f"image {name}": pattern for name, pattern in self.images.items() if pattern}
        label_maps = {f"label map {number}": map_.pattern for number, map_ in enumerate(self.label_maps, start=1)}
        return {"ct": self.ct, **images, **({"dose": self.dose} if self.dose else {}), **label_maps}


def read_layout(path_or_builtin: str | Path) -> Layout:
    """Read a layout: a YAML file, or the name of one that comes along.

    Raises
    ------
    DoseloError: no such file; not YAML; a key, a unit or a pattern that cannot be used.
    """
    path = (
        LAYOUT_FOLDER / f"{path_or_builtin}.yaml" if str(path_or_builtin) in BUILTIN_LAYOUTS else Path(path_or_builtin)
    )
    if not path.is_file():
        raise DoseloError(f"{path}: no such layout; give a YAML file, or one of {', '.join(BUILTIN_LAYOUTS)}")
    content = mapping(read_yaml(path), str(path), LAYOUT_KEYS)
    where = {key: f"{path}, {key}" for key in LAYOUT_KEYS}
    layout = Layout(
        ct=_text(content.get("ct"), where["ct"]),
        images=_images(content.get("images"), where["images"]),
        masks=_one_or_more(content.get("masks"), where["masks"]),
        label_maps=_label_maps(content.get("label_maps"), where["label_maps"]),
        dose=_text(content["dose"], where["dose"]) if "dose" in content else None,
        patients=_text(content.get("patients", "*"), where["patients"]),
        ct_to_hu=CT_UNITS[_one_of(CT_UNITS, content.get("ct_units", "HU"), where["ct_units"])],
        dose_to_gy=DOSE_UNITS[_one_of(DOSE_UNITS, content.get("dose_units", "Gy"), where["dose_units"])],
        align=_one_of(ALIGN, content.get("align", COORDINATES), where["align"]),
        splits=_splits(content.get("splits"), where["splits"]),
        mapping=_text(content["mapping"], where["mapping"]) if "mapping" in content else None,
        note=_text(content["note"], where["note"]) if "note" in content else "",
    )
    _check_patterns(layout, path)
    return layout


def _images(content: Any, where: str) -> dict[str, str | None]:
    """Without any, the network sees the CT."""
    images = {name: _text(pattern, f"{where}, {name}") for name, pattern in mapping(content, where).items()}
    for name, pattern in images.items():
        if not CHANNEL.fullmatch(name) or (name == CT_CHANNEL) is not (pattern == "ct"):
            raise DoseloError(f"{where}: an input has a plain name and a pattern, the CT is `CT: ct`; found {name!r}")
    return {name: None if name == CT_CHANNEL else pattern for name, pattern in images.items()} or {CT_CHANNEL: None}


def _label_maps(content: Any, where: str) -> tuple[LabelMap, ...]:
    if content is not None and not isinstance(content, list):
        raise DoseloError(f"{where}: must be a list of files with `file` and `values`, found {content!r}")
    return tuple(_label_map(entry, f"{where}, {number}") for number, entry in enumerate(content or [], start=1))


def _label_map(entry: Any, where: str) -> LabelMap:
    entry = mapping(entry, where, ("file", "values"))
    values = entry.get("values")
    numbers = isinstance(values, Mapping) and all(type(value) is int and value > 0 for value in values)
    if not numbers or not values or not all(name is None or isinstance(name, str) for name in values.values()):
        raise DoseloError(f"{where}: `values` gives a name to each value, like {{1: Brainstem}}, found {values!r}")
    return LabelMap(_text(entry.get("file"), f"{where}, file"), dict(values))


def _splits(content: Any, where: str) -> dict[str, Split]:
    entry = mapping(content, where, ("train", "test"))
    train, test = (_one_or_more(entry.get(key), f"{where}, {key}") for key in ("train", "test"))
    if both := sorted({*train} & {*test}):
        raise DoseloError(f"{where}: a folder is for training or for testing, found in both: {', '.join(both)}")
    return {folder: "Tr" if folder in train else "Ts" for folder in (*train, *test)}


def _check_patterns(layout: Layout, path: Path) -> None:
    """Every file must say whose it is, every mask also what it is."""
    if not layout.masks and not layout.label_maps:
        raise DoseloError(f"{path}: needs `masks` or `label_maps`, or there is nothing to learn")
    patterns = [(pattern, {"patient"}) for pattern in layout.needed().values()]
    patterns += [(pattern, {"patient", "structure"}) for pattern in layout.masks]
    for pattern, needed in patterns:
        fields = {*FIELD.findall(pattern)}
        wanted = needed | ({"split"} if layout.splits else set())
        if fields != wanted or re.search(r"[{}]", FIELD.sub("", pattern)):
            wants = ", ".join(f"{{{name}}}" for name in FIELDS if name in wanted)
            raise DoseloError(f"{path}: the pattern {pattern!r} must hold {wants} and no other field")
        if pattern.startswith("/") or ".." in pattern.split("/") or "**" in pattern:
            raise DoseloError(f"{path}: patterns are paths below the source folder, * stays within a name; {pattern!r}")


def _text(value: Any, where: str) -> str:
    if not isinstance(value, str) or not value.strip():
        raise DoseloError(f"{where}: must be text, found {value!r}")
    return value


def _one_or_more(value: Any, where: str) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) and value.strip() else texts(value, where)


def _one_of(allowed: Collection[str], value: Any, where: str) -> str:
    if value not in allowed:
        raise DoseloError(f"{where}: must be one of {', '.join(allowed)}, found {value!r}")
    return value
