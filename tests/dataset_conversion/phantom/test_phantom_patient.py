"""Synthetic patients: reproducible, all different, and anatomically where they should be."""

from itertools import combinations

import numpy as np
import pytest
from scipy import ndimage

from nnunet_doselo.dataset.geometry import body_mask
from nnunet_doselo.dataset_conversion.phantom.organs import NAMES, PHANTOM_OARS
from nnunet_doselo.dataset_conversion.phantom.patient import SyntheticPatient, make_patient
from nnunet_doselo.dataset_conversion.phantom.random_fields import generator, smooth_field
from nnunet_doselo.dataset_conversion.phantom.template import load_template

Patients = list[SyntheticPatient]
VOXEL_CC = 6**3 / 1000


def arrays(patient: SyntheticPatient) -> list[np.ndarray]:
    return [*patient.images, patient.ct_hu, patient.oars, patient.gtv, patient.distractors]


def centre_mm(patient: SyntheticPatient, mask: np.ndarray) -> np.ndarray:
    """Centre of mass, z, y, x in mm (LPS)."""
    origin = np.array(patient.grid.origin[::-1])
    return origin + np.array(patient.grid.spacing_zyx) * np.argwhere(mask).mean(axis=0)


def organ(patient: SyntheticPatient, name: str) -> np.ndarray:
    return patient.oars == PHANTOM_OARS[name]


def test_a_patient_is_the_same_to_the_last_bit_whenever_it_is_made(synthetic_patients: Patients) -> None:
    again = make_patient(1, 3, 6.0)
    assert again.record == synthetic_patients[3].record
    for first, second in zip(arrays(synthetic_patients[3]), arrays(again), strict=True):
        assert first.dtype == second.dtype
        assert np.array_equal(first, second)


def test_no_two_patients_are_alike(synthetic_patients: Patients) -> None:
    for one, other in combinations([*synthetic_patients, make_patient(2, 0, 6.0)], 2):
        assert one.record["target"] != other.record["target"]
        assert one.grid.size != other.grid.size or not np.array_equal(one.ct_hu, other.ct_hu)
        assert one.grid.size != other.grid.size or not np.array_equal(one.oars, other.oars)


def test_purposes_cases_and_cohorts_have_streams_of_their_own() -> None:
    drawn = {
        generator(seed, number, purpose, *more).random()
        for seed in (0, 1, 7)
        for number in (0, 1, 7)
        for purpose in ("anatomy", "tumour", "images", "variants")  # type: ignore[attr-defined]
        for more in ((), (1,), (2,))
    }
    assert len(drawn) == 3 * 3 * 4 * 3


def test_heads_differ_in_size_and_tumours_in_place(synthetic_patients: Patients) -> None:
    brain_cc = [VOXEL_CC * np.count_nonzero(p.brain) for p in synthetic_patients]
    assert 900 < min(brain_cc) < max(brain_cc) < 2000
    assert max(brain_cc) / min(brain_cc) > 1.15
    centres = np.array([centre_mm(p, p.gtv) for p in synthetic_patients])
    assert (centres.std(axis=0) > 10).all()


def test_both_hemispheres_and_every_form_occur(synthetic_patients: Patients) -> None:
    targets = [p.record["target"] for p in synthetic_patients]
    assert {t["side"] for t in targets} == {"left", "right"}
    assert {t["parts"] for t in targets} == {1, 2}
    assert {t["crosses_midline"] for t in targets} == {True, False}
    assert min(t["solidity"] for t in targets) < 0.5
    for patient, target in zip(synthetic_patients, targets, strict=True):
        nose_to_neck = centre_mm(patient, patient.brain)[2]
        if not target["crosses_midline"]:
            assert (centre_mm(patient, patient.gtv)[2] > nose_to_neck) == (target["side"] == "left")


def test_targets_lie_in_the_brain_and_have_the_volume_that_is_recorded(synthetic_patients: Patients) -> None:
    for patient in synthetic_patients:
        assert not (patient.gtv & ~patient.brain).any()
        volume_cc = VOXEL_CC * np.count_nonzero(patient.gtv)
        assert volume_cc == pytest.approx(patient.record["target"]["volume_cc"], abs=0.01)
        assert 9 < volume_cc < 81


