"""Plans on a water head: quality, response to mistakes of the contour, and what is refused."""

from functools import cache

import numpy as np
import pytest

from nnunet_doselo.common.errors import DoseloError
from nnunet_doselo.planning.fluence import ITERATIONS
from nnunet_doselo.planning.interface import Beams, Plan
from nnunet_doselo.planning.plan import plan_dose

SHAPE = (30, 44, 40)
SPACING = (4.0, 4.0, 4.0)
CENTRE = (0.0, -12.0, 14.0)  # of the target, mm from the middle of the head
BEAMS = Beams.equispaced(24, 4.0)
AT = np.meshgrid(*((np.arange(n) - (n - 1) / 2) * s for n, s in zip(SHAPE, SPACING, strict=True)), indexing="ij")


def ball(centre: tuple[float, float, float], radius: float) -> np.ndarray:
    return np.sum([(a - c) ** 2 for a, c in zip(AT, centre, strict=True)], axis=0) <= radius**2


def head() -> np.ndarray:
    """HU: an ellipse of soft tissue in every slice, with 2 voxels of skull and air around it."""
    _, y, x = AT
    ct_hu = np.where((y / 80) ** 2 + (x / 70) ** 2 <= 1, 900, -1000)
    ct_hu[(y / 72) ** 2 + (x / 62) ** 2 <= 1] = 40
    return ct_hu


HEAD, TARGET = head(), ball(CENTRE, 18)
BRAINSTEM = ball((0.0, -12.0 + 18 + 12, 14.0), 12) & ~TARGET
NO_ORGANS = np.zeros(SHAPE, np.uint8)


@cache
def reference() -> Plan:
    return plan_dose(HEAD, 60.0 * TARGET, NO_ORGANS, SPACING, beams=BEAMS)


def alike(target: np.ndarray, oars: np.ndarray = NO_ORGANS) -> Plan:
    return plan_dose(HEAD, 60.0 * target, oars, SPACING, isocentre_mm=reference().isocentre_mm, beams=BEAMS)


def rmae(reference_gy: np.ndarray, evaluated_gy: np.ndarray, where: np.ndarray | None = None) -> float:
    """Mean of |difference| / reference where the reference is at least 6 Gy."""
    counted = (reference_gy >= 6) & (True if where is None else where)
    return float((np.abs(reference_gy - evaluated_gy)[counted] / reference_gy[counted]).mean())


def test_coverage_and_homogeneity() -> None:
    dose_gy = reference().dose_gy[TARGET]
    assert np.percentile(dose_gy, 5) >= 57
    assert np.percentile(dose_gy, 98) <= 64.2
    assert np.median(dose_gy) == pytest.approx(60, abs=1e-3)


def test_dose_falls_off_and_ends_with_the_body() -> None:
    dose_gy = reference().dose_gy
    assert dose_gy.dtype == np.float32
    assert not dose_gy[HEAD == -1000].any()
    assert dose_gy[ball(CENTRE, 60) & ~ball(CENTRE, 52) & (HEAD > -1000)].mean() < 20


def test_the_plan_says_how_it_was_made() -> None:
    made = reference()
    assert made.engine == "fluence"
    assert made.converged
    assert made.iterations < ITERATIONS
    assert made.notes == ()
    assert made.prescription_gy == 60
    middle_mm = tuple((n - 1) / 2 * s + c for n, s, c in zip(SHAPE, SPACING, CENTRE, strict=True))
    assert made.isocentre_mm == pytest.approx(middle_mm, abs=2)
    assert made.fluence.shape[0] == 24
    assert all(n % 2 for n in made.fluence.shape[1:])
    assert made.fluence.min() >= 0


def test_the_same_contour_gives_the_same_bits() -> None:
    assert np.array_equal(alike(TARGET).dose_gy, reference().dose_gy)


def test_a_mask_is_prescribed_60_gy() -> None:
    mask = plan_dose(HEAD, TARGET, NO_ORGANS, SPACING, beams=BEAMS)
    assert mask.prescription_gy == 60
    assert np.array_equal(mask.dose_gy, reference().dose_gy)


def test_four_times_the_iterations_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nnunet_doselo.planning.fluence.TOLERANCE", 0.0)
    longer = plan_dose(HEAD, 60.0 * TARGET, NO_ORGANS, SPACING, beams=BEAMS, iterations=4 * ITERATIONS)
    assert longer.iterations > reference().iterations
    assert rmae(longer.dose_gy, reference().dose_gy) <= 0.002


def test_an_abutting_organ_is_spared_and_the_target_still_covered() -> None:
    spared = alike(TARGET, BRAINSTEM.astype(np.uint8)).dose_gy
    assert spared[BRAINSTEM].mean() <= 0.6 * reference().dose_gy[BRAINSTEM].mean()
    assert np.percentile(spared[TARGET], 5) >= 57


def test_a_far_island_gets_the_prescription() -> None:
    island = ball((0.0, -12.0, 14.0 - 18 - 40), 4.1)
    dose_gy = alike(TARGET | island).dose_gy
    assert dose_gy[island].mean() == pytest.approx(60, abs=3)
    assert reference().dose_gy[island].mean() < 30
    assert np.percentile(dose_gy[TARGET], 5) >= 57


