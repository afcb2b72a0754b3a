"""Synthetic patients that several tests look at; voxels of 6 mm keep them fast."""

import pytest

from nnunet_doselo.dataset_conversion.phantom.patient import SyntheticPatient, make_patient

COARSE_MM = 6.0


@pytest.fixture(scope="session")
def synthetic_patients() -> list[SyntheticPatient]:
    """The first twelve of cohort 1."""
    return [make_patient(1, number, COARSE_MM) for number in range(12)]
