"""One patient's dose: where it counts, and how far from the planned one."""

import numpy as np
import phantoms
import pytest

from nnunet_doselo.common.errors import DoseloError
from nnunet_doselo.dataset.patient import Patient, dose_counts
from nnunet_doselo.predictor.patient_dose import dose_where_it_counts, planned_dose
from nnunet_doselo.scoring.predictor_accuracy import dose_error_gy

HEAD = phantoms.head()


def patient(dose_gy: np.ndarray | None) -> Patient:
    labels = phantoms.target().astype(np.uint8)
    return Patient("P1", phantoms.grid_for(), phantoms.head_ct(), phantoms.organ_labels(), labels, dose_gy)


def test_dose_counts_in_the_body_and_where_it_was_planned() -> None:
    planned_gy = np.zeros(phantoms.SHAPE, np.float32)
    planned_gy[:, 0, 0] = 5
    np.testing.assert_array_equal(patient(None).body, HEAD)
    np.testing.assert_array_equal(dose_counts(HEAD), HEAD)
    np.testing.assert_array_equal(dose_counts(HEAD, planned_gy), HEAD | (planned_gy > 0))
    np.testing.assert_array_equal(dose_where_it_counts(patient(None), np.full(HEAD.shape, 7.0)), 7.0 * HEAD)


def test_the_error_is_the_mean_over_where_dose_counts() -> None:
    """2 Gy off in the head; 9 Gy in the air, where none was planned, is not held against a predictor."""
    assert dose_error_gy(patient(10.0 * HEAD), np.where(HEAD, 12.0, 9.0)) == pytest.approx(2)


@pytest.mark.parametrize(
    ("dose_gy", "message"),
    [(None, "P1: has no planned dose"), (np.full(HEAD.shape, np.nan), "P1: planned doses must be finite")],
)
def test_a_patient_without_a_usable_dose_is_refused(dose_gy: np.ndarray | None, message: str) -> None:
    with pytest.raises(DoseloError, match=message):
        planned_dose(patient(dose_gy))
