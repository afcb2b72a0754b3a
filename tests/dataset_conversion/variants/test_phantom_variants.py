"""Contour edits of synthetic patients: all kinds fit into their brains and change their targets."""

import numpy as np
import pytest
from scipy import ndimage

from nnunet_doselo.dataset_conversion.phantom.patient import SyntheticPatient
from nnunet_doselo.planning.contour_edits import FUNCTIONS, ISLAND_GAP_MM, draw_edit

SPACING_MM = (6.0, 6.0, 6.0)


@pytest.mark.parametrize("kind", FUNCTIONS)
def test_drawn_variants_change_a_patients_target(kind: str, synthetic_patients: list[SyntheticPatient]) -> None:
    for number, patient in enumerate(synthetic_patients):
        edit = draw_edit(kind, patient.gtv, patient.brain, SPACING_MM, np.random.default_rng(number))
        target = edit.apply(patient.gtv, patient.brain, SPACING_MM)
        assert target.any()
        assert not (target & ~patient.brain).any()
        assert (target != patient.gtv).any()


def test_a_drawn_island_keeps_its_distance(synthetic_patients: list[SyntheticPatient]) -> None:
    for number, patient in enumerate(synthetic_patients):
        edit = draw_edit("island", patient.gtv, patient.brain, SPACING_MM, np.random.default_rng(number))
        island = edit.apply(patient.gtv, patient.brain, SPACING_MM) & ~patient.gtv
        assert edit.kind == "island"
        assert (6 * ndimage.distance_transform_edt(~patient.gtv))[island].min() >= ISLAND_GAP_MM
