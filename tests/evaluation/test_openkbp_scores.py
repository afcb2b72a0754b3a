"""OpenKBP's scores by hand, and against a second implementation written from the definition alone."""

import math
import runpy
from pathlib import Path

import numpy as np
import pytest

from nnunet_doselo.common.errors import DoseloError
from nnunet_doselo.dataset.structures import Structure
from nnunet_doselo.evaluation.dose_metrics import dose_score
from nnunet_doselo.evaluation.openkbp_scores import (
    StructureDose,
    dvh_score,
    organ_metrics,
    structure_doses,
    target_metrics,
)

RAMP_GY = np.arange(101.0).reshape(1, 1, 101)  # 0, 1, ..., 100 Gy
EVERYWHERE = np.ones(RAMP_GY.shape, bool)
SHAPE = (6, 7, 8)


def row(*values: float) -> np.ndarray:
    return np.array(values, float).reshape(1, 1, -1)


def test_percentiles_of_a_target() -> None:
    assert target_metrics(RAMP_GY, EVERYWHERE) == {"D99": 1, "D95": 5, "D1": 99}


def test_percentiles_lie_between_voxels() -> None:
    # place 0.05 * (2 - 1) between 10 and 20 Gy
    assert target_metrics(row(10, 20), row(1, 1))["D95"] == pytest.approx(10.5)


def test_an_organ_of_101_voxels() -> None:
    # voxels of 50 mm3, two of them are 0.1 cc: percentile 100 - 200 / 101, place 98.0198... of the ramp
    found = organ_metrics(RAMP_GY, EVERYWHERE, 50)
    assert found == {"D0.1cc": pytest.approx(100 - 200 / 101), "Dmean": pytest.approx(50)}


@pytest.mark.parametrize(
    ("voxel_mm3", "expected_gy"),
    [(1000, 3.25), (100, 3.25), (40, 2.5), (66, 2.5), (64, 2.5), (25, 1), (10, 1)],
    ids=["a voxel is more", "one voxel", "2.5 are two (to even)", "1.5 are two", "1.56 are two", "all", "too small"],
)
def test_a_tenth_of_a_cc_is_a_whole_number_of_voxels(voxel_mm3: float, expected_gy: float) -> None:
    """Of four voxels with 1, 2, 3, 4 Gy: n of them are percentile 100 - 25 n, place 3 - 0.75 n."""
    assert organ_metrics(row(1, 2, 3, 4), row(1, 1, 1, 1), voxel_mm3)["D0.1cc"] == pytest.approx(expected_gy)


def test_dose_outside_a_structure_does_not_count() -> None:
    assert organ_metrics(row(1, 2, 50), row(1, 1, 0), 100)["Dmean"] == 1.5
    assert target_metrics(row(7, 7, 50), row(1, 1, 0)) == {"D99": 7, "D95": 7, "D1": 7}


def test_a_structure_that_is_not_there_is_nan() -> None:
    for found in (target_metrics(RAMP_GY, 0 * RAMP_GY), organ_metrics(RAMP_GY, 0 * RAMP_GY, 27)):
        assert all(math.isnan(value) for value in found.values())


def test_the_dvh_score_leaves_out_what_has_no_value() -> None:
    doses = [
        StructureDose("A", "Brainstem", "organ", "Dmean", 10, 12),
        StructureDose("A", "Larynx", "organ", "Dmean", math.nan, math.nan),
        StructureDose("B", "PTV70", "target", "D95", 68, 64),
    ]
    assert [dose.difference_gy for dose in doses[::2]] == [2, -4]
    assert dvh_score(doses) == 3
    assert math.isnan(dvh_score(doses[1:2]))
    assert math.isnan(dvh_score([]))


def test_an_evaluated_dose_of_zero_costs_the_reference() -> None:
    structures = [Structure("PTV70", "target", EVERYWHERE), Structure("Cord", "organ", EVERYWHERE)]
    found = structure_doses("A", structures, RAMP_GY, 0 * RAMP_GY, 100)
    assert [one.metric for one in found] == ["D99", "D95", "D1", "D0.1cc", "Dmean"]
    # D0.1cc: percentile 100 - 100 / 101
    assert dvh_score(found) == pytest.approx((1 + 5 + 99 + (100 - 100 / 101) + 50) / 5)


