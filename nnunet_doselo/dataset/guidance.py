"""The `dose_guidance` block of dataset.json: what was prescribed, and which organs are at risk."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nnunet_doselo.common.errors import DoseloError

NO_STRUCTURES = ("background", "ignore")
"""Labels of nnU-Net's own that may stand in dataset.json beside the structures."""
DOSE_GUIDANCE = "dose_guidance"
"""The block's name in dataset.json."""


@dataclass(frozen=True)
class DoseGuidance:
    """Prescribed dose (Gy) by target label name, and label value by organ name (AAPM TG-263).

    gantry_deg: angles of the coplanar beams that all plans of the dataset share (IEC 61217, patients supine and head
        first); empty where they are not known, or differ from plan to plan.
    """

    target_gy: dict[str, float]
    oars: dict[str, int]
    gantry_deg: tuple[float, ...] = ()

    @property
    def prescription_gy(self) -> float:
        """Rx: the highest prescribed dose."""
        return max(self.target_gy.values())

    @property
    def organ_labels(self) -> list[int]:
        return sorted(self.oars.values())

    def target_fraction(self, labels: Mapping[str, Any]) -> dict[str, float]:
        """Prescribed dose / Rx, in (0, 1], for each target, in the order of `labels` (dataset.json)."""
        return {name: self.target_gy[name] / self.prescription_gy for name in labels if name in self.target_gy}

    def to_json(self) -> dict[str, Any]:
        known = {"gantry_deg": list(self.gantry_deg)} if self.gantry_deg else {}
        return {"target_gy": dict(self.target_gy), "oars": dict(self.oars), **known}

    @classmethod
    def if_declared(cls, dataset_json: Mapping[str, Any], where: str = "dataset.json") -> "DoseGuidance | None":
        """None of a plain nnU-Net dataset, which has no such block; else as `from_dataset_json`."""
        return cls.from_dataset_json(dataset_json, where) if DOSE_GUIDANCE in dataset_json else None

    @classmethod
    def from_dataset_json(cls, dataset_json: Mapping[str, Any], where: str = "dataset.json") -> "DoseGuidance":
        """Read and check the block.

        Raises
        ------
        DoseloError: the block is missing, names a target that is no label, a dose that is not positive,
            organ labels that are not distinct integers from 1 to 255, or gantry angles outside [0, 360) degrees.
        """
        declared = dataset_json.get(DOSE_GUIDANCE)
        block = declared if isinstance(declared, Mapping) else {}
        target_gy, oars = block.get("target_gy"), block.get("oars", {})
        if not isinstance(target_gy, Mapping) or not target_gy or not isinstance(oars, Mapping):
            raise DoseloError(
                f'{where}: dose guidance needs "{DOSE_GUIDANCE}": {{"target_gy": {{...}}, "oars": {{...}}}}, '
                f"found {declared}; convert the data with `doselo convert`, or add the block to dataset.json in "
                "nnUNet_raw and plan again (nnU-Net keeps a copy in nnUNet_preprocessed)"
            )
        guidance = cls(dict(target_gy), dict(oars), _angles(block.get("gantry_deg", []), where))
        guidance._check(dataset_json.get("labels", {}), where)
        return guidance

    def _check(self, labels: Mapping[str, Any], where: str) -> None:
        unknown = [name for name in self.target_gy if name not in labels or name in NO_STRUCTURES]
        if unknown:
            raise DoseloError(f"{where}: target_gy names {unknown}, which are no labels; labels are {list(labels)}")
        wrong = {name: gy for name, gy in self.target_gy.items() if not _is_number(gy) or gy <= 0}
        if wrong:
            raise DoseloError(f"{where}: prescribed doses must be positive numbers in Gy, found {wrong}")
        values = list(self.oars.values())
        if any(type(v) is not int or not 1 <= v <= 255 for v in values) or len(set(values)) != len(values):
            raise DoseloError(f"{where}: organ labels must be distinct integers from 1 to 255, found {self.oars}")


def _angles(gantry_deg: Any, where: str) -> tuple[float, ...]:
    if not isinstance(gantry_deg, list) or not all(_is_number(angle) and 0 <= angle < 360 for angle in gantry_deg):
        raise DoseloError(
            f"{where}: gantry_deg must be a list of angles from 0 to below 360 degrees, found {gantry_deg}"
        )
    return tuple(float(angle) for angle in gantry_deg)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
