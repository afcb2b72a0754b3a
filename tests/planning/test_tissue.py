"""Body and density of scans that can be drawn."""

import numpy as np
import pytest

from nnunet_doselo.planning.tissue import find_body, relative_electron_density

SPACING = (3.0, 3.0, 3.0)


def scan() -> np.ndarray:
    """A block of 48 x 60 x 60 mm of soft tissue in air."""
    ct_hu = np.full((16, 40, 40), -1000)
    ct_hu[:, 10:30, 10:30] = 40
    return ct_hu


@pytest.mark.parametrize(("hu", "density"), [(-1000, 0), (-2000, 0), (0, 1), (100, 1.1), (1000, 1.532), (9000, 2.492)])
def test_density(hu: float, density: float) -> None:
    """Thomas (1999): 1 + HU / 1000 up to 100 HU, 1.052 + 0.00048 HU above."""
    assert relative_electron_density(np.array([hu]))[0] == pytest.approx(density)


def test_the_body_keeps_its_outline_to_the_ends_of_the_scan() -> None:
    body = find_body(scan(), SPACING)
    assert np.array_equal(body.mask, scan() > -400)
    assert body.ignored_cc == 0


def test_couch_and_frame_are_left_out() -> None:
    """A board of 2 voxels under the patient with a gap, and a frame above."""
    ct_hu = scan()
    ct_hu[:, 33:35, :] = -100
    ct_hu[8, 2, 5:35] = 500
    body = find_body(ct_hu, SPACING)
    assert np.array_equal(body.mask, scan() > -400)
    assert body.ignored_cc == pytest.approx((16 * 2 * 40 + 30) * 0.027)


def test_a_couch_that_touches_the_patient_is_cut_off_beyond_a_rim() -> None:
    ct_hu = scan()
    ct_hu[:, 30:32, :] = -100
    body = find_body(ct_hu, SPACING)
    assert body.mask[:, 10:30, 10:30].all()
    assert not body.mask[:, 30:32, :4].any()
    assert not body.mask[:, 30:32, 36:].any()


def test_a_nose_is_the_patients() -> None:
    """3 voxels wide, 5 long, 4 high: too thin to survive the cut, but it grows back."""
    ct_hu = scan()
    ct_hu[6:10, 5:10, 18:21] = 40
    body = find_body(ct_hu, SPACING)
    assert body.mask[6:10, 5:10, 18:21].all()
    assert body.ignored_cc == 0


def test_thin_walls_around_a_cavity_are_the_patients() -> None:
    """A sinus of 12 voxels behind a wall of one voxel."""
    ct_hu = scan()
    ct_hu[4:12, 11:23, 12:28] = -1000
    assert np.array_equal(find_body(ct_hu, SPACING).mask, scan() > -400)


def test_a_mouth_that_is_open_at_the_lips_is_inside() -> None:
    """A gap of 2 voxels leads from the air into a cavity: its sides lie between tissue, what looks out does not."""
    ct_hu = scan()
    ct_hu[8, 10:24, 19:21] = -1000
    ct_hu[6:11, 14:24, 14:26] = -1000
    found = find_body(ct_hu, SPACING).mask[8]
    assert found[14:24, 14:19].all()
    assert found[14:24, 21:26].all()
    assert not found[10:14, 19:21].any()


def test_cavities_belong_to_the_body() -> None:
    ct_hu = scan()
    ct_hu[:, 18:22, 18:22] = -1000
    assert np.array_equal(find_body(ct_hu, SPACING).mask, scan() > -400)


def test_an_empty_scan_has_no_body() -> None:
    assert not find_body(np.full((5, 6, 7), -1000), SPACING).mask.any()