def test_shapes_and_voxels_are_checked() -> None:
    with pytest.raises(DoseloError, match="one voxel grid"):
        target_metrics(RAMP_GY, row(1))
    with pytest.raises(DoseloError, match="positive volume, found 0"):
        organ_metrics(RAMP_GY, EVERYWHERE, 0)


def by_definition(doses: list[float], percent: float) -> float:
    """Percentile with linear interpolation, without NumPy."""
    ordered = sorted(doses)
    place = percent / 100 * (len(ordered) - 1)
    low = math.floor(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (place - low) * (ordered[high] - ordered[low])


def oracle(masks: dict[str, np.ndarray], dose_gy: np.ndarray, voxel_mm3: float) -> dict[tuple[str, str], float]:
    """../shared/data/README.md, voxel by voxel; targets are called PTV..."""
    found = {}
    for name, mask in masks.items():
        doses = [float(dose_gy[index]) for index in np.ndindex(dose_gy.shape) if mask[index]]
        if not doses:
            continue
        if name.startswith("PTV"):
            found |= {(name, metric): by_definition(doses, p) for metric, p in (("D99", 1), ("D95", 5), ("D1", 99))}
            continue
        hottest = max(1, round(100 / voxel_mm3))
        found[name, "D0.1cc"] = by_definition(doses, 100 - hottest / len(doses) * 100)
        found[name, "Dmean"] = math.fsum(doses) / len(doses)
    return found


def test_a_cohort_agrees_with_the_definition_to_a_millionth_of_a_gy() -> None:
    """Three patients: one lacks an organ and a target, one has an organ of exactly 0.1 cc, doses lie outside too."""
    random = np.random.default_rng(0)
    by_us: list[StructureDose] = []
    differences, dose_scores = [], []
    for patient, voxel_mm3 in enumerate((38.0, 27.0, 125.0)):
        reference, evaluated = random.gamma(2, 15, (2, *SHAPE))
        masks = {name: random.random(SHAPE) < 0.3 for name in ("Brainstem", "Larynx", "PTV70", "PTV56")}
        if patient == 0:
            masks |= {"Larynx": np.zeros(SHAPE, bool), "PTV56": np.zeros(SHAPE, bool)}
        if patient == 1:
            masks["Larynx"] = np.zeros(SHAPE, bool)
            masks["Larynx"][0, 0, :4] = True  # 108 mm3
        structures = [Structure(n, "target" if n.startswith("PTV") else "organ", m) for n, m in masks.items()]
        by_us += structure_doses(str(patient), structures, reference, evaluated, voxel_mm3)
        ours = {(one.structure, one.metric): one for one in by_us if one.case == str(patient)}
        theirs = [oracle(masks, dose, voxel_mm3) for dose in (reference, evaluated)]
        for key in theirs[0]:
            assert ours[key].reference_gy == pytest.approx(theirs[0][key], abs=1e-9)
            differences.append(abs(theirs[0][key] - theirs[1][key]))
        possible = random.random(SHAPE) < 0.5
        total = math.fsum(abs(reference[i] - evaluated[i]) for i in np.ndindex(SHAPE))
        dose_scores.append((dose_score(reference, evaluated, possible), total / sum(possible.ravel().tolist())))
    assert dvh_score(by_us) == pytest.approx(math.fsum(differences) / len(differences), abs=1e-6)
    for ours_gy, theirs_gy in dose_scores:
        assert ours_gy == pytest.approx(theirs_gy, abs=1e-6)


def test_no_dose_at_all_scores_27_gy_on_openkbp(realdata: Path) -> None:
    """A figure that comes with the data, for its 33 validation patients."""
    load = runpy.run_path(str(realdata / "openkbp" / "load_openkbp.py"))["load"]
    patients = [load(file) for file in sorted((realdata / "openkbp" / "validation").glob("*.npz"))]
    scores = [dose_score(one.dose_gy, np.zeros_like(one.dose_gy), one.possible_dose) for one in patients]
    assert len(scores) == 33
    assert np.mean(scores) == pytest.approx(27.2, abs=0.05)