def test_distractors_lie_apart_from_the_target(synthetic_patients: Patients) -> None:
    kinds = {d["kind"] for p in synthetic_patients for d in p.record["distractors"]}
    assert len(kinds) == 5
    for patient in synthetic_patients:
        away_mm = 6 * ndimage.distance_transform_edt(~patient.gtv)
        assert patient.record["distractors"]
        assert not patient.distractors.any() or away_mm[patient.distractors].min() > 10


def test_all_thirteen_organs_are_there_even_in_voxels_of_6_mm(synthetic_patients: Patients) -> None:
    assert len(NAMES) == 13
    for patient in synthetic_patients:
        assert set(np.unique(patient.oars)) == {0, *PHANTOM_OARS.values()}


def test_organs_have_their_size_and_place() -> None:
    patient = make_patient(1, 0, 3.0)
    cc = {name: 0.027 * np.count_nonzero(organ(patient, name)) for name in NAMES}
    expected = {"Brainstem": (18, 36), "Eye_L": (4.5, 10), "Hippocampus_R": (1.8, 6), "OpticChiasm": (0.2, 1.1)}
    for name, (low, high) in expected.items():
        assert low < cc[name] < high, name
    at = {name: centre_mm(patient, organ(patient, name)) for name in NAMES}
    for pair in ("Eye", "Cochlea", "Hippocampus", "OpticNrv", "Glnd_Lacrimal"):
        assert at[f"{pair}_L"][2] > at[f"{pair}_R"][2] + 15, "left is larger x"
    assert at["Eye_L"][1] < at["OpticChiasm"][1] < at["Brainstem"][1], "front to back is growing y"
    assert at["Brainstem"][0] < at["Hippocampus_L"][0], "up is larger z"
    assert not (organ(patient, "Eye_L") & patient.brain).any()
    assert patient.brain[organ(patient, "Brainstem")].mean() > 0.9


def test_the_body_is_closed_and_holds_brain_and_organs(synthetic_patients: Patients) -> None:
    for patient in synthetic_patients:
        body = body_mask(patient.ct_hu)
        assert body[patient.brain].all()
        assert body[patient.oars > 0].all()
        assert all(np.array_equal(ndimage.binary_fill_holes(plane), plane) for plane in body)
        surrounding = (body[-1], body[:, 0], body[:, -1], body[:, :, 0], body[:, :, -1])
        assert not any(face.any() for face in surrounding), "air all around but below"
        assert body[0].any(), "the scan ends in the neck"


@pytest.mark.parametrize("spacing_mm", [2.0, 4.5])
def test_every_spacing_shows_the_same_patient(synthetic_patients: Patients, spacing_mm: float) -> None:
    coarse, other = synthetic_patients[0], make_patient(1, 0, spacing_mm)
    assert other.grid.spacing == (spacing_mm,) * 3
    for name in ("Brainstem", "Eye_L", "Hippocampus_R"):
        apart = centre_mm(other, organ(other, name)) - centre_mm(coarse, organ(coarse, name))
        assert np.abs(apart).max() < 3, name
    assert other.brain.sum() * spacing_mm**3 == pytest.approx(coarse.brain.sum() * 6**3, rel=0.05)


def test_a_smooth_field_belongs_to_the_patient_and_not_to_the_grid() -> None:
    fine, coarse = (tuple(np.arange(-60, 60, step) for _ in range(3)) for step in (2.0, 4.0))
    fields = [smooth_field(np.random.default_rng(0), axes, 20.0) for axes in (fine, coarse)]
    assert np.allclose(fields[0][::2, ::2, ::2], fields[1], atol=1e-5)
    at_knots = smooth_field(np.random.default_rng(0), (np.arange(-160, 161, 20.0),) * 3, 20.0)
    assert np.allclose(at_knots, np.random.default_rng(0).standard_normal((17, 17, 17)), atol=1e-4)


def test_the_template_is_where_mni_coordinates_say() -> None:
    """The corpus callosum's genu is white, the head of the caudate grey, the lateral ventricle neither."""
    template = load_template()
    points = np.array([[3, 27, 5], [13, 14, 8], [6, 8, 15], [0, 0, 140]], np.float32).T[:, :, None, None]
    grey, white = (template.sample(name, points)[:, 0, 0] for name in ("grey", "white"))
    assert white[0] > 0.8
    assert grey[1] > 0.6
    assert grey[2] + white[2] < 0.5
    assert grey[3] == white[3] == 0
    assert template.sample("outside_mm", points)[:, 0, 0] == pytest.approx([-40, -40, -40, 25], abs=30)
