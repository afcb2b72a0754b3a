"""Edited targets in a dataset's own labels: several dose levels, labels without dose, where edits may lie."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import phantoms
import pytest

from nnunet_doselo.dataset.folder import ExtendedDataset
from nnunet_doselo.dataset.patient import Patient, load_patient
from nnunet_doselo.planning.contour_edits import FUNCTIONS, ContourEdit
from nnunet_doselo.planning.edited_labels import REACH_MM, edit_labels, edit_region, edited_label_maps

CUBES_MM = (3.0, 3.0, 3.0)
BACKGROUND, EDEMA, PTV56, PTV70 = 0, 1, 2, 3


@pytest.fixture
def dataset(tmp_path: Path) -> ExtendedDataset:
    return phantoms.write_extended_dataset(tmp_path / "Dataset001_Head", cases=1)


@pytest.fixture
def patient(dataset: ExtendedDataset) -> Patient:
    return load_patient(dataset, "Phantom_000")


@pytest.fixture
def boost(tmp_path: Path) -> ExtendedDataset:
    """Two dose levels and a label without dose."""
    content = {
        "channel_names": {"0": "CT"},
        "labels": {"background": BACKGROUND, "Edema": EDEMA, "PTV56": PTV56, "PTV70": PTV70},
        "file_ending": ".nii.gz",
        "dose_guidance": {"target_gy": {"PTV70": 70.0, "PTV56": 56.0}, "oars": {}},
    }
    (tmp_path / "dataset.json").write_text(json.dumps(content))
    return ExtendedDataset(tmp_path)


def in_lines(line: list[int]) -> np.ndarray:
    """The same values along x in 8 x 8 lines."""
    return np.broadcast_to(np.array(line, np.uint8), (8, 8, len(line))).copy()


@pytest.mark.parametrize(
    ("edit", "expected"),
    [
        (ContourEdit("shift", {"offset_mm": (0.0, 0.0, 3.0)}), [1, 1, 0, 2, 3, 3, 2, 0]),
        (ContourEdit("dilate", {"margin_mm": 2.0}), [1, 2, 3, 3, 3, 3, 2, 0]),
        (ContourEdit("erode", {"margin_mm": 2.0}), [1, 1, 0, 3, 3, 0, 0, 0]),
    ],
)
def test_voxels_get_the_label_of_their_new_dose(boost: ExtendedDataset, edit: ContourEdit, expected: list[int]) -> None:
    """Eroded by one voxel, the boost (two voxels wide) keeps its deepest: both."""
    labels = in_lines([1, 1, 2, 3, 3, 2, 0, 0])
    edited = edit_labels(boost, labels, edit, np.ones(labels.shape, bool), CUBES_MM)
    assert edited.dtype == np.uint8
    assert edited[4, 4].tolist() == expected


def test_edits_stay_in_the_body_and_near_the_target() -> None:
    """At 10 mm a voxel, ten voxels beyond the target are within 100 mm."""
    ct_hu = np.full((40, 24, 24), phantoms.AIR, np.int16)
    ct_hu[:, 4:20, 4:20] = phantoms.TISSUE
    target = np.zeros(ct_hu.shape, bool)
    target[2, 10:14, 10:14] = True
    target[2, 0, 0] = True
    region = edit_region(ct_hu, target, (10.0, 10.0, 10.0))
    assert np.flatnonzero(region[:, 12, 12]).tolist() == list(range(2 + round(REACH_MM / 10) + 1))
    assert np.argwhere(region[:, :4]).tolist() == [[2, 0, 0]]


def test_every_kind_is_drawn_and_changes_the_labels(dataset: ExtendedDataset, patient: Patient) -> None:
    """The phantom has no room for an island 20 mm away from every target: five kinds with it, four without."""
    drawn = edited_label_maps(dataset, patient, 10, seed=4)
    assert {edit.kind for edit, _ in drawn} >= set(FUNCTIONS) - {"island"}
    for _, labels in drawn:
        assert set(np.unique(labels)) == {0, 1}
        assert (labels != patient.labels).any()
        assert not labels[~phantoms.head()].any()


def test_edits_follow_seed_and_name(dataset: ExtendedDataset, patient: Patient) -> None:
    edits = [
        [edit for edit, _ in edited_label_maps(dataset, one, 5, seed)]
        for one, seed in ((patient, 4), (patient, 4), (patient, 5), (replace(patient, name="other"), 4))
    ]
    assert edits[0] == edits[1]
    assert edits[0] != edits[2]
    assert edits[0] != edits[3]


def test_a_patient_without_a_target_has_no_edits(dataset: ExtendedDataset, patient: Patient) -> None:
    assert edited_label_maps(dataset, replace(patient, labels=0 * patient.labels), 5, seed=4) == []