def test_an_island_of_one_voxel_is_planned() -> None:
    island = np.zeros(SHAPE, bool)
    island[15, 18, 10] = True
    assert alike(TARGET | island).dose_gy[island][0] > reference().dose_gy[island][0] + 20


def test_a_shift_moves_the_dose() -> None:
    shifted = np.roll(TARGET, 2, axis=1)
    dose_gy = alike(shifted).dose_gy
    assert np.percentile(dose_gy[shifted], 5) >= 57
    assert rmae(reference().dose_gy, dose_gy) > 0.05
    gained = shifted & ~ball(CENTRE, 24)
    assert dose_gy[gained].mean() > reference().dose_gy[gained].mean() + 5


def test_two_levels_at_once() -> None:
    inner, outer = ball(CENTRE, 12), ball(CENTRE, 22)
    target_gy = np.where(inner, 66.0, np.where(outer, 54.0, 0))
    dose_gy = plan_dose(HEAD, target_gy, NO_ORGANS, SPACING, beams=BEAMS).dose_gy
    assert np.median(dose_gy[inner]) == pytest.approx(66, abs=1e-3)
    assert np.median(dose_gy[outer & ~inner]) == pytest.approx(54, rel=0.07)
    assert np.percentile(dose_gy[outer & ~inner], 5) >= 0.93 * 54


def test_pydosert_agrees_on_the_same_fluence() -> None:
    pytest.importorskip("pydosert")
    independent = plan_dose(HEAD, 60.0 * TARGET, NO_ORGANS, SPACING, engine="pydosert", beams=BEAMS)
    assert independent.engine == "pydosert"
    assert rmae(independent.dose_gy, reference().dose_gy) <= 0.08
    assert abs(independent.dose_gy[TARGET].mean() - reference().dose_gy[TARGET].mean()) <= 1
    z = np.abs(AT[0] - CENTRE[0])
    for distance_mm in (30.0, 42.0, 54.0):
        slices = (np.abs(z - distance_mm) < 2.1) & (HEAD > -1000)
        assert 1 / 1.5 <= reference().dose_gy[slices].mean() / independent.dose_gy[slices].mean() <= 1.5


def test_an_empty_contour_is_refused_unless_it_is_to_be_scored() -> None:
    with pytest.raises(DoseloError, match="needs at least one voxel inside the body: found 0 voxels of target"):
        plan_dose(HEAD, 0.0 * TARGET, NO_ORGANS, SPACING)
    empty = plan_dose(HEAD, 0.0 * TARGET, NO_ORGANS, SPACING, allow_empty=True)
    assert not empty.dose_gy.any()
    assert empty.dose_gy.shape == SHAPE
    assert empty.notes == ("no dose: the target is empty",)


def test_a_target_in_the_air_is_refused_and_one_at_the_skin_is_cut() -> None:
    corner = np.zeros(SHAPE, bool)
    corner[:, :2, :2] = True
    with pytest.raises(DoseloError, match="none in common"):
        plan_dose(HEAD, 60.0 * corner, NO_ORGANS, SPACING)
    nowhere = plan_dose(HEAD, 60.0 * corner, NO_ORGANS, SPACING, allow_empty=True)
    assert nowhere.notes == ("no dose: none of the target's 120 voxels lies in the body",)
    partly = plan_dose(HEAD, 60.0 * (TARGET | corner), NO_ORGANS, SPACING, beams=BEAMS)
    assert partly.notes == (f"120 of the target's {TARGET.sum() + 120} voxels lie outside the body and were left out",)


def test_a_couch_is_taken_for_air_and_noted() -> None:
    couch = HEAD.copy()
    couch[:, -1, :] = -100
    made = plan_dose(couch, 60.0 * TARGET, NO_ORGANS, SPACING, beams=BEAMS)
    assert made.notes == ("77 cc of tissue beside the body (couch, frame, mask) were taken for air",)
    assert np.array_equal(made.dose_gy, reference().dose_gy)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ct_hu": np.where(TARGET, np.nan, HEAD)}, r"CT must be finite; found \d+ voxels that are not, the first at"),
        ({"target_gy": np.where(TARGET, np.inf, 0)}, "target must be finite"),
        ({"target_gy": -60.0 * TARGET}, "prescribed doses must be 0 or more; found -60.0 Gy"),
        ({"spacing_mm": (4.0, 0.0, 4.0)}, r"three positive lengths in mm; found \(4.0, 0.0, 4.0\)"),
        ({"spacing_mm": (4.0, np.nan, 4.0)}, "three positive lengths"),
        ({"oars": np.zeros((3, 4, 5), int)}, "on one grid"),
        ({"oars": np.full(SHAPE, 0.5)}, "integer labels"),
        ({"engine": "eclipse"}, "engine must be one of fluence, pydosert; found 'eclipse'"),
        ({"ct_hu": np.full(SHAPE, -1000)}, "0 of body"),
    ],
)
def test_bad_input_is_one_clear_error(change: dict, message: str) -> None:
    given = {"ct_hu": HEAD, "target_gy": 60.0 * TARGET, "oars": NO_ORGANS, "spacing_mm": SPACING} | change
    with pytest.raises(DoseloError, match=message):
        plan_dose(**given)
