"""The phantoms are what they say, so that other tests may lean on them."""

import numpy as np
import phantoms


def test_a_seed_gives_the_same_patient_and_another_seed_another() -> None:
    first, again, other = (phantoms.case("P", seed) for seed in (1, 1, 2))
    assert np.array_equal(first.labels, again.labels)
    assert np.array_equal(phantoms.mr_image(1), phantoms.mr_image(1))
    assert not np.array_equal(first.labels, other.labels)


def test_everything_lies_inside_the_head() -> None:
    outline = phantoms.head()
    masks = [*phantoms.organs().values(), *(phantoms.target(seed) for seed in range(20))]
    assert all(mask.any() and not (mask & ~outline).any() for mask in masks)


def test_dose_is_the_prescription_in_the_target_and_falls_off_outside() -> None:
    mask = phantoms.target(0)
    dose_gy = phantoms.dose_for(mask)
    assert (dose_gy[mask] == 60).all()
    assert (dose_gy[~mask] < 60).all()
    assert (dose_gy[~phantoms.head()] == 0).all()
