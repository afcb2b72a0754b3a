"""A gamma criterion as people write it: 3%/2mm."""

import re
from dataclasses import dataclass

from nnunet_doselo.common.errors import DoseloError

NUMBER = r"(\d+(?:\.\d+)?)"
CRITERION = re.compile(rf"{NUMBER}\s*%\s*/\s*{NUMBER}\s*mm")


@dataclass(frozen=True)
class GammaCriterion:
    """Dose in per cent of the prescription, distance in mm; voxels below `cutoff_percent` of it are left out."""

    dose_percent: float = 3.0
    distance_mm: float = 2.0
    cutoff_percent: float = 10.0

    @property
    def text(self) -> str:
        return (
            f"global {self.dose_percent:g} %/{self.distance_mm:g} mm, of the prescription; "
            f"voxels of at least {self.cutoff_percent:g} % of it"
        )


def parse_gamma(text: str) -> GammaCriterion:
    """
    Raises
    ------
    DoseloError: another form, or a criterion of 0.
    """
    found = CRITERION.fullmatch(text.strip())
    if not found or not all(float(number) > 0 for number in found.groups()):
        raise DoseloError(f"a gamma criterion must look like 3%/2mm, with two numbers above 0; found {text!r}")
    return GammaCriterion(float(found[1]), float(found[2]))
