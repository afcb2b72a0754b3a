"""Everything that is decided before training starts: cases, spacing, network."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from nnunet_doselo.common.errors import DoseloError
from nnunet_doselo.dataset.case_names import patient_of
from nnunet_doselo.dataset.folder import ExtendedDataset
from nnunet_doselo.dataset.patient import label_values
from nnunet_doselo.predictor.card import AXES
from nnunet_doselo.predictor.network import DosePredictor, NetworkSettings
from nnunet_doselo.predictor.spatial_domain import (
    WHOLE_DOMAIN,
    WIDEST_GAP_DEG,
    SpatialDomain,
    all_around,
    domain_of_beams,
)

from ..data.cache import median_spacing, training_cases
from ..data.samples import TargetCodes
from .settings import TrainingSettings, precision

FINEST_MM = 2.0
"""Planning systems compute doses on 2 to 3 mm; on finer voxels a predictor only makes each training step dearer."""


@dataclass(frozen=True)
class TrainingPlan:
    """A run before its first step; spacing_mm is (y, x) or (z, y, x)."""

    settings: TrainingSettings
    dataset: ExtendedDataset
    training: list[str]
    validation: list[str]
    spacing_mm: tuple[float, ...]
    network: NetworkSettings
    codes: TargetCodes
    domain: SpatialDomain

    def describe(self) -> dict[str, Any]:
        weights = sum(p.numel() for p in DosePredictor(self.network).parameters())
        return {
            "training cases": len(self.training),
            "validation cases": len(self.validation),
            "axes": AXES[self.settings.dim],
            f"spacing ({', '.join('zyx'[-self.settings.dim :])}), mm": self.spacing_mm,
            "beams, degrees": self.network.gantry_deg or "not used",
            "patients are": self.domain,
            "organs": self.dataset.guidance.oars,
            "prescribed dose, Gy": self.dataset.guidance.target_gy,
            "channels": f"{self.network.first} then {self.network.second}, {weights / 1e6:.2f} million weights",
            "steps": self.settings.epochs * self.settings.iterations_per_epoch,
            "precision": precision(self.settings.precision),
        }


def make_plan(dataset: ExtendedDataset, settings: TrainingSettings) -> TrainingPlan:
    """Split the cases, choose the spacing and the network.

    Raises
    ------
    DoseloError: settings out of range, or the dataset cannot train a predictor.
    """
    settings.check()
    guidance = dataset.guidance
    cases = training_cases(dataset)
    training, validation = _split(cases, settings)
    values = label_values(dataset)
    spacing_mm = settings.spacing_mm or working_spacing(median_spacing(dataset, cases, settings.dim))
    network = NetworkSettings(
        tuple(guidance.organ_labels),
        guidance.prescription_gy,
        dim=settings.dim,
        gantry_deg=guidance.gantry_deg if settings.beams else (),
        pixel_mm=(spacing_mm[-2], spacing_mm[-1]),
    )
    return TrainingPlan(
        settings,
        dataset,
        training,
        validation,
        spacing_mm,
        network.scaled(settings.width),
        TargetCodes.from_labels(values, guidance.target_fraction(values)),
        _domain(settings, guidance.gantry_deg, network.gantry_deg),
    )


def _domain(
    settings: TrainingSettings, declared_deg: tuple[float, ...], network_deg: tuple[float, ...]
) -> SpatialDomain:
    """Raises DoseloError where the plans' beams would not stay what they are under nnU-Net's whole augmentation."""
    if settings.augmentation == "beams":
        return domain_of_beams(network_deg, settings.dim)
    if declared_deg and not all_around(declared_deg):
        raise DoseloError(
            "augmentation whole turns patients all around and mirrors front to back, so beams must be evenly spaced "
            f"all around, at most {WIDEST_GAP_DEG:g} degrees apart; dataset.json declares gantry_deg {declared_deg}; "
            "train with --augmentation beams"
        )
    return WHOLE_DOMAIN


def working_spacing(median_mm: tuple[float, ...]) -> tuple[float, ...]:
    """Of a predictor whose spacing nobody chose: the dataset's median, along each axis at least `FINEST_MM`."""
    return tuple(max(FINEST_MM, spacing) for spacing in median_mm)


def _split(cases: list[str], settings: TrainingSettings) -> tuple[list[str], list[str]]:
    """Training and validation cases, both sorted; a patient and its variants are on the same side.

    Raises
    ------
    DoseloError: all cases show the same patient.
    """
    patients = sorted({patient_of(case) for case in cases})
    if len(patients) < 2:
        raise DoseloError(
            f"a dose predictor needs at least two patients, one of them for validation; all {len(cases)} training "
            f"cases are variants of {patients[0]}"
        )
    held_out = min(len(patients) - 1, max(1, round(settings.validation_fraction * len(patients))))
    validation = set(np.random.default_rng(settings.seed).permutation(patients)[:held_out].tolist())
    return (
        [case for case in cases if patient_of(case) not in validation],
        [case for case in cases if patient_of(case) in validation],
    )
