"""Dose of any contour from Python: values by name, one grid, and nothing guessed."""

from pathlib import Path
from typing import Any

import numpy as np
import phantoms
import pytest
from predictors import sixty_times_target, stand_in

from nnunet_doselo.common.errors import DoseloError
from nnunet_doselo.dataset.geometry import Grid
from nnunet_doselo.dataset.images import write_array
from nnunet_doselo.predictor.contour_dose import (
    Anatomy,
    anatomy_from_files,
    check_label_values,
    parse_targets,
    predict_dose,
    structures_of,
)

PREDICTOR = stand_in(sixty_times_target)
TWO_LEVELS = stand_in(sixty_times_target, target_gy={"PTV60": 60.0, "PTV54": 54.0})


def anatomy(**changes: Any) -> Anatomy:
    given = {"ct_hu": phantoms.head_ct(), "oars": phantoms.organ_labels(), "grid": phantoms.grid_for()}
    return Anatomy(**given | changes)


def half(*values: int) -> np.ndarray:
    """Slice 8 holds the first value at small x and the second at large x; the rest is 0."""
    labels = np.zeros(phantoms.SHAPE, np.uint8)
    labels[8, :, :16], labels[8, :, 16:] = values
    return labels


def test_the_first_target_of_the_card_is_label_1() -> None:
    dose_gy = predict_dose(PREDICTOR, anatomy(), half(1, 0))
    np.testing.assert_array_equal(dose_gy, 60 * half(1, 0))
    assert dose_gy.dtype == np.float32


def test_further_targets_follow_in_the_order_of_the_card() -> None:
    dose_gy = predict_dose(TWO_LEVELS, anatomy(), half(1, 2))
    np.testing.assert_allclose(dose_gy, half(60, 54), rtol=1e-6)


def test_values_can_be_named_and_a_boost_lies_in_its_region() -> None:
    values = {"PTV54": [3, 7], "PTV60": [7]}
    dose_gy = predict_dose(TWO_LEVELS, anatomy(), half(3, 7), label_values=values)
    np.testing.assert_allclose(dose_gy, half(54, 60), rtol=1e-6)
    sizes = {one.name: int(one.mask.sum()) for one in structures_of(TWO_LEVELS, anatomy(), half(3, 7), values)}
    assert (sizes["PTV60"], sizes["PTV54"]) == (32 * 16, 32 * 32)
    assert set(sizes) == {"PTV60", "PTV54", *phantoms.OARS}


def test_no_target_is_allowed() -> None:
    assert not predict_dose(PREDICTOR, anatomy(), half(0, 0)).any()


def test_a_value_that_nothing_names_is_an_error() -> None:
    with pytest.raises(DoseloError, match=r"label map: must hold 0 and the values of {'GTV': \[1\]} only, found \[2\]"):
        predict_dose(PREDICTOR, anatomy(), half(1, 2))
    with pytest.raises(DoseloError, match=r"organs: .*found \[9\]; renumber"):
        predict_dose(PREDICTOR, anatomy(oars=half(0, 9)), half(1, 0))


@pytest.mark.parametrize("values", [{"GTV": []}, {"PTV": [1]}, {"GTV": [0]}])
def test_every_target_needs_a_value_above_0(values: dict[str, list[int]]) -> None:
    with pytest.raises(DoseloError, match=r"targets \['GTV'\] needs a value above 0.*--target GTV=1"):
        check_label_values(phantoms.GUIDANCE, values)


def test_targets_on_the_command_line() -> None:
    assert parse_targets([]) is None
    assert parse_targets(["PTV70=2", "PTV56=1", "PTV56=2"]) == {"PTV70": [2], "PTV56": [1, 2]}


@pytest.mark.parametrize("option", ["GTV", "GTV=", "=1", "GTV=one", "GTV=-1", "GTV=1.5"])
def test_a_target_that_is_no_name_and_number(option: str) -> None:
    with pytest.raises(DoseloError, match=f"NAME=NUMBER, for example GTV=1, found {option}"):
        parse_targets([option])


def test_anatomy_must_be_what_a_predictor_expects() -> None:
    small = phantoms.organ_labels((4, 8, 8))
    with pytest.raises(DoseloError, match=r"ct_hu \(16, 32, 32\), oars \(4, 8, 8\)"):
        anatomy(oars=small)
    with pytest.raises(DoseloError, match="does not fit the grid"):
        anatomy(grid=phantoms.grid_for((4, 8, 8)))
    with pytest.raises(DoseloError, match="must be in HU, air near -1000; its lowest value is 24"):
        anatomy(ct_hu=phantoms.head_ct() + 1024)
    turned = (1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, -1.0, 0.0)
    grid = phantoms.grid_for()
    with pytest.raises(DoseloError, match="must be axial"):
        anatomy(grid=Grid(grid.size, grid.spacing, grid.origin, turned))
    with pytest.raises(DoseloError, match=r"labels \(4, 8, 8\)"):
        predict_dose(PREDICTOR, anatomy(), small)


def test_anatomy_from_files_asks_for_one_grid(tmp_path: Path) -> None:
    ct, oars = tmp_path / "ct.nii.gz", tmp_path / "oars.nii.gz"
    write_array(ct, phantoms.head_ct(), phantoms.grid_for())
    write_array(oars, phantoms.organ_labels(), phantoms.grid_for())
    assert anatomy_from_files(ct, str(oars)).voxel_cc == pytest.approx(0.027)
    write_array(oars, phantoms.organ_labels(), phantoms.grid_for(spacing_mm=(3, 2, 3)))
    with pytest.raises(DoseloError, match=r"oars.nii.gz: must lie on the grid of the CT: spacing .*resample"):
        anatomy_from_files(ct, oars)
