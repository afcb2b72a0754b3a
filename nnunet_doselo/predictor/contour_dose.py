"""Dose of any contour, in seconds: CT, organs and contour through a dose predictor, from Python.

It is the dose that a predictor expects, not a plan, and good for comparing contours: never treat on it.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from nnunet_doselo.common.errors import DoseloError
from nnunet_doselo.dataset.geometry import TISSUE_HU, Grid, require_same_shape
from nnunet_doselo.dataset.guidance import DoseGuidance
from nnunet_doselo.dataset.images import read_array, read_on_grid
from nnunet_doselo.dataset.patient import prescription_map
from nnunet_doselo.dataset.structures import Structure, structure_masks
from nnunet_doselo.predictor.artifact import FrozenPredictor
from nnunet_doselo.predictor.volume import predict_volume

LabelValues = Mapping[str, Sequence[int]]


@dataclass(frozen=True, eq=False)
class Anatomy:
    """What stays the same while a contour is edited: (Z, Y, X) CT in HU and organ labels, axial slices, one grid.

    >>> import numpy as np
    >>> from nnunet_doselo import Anatomy, Grid
    >>> upright = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)
    >>> grid = Grid(size=(32, 24, 16), spacing=(1.0, 1.0, 3.0), origin=(0.0, 0.0, 0.0), direction=upright)
    >>> ct_hu, oars = np.full((16, 24, 32), -1000), np.zeros((16, 24, 32), np.uint8)
    >>> round(Anatomy(ct_hu, oars, grid).voxel_cc, 6)
    0.003

    Raises DoseloError if the shapes differ from the grid's, slices are not axial, or the CT is not in HU.
    """

    ct_hu: np.ndarray
    oars: np.ndarray
    grid: Grid

    def __post_init__(self) -> None:
        require_same_shape(ct_hu=self.ct_hu, oars=self.oars)
        if self.ct_hu.shape != self.grid.shape:
            raise DoseloError(f"the CT (z, y, x) {self.ct_hu.shape} does not fit the grid (x, y, z) {self.grid.size}")
        if not self.grid.is_axial:
            raise DoseloError(f"slices of the CT must be axial, found direction {self.grid.direction}; reorient it")
        if not (np.isfinite(self.ct_hu).all() and self.ct_hu.min() < TISSUE_HU):
            raise DoseloError(
                f"the CT must be in HU, air near -1000; its lowest value is {self.ct_hu.min():g}: "
                "was 1024 not taken off, or the air cut out?"
            )

    @property
    def voxel_cc(self) -> float:
        return self.grid.voxel_cc


def anatomy_from_files(ct: Path | str, oars: Path | str) -> Anatomy:
    """Read CT and organs.

    >>> from nnunet_doselo import anatomy_from_files
    >>> anatomy = anatomy_from_files("CT.nii.gz", "OARS.nii.gz")
    >>> anatomy.ct_hu.shape, anatomy.grid.spacing_zyx
    ((16, 32, 32), (3.0, 3.0, 3.0))

    Raises
    ------
    DoseloError: a file is missing or unreadable, the grids differ, or see `Anatomy`.
    """
    ct_hu, grid = read_array(Path(ct))
    return Anatomy(ct_hu, read_on_grid(Path(oars), grid), grid)


def predict_dose(
    predictor: FrozenPredictor,
    anatomy: Anatomy,
    labels: np.ndarray,
    *,
    label_values: LabelValues | None = None,
    device: torch.device | str = "cpu",
) -> np.ndarray:
    """Predicted dose of one contour.

    >>> import numpy as np
    >>> from nnunet_doselo import anatomy_from_files, load_predictor, predict_dose
    >>> predictor = load_predictor("dose_predictor.ts")
    >>> anatomy = anatomy_from_files("CT.nii.gz", "OARS.nii.gz")
    >>> contour = np.zeros(anatomy.ct_hu.shape, np.uint8)
    >>> contour[6:10, 13:19, 13:19] = 1
    >>> dose_gy = predict_dose(predictor, anatomy, contour)
    >>> dose_gy.shape, str(dose_gy.dtype)
    ((16, 32, 32), 'float32')
    >>> bool(dose_gy[contour == 1].mean() > 10 * dose_gy[contour == 0].mean())
    True

    Parameters
    ----------
    labels: (Z, Y, X) label map of the target or targets, on the anatomy's grid. All 0 is allowed and gives what the
        predictor makes of no target.
    label_values: values in `labels` by name; default: 1, 2, ... in the order of the card's targets. Where regions
        share a value the higher prescription counts.

    Returns
    -------
    (Z, Y, X) float32, Gy, never negative; outside the body too, where predictors are not taught anything.

    Raises
    ------
    DoseloError: shapes differ; a target of the card has no value; labels or organs hold values that nothing names.
    """
    guidance = predictor.card.guidance
    values = check_label_values(guidance, label_values)
    require_same_shape(ct_hu=anatomy.ct_hu, labels=labels)
    _require_known("label map", labels, {name: list(numbers) for name, numbers in values.items()})
    _require_known("organs", anatomy.oars, {name: [value] for name, value in guidance.oars.items()})
    target = prescription_map(labels, values, guidance.target_fraction(values))
    return predict_volume(predictor, target, anatomy.oars, anatomy.ct_hu, anatomy.grid.spacing_zyx, device)


def structures_of(
    predictor: FrozenPredictor, anatomy: Anatomy, labels: np.ndarray, label_values: LabelValues | None = None
) -> Iterator[Structure]:
    """Masks (Z, Y, X) of a contour's targets and of organs, one at a time, for the DVHs of a dose.

    labels, label_values: as for `predict_dose`.

    Raises
    ------
    DoseloError: see `check_label_values`.
    """
    guidance = predictor.card.guidance
    return structure_masks(labels, anatomy.oars, check_label_values(guidance, label_values), guidance)


def check_label_values(guidance: DoseGuidance, label_values: LabelValues | None) -> LabelValues:
    """The values themselves, or 1, 2, ... in the order of the prescribed doses.

    Raises
    ------
    DoseloError: a target has no value, or a value is no positive integer.
    """
    if label_values is None:
        return {name: [number] for number, name in enumerate(guidance.target_gy, start=1)}
    missing = [name for name in guidance.target_gy if not label_values.get(name)]
    wrong = [name for name in guidance.target_gy if any(value < 1 for value in label_values.get(name, []))]
    if missing or wrong:
        raise DoseloError(
            f"each of the predictor's targets {list(guidance.target_gy)} needs a value above 0 in the label map, found "
            f"{dict(label_values)}; give all of them, for example --target {[*missing, *wrong][0]}=1"
        )
    return label_values


def parse_targets(options: Iterable[str]) -> dict[str, list[int]] | None:
    """["PTV70=1", "PTV56=2", "PTV56=1"] to values by name, a region's several times; None for no options.

    Raises
    ------
    DoseloError: an option is not NAME=NUMBER.
    """
    values: dict[str, list[int]] = {}
    for option in options:
        name, _, number = option.partition("=")
        if not name or not number.isdecimal():
            raise DoseloError(f"a target must be given as NAME=NUMBER, for example GTV=1, found {option}")
        values.setdefault(name, []).append(int(number))
    return values or None


def _require_known(what: str, array: np.ndarray, known: Mapping[str, Sequence[int]]) -> None:
    """A value that nothing names is a sign of another numbering, and of a dose that would be silently wrong."""
    values = {0, *(value for numbers in known.values() for value in numbers)}
    unknown = sorted({*np.unique(array).tolist()} - values)
    if unknown:
        raise DoseloError(f"{what}: must hold 0 and the values of {dict(known)} only, found {unknown[:5]}; renumber it")
