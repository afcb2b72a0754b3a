"""A case in memory, and what was prescribed in each of its voxels."""

import json
from pathlib import Path

import numpy as np
import phantoms
import pytest

from nnunet_doselo.common.errors import DoseloError
from nnunet_doselo.dataset.folder import ExtendedDataset
from nnunet_doselo.dataset.patient import label_values, load_patient, prescription_map, target_map

LABELS = np.array([[0, 1, 2, 3]])


@pytest.fixture
def dataset(tmp_path: Path) -> ExtendedDataset:
    return phantoms.write_extended_dataset(tmp_path / "dataset", cases=1)


def test_a_patient_is_what_the_files_say(dataset: ExtendedDataset) -> None:
    patient = load_patient(dataset, "Phantom_000")
    assert np.array_equal(patient.ct_hu, phantoms.head_ct())
    assert np.array_equal(patient.oars, phantoms.organ_labels())
    assert np.array_equal(patient.labels, phantoms.target())
    assert np.array_equal(patient.dose_gy, phantoms.dose_for(phantoms.target()))
    assert (patient.name, patient.spacing_mm) == ("Phantom_000", phantoms.SPACING_MM)


def test_the_dose_may_be_missing_and_nothing_else(dataset: ExtendedDataset) -> None:
    dataset.path("dose", "Phantom_000").unlink()
    assert load_patient(dataset, "Phantom_000").dose_gy is None
    dataset.path("oars", "Phantom_000").unlink()
    with pytest.raises(DoseloError, match=r"oarsTr/Phantom_000\.nii\.gz: does not exist"):
        load_patient(dataset, "Phantom_000")


def test_each_target_carries_its_share_of_rx_and_other_labels_none() -> None:
    values = {"background": [0], "PTV70": [1], "GTV": [2], "PTV56": [3]}
    prescribed = prescription_map(LABELS, values, {"PTV70": 1.0, "PTV56": 0.8})
    np.testing.assert_allclose(prescribed, [[0, 1, 0, 0.8]])
    assert prescribed.dtype == np.float32
    assert not prescription_map(LABELS, values, {}).any()


@pytest.mark.parametrize("order", [1, -1])
def test_where_regions_overlap_the_highest_prescription_counts(order: int) -> None:
    shares = dict([("PTV56", 0.8), ("PTV70", 1.0)][::order])
    prescribed = prescription_map(LABELS, {"PTV56": [1, 2, 3], "PTV70": [3]}, shares)
    np.testing.assert_allclose(prescribed, [[0, 0.8, 0.8, 1]])


def test_a_region_of_the_dataset_is_a_target_like_any_other(dataset: ExtendedDataset) -> None:
    content = json.loads((dataset.folder / "dataset.json").read_text())
    content["labels"] = {"background": 0, "GTV": [1, 2], "core": 2}
    (dataset.folder / "dataset.json").write_text(json.dumps(content))
    changed = ExtendedDataset(dataset.folder)
    assert label_values(changed) == {"background": [0], "GTV": [1, 2], "core": [2]}
    assert target_map(changed, LABELS).tolist() == [[0, 1, 1, 0]]
