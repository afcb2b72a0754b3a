"""One case of an extended dataset in memory, on its own grid."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from nnunet_doselo.dataset.folder import ExtendedDataset
from nnunet_doselo.dataset.geometry import Grid, body_mask
from nnunet_doselo.dataset.images import read_array


@dataclass(frozen=True)
class Patient:
    """Arrays are (Z, Y, X); `dose_gy` is None where the dataset has no dose for the case."""

    name: str
    grid: Grid
    ct_hu: np.ndarray
    oars: np.ndarray
    labels: np.ndarray
    dose_gy: np.ndarray | None

    @property
    def spacing_mm(self) -> tuple[float, ...]:
        """(z, y, x)."""
        return self.grid.spacing_zyx

    @cached_property
    def body(self) -> np.ndarray:
        """`geometry.body_mask` of the CT, (Z, Y, X)."""
        return body_mask(self.ct_hu)


def load_patient(dataset: ExtendedDataset, case: str, split: str = "Tr") -> Patient:
    """Read CT, organs, labels and, where there is one, the reference dose.

    Raises
    ------
    DoseloError: a file is missing or unreadable.
    """
    ct_hu, grid = read_array(dataset.path("ct", case, split))
    oars, _ = read_array(dataset.path("oars", case, split))
    labels, _ = read_array(dataset.path("labels", case, split))
    dose_file = dataset.path("dose", case, split)
    dose_gy = read_array(dose_file)[0] if dose_file.exists() else None
    return Patient(case, grid, ct_hu, oars, labels, dose_gy)


def dose_counts(body: np.ndarray, dose_gy: np.ndarray | None = None) -> np.ndarray:
    """Where predictors are taught, and so where their doses count: the body, and wherever dose was planned.

    body: (Z, Y, X) or one slice (Y, X), boolean. dose_gy: of the same shape, Gy. Returns such a mask; the body alone
    without a dose.
    """
    return body if dose_gy is None else body | (dose_gy > 0)


def prescription_map(
    labels: np.ndarray, label_values: Mapping[str, Sequence[int]], target_fraction: Mapping[str, float]
) -> np.ndarray:
    """Prescribed dose / Rx of each voxel, float32, in [0, 1]; the highest where regions overlap, 0 outside of targets.

    Parameters
    ----------
    labels: (Z, Y, X) label map, or of any shape; the result has the same.
    label_values: values in it by name, several for one of nnU-Net's regions.
    target_fraction: prescribed dose / Rx by target name; all 0 if there is none.
    """
    prescribed = np.zeros(labels.shape, np.float32)
    for name, fraction in target_fraction.items():
        inside = np.isin(labels, label_values[name])
        prescribed[inside] = np.maximum(prescribed[inside], fraction)
    return prescribed


def label_values(dataset: ExtendedDataset) -> dict[str, list[int]]:
    """Values in the label map by name: one for a label, several for one of nnU-Net's regions."""
    labels = dataset.dataset_json["labels"]
    return {name: [value] if isinstance(value, int) else list(value) for name, value in labels.items()}


def target_map(dataset: ExtendedDataset, labels: np.ndarray) -> np.ndarray:
    """`prescription_map` of a label map (Z, Y, X), after the dataset's own declarations."""
    values = label_values(dataset)
    return prescription_map(labels, values, dataset.guidance.target_fraction(values))
