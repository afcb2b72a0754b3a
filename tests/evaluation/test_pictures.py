"""Four panels of one slice: what is on which, on which scale, and the right way up."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.image import AxesImage, imread
from matplotlib.lines import Line2D

from nnunet_doselo.common.errors import DoseloError
from nnunet_doselo.evaluation.pictures import TARGET_COLOUR, Contours, comparison_figure, dose_comparison

SHAPE = (24, 32)  # rows, columns
SPACING_YX = (2.0, 1.0)
RX_GY = 60.0


def box(rows: slice, columns: slice) -> np.ndarray:
    mask = np.zeros(SHAPE, bool)
    mask[rows, columns] = True
    return mask


BODY = box(slice(4, 20), slice(6, 26))
TARGET = box(slice(8, 12), slice(10, 16))
EMPTY = np.zeros(SHAPE, bool)
CT_HU = np.where(BODY, 0, -1000)
REFERENCE_GY = np.where(TARGET, 60.0, 20.0) * BODY
CONTOURS = Contours({"GTV": TARGET}, {"Brainstem": box(slice(14, 18), slice(10, 16)), "Lens_L": EMPTY})


def figure_of(
    evaluated_gy: np.ndarray = REFERENCE_GY, contours: Contours = CONTOURS, ct_hu: np.ndarray = CT_HU
) -> Figure:
    return comparison_figure(
        ct_hu, contours, REFERENCE_GY, evaluated_gy, RX_GY, SPACING_YX, title="P001", evaluated_title="Predictor"
    )


def shown(image: AxesImage) -> np.ma.MaskedArray:
    return np.ma.asarray(image.get_array())


def legend_of(figure: Figure) -> list[Line2D]:
    """Lines of the legend, which is below the CT."""
    legend = figure.axes[0].get_legend()
    return legend.get_lines() if legend else []


def test_the_file_is_a_picture_of_1600_pixels_width(tmp_path: Path) -> None:
    path = tmp_path / "new" / "slice.png"
    dose_comparison(path, CT_HU, CONTOURS, REFERENCE_GY, 0.9 * REFERENCE_GY, RX_GY, SPACING_YX)
    assert imread(path).shape[1] == 1600
    assert [file.name for file in path.parent.iterdir()] == ["slice.png"]


def test_the_panels_say_what_they_show() -> None:
    titles = [axes.get_title() for axes in figure_of().axes[:4]]
    assert titles == ["CT", "Reference dose", "Predictor", "Evaluated − reference"]


def test_the_ct_has_a_soft_tissue_window() -> None:
    # level 40, width 400 HU
    assert figure_of().axes[0].images[0].get_clim() == (-160, 240)


def test_both_doses_share_one_scale_up_to_110_percent() -> None:
    panels = figure_of(evaluated_gy=2 * REFERENCE_GY).axes
    assert [panels[n].images[-1].get_clim() for n in (1, 2)] == [(0, pytest.approx(66.0))] * 2


def test_the_ct_shows_through_below_five_percent() -> None:
    dose = shown(figure_of(evaluated_gy=np.where(TARGET, 3.0, 2.9)).axes[2].images[-1])
    # 5 % of 60 Gy is 3 Gy
    np.testing.assert_array_equal(np.ma.getmaskarray(dose), ~TARGET)


def test_too_much_dose_is_positive_on_a_symmetric_scale() -> None:
    image = figure_of(evaluated_gy=REFERENCE_GY + 7.5).axes[3].images[-1]
    assert shown(image).mean() == pytest.approx(7.5)
    assert image.get_clim() == (-8, 8)


def test_equal_doses_still_have_a_scale() -> None:
    assert figure_of().axes[3].images[-1].get_clim() == (-1, 1)


def test_anterior_is_at_the_top_and_a_square_millimetre_is_square() -> None:
    figure = figure_of()
    figure.draw_without_rendering()
    axes = figure.axes[0]
    top, bottom = axes.transData.transform([(0, 4), (0, 14)])[:, 1]
    left, right = axes.transData.transform([(6, 0), (26, 0)])[:, 0]
    # 10 rows of 2 mm are as long as 20 columns of 1 mm
    assert top > bottom
    assert right - left == pytest.approx(top - bottom)


def test_the_view_is_the_body_and_a_margin() -> None:
    bottom, top = figure_of().axes[0].get_ylim()
    # rows 4 to 19, and 8 mm on either side
    assert (top, bottom) == (pytest.approx(0.0), pytest.approx(23.0))


def test_the_legend_names_the_contours_of_this_slice() -> None:
    assert [line.get_label() for line in legend_of(figure_of())] == ["GTV", "Brainstem"]


def test_targets_share_a_colour_and_differ_in_line() -> None:
    targets = Contours({"Reference": TARGET, "Predicted": np.roll(TARGET, 2, axis=1)})
    lines = legend_of(figure_of(contours=targets))
    assert [line.get_color() for line in lines] == [TARGET_COLOUR] * 2
    assert [line.get_linestyle() for line in lines] == ["-", "--"]


def test_no_two_of_twenty_organs_look_the_same() -> None:
    lines = legend_of(figure_of(contours=Contours({}, {f"Organ{n}": TARGET for n in range(20)})))
    assert len({(line.get_color(), line.get_linestyle()) for line in lines}) == 20


def test_an_organ_keeps_its_colour_where_another_is_absent() -> None:
    both, right_alone = (Contours({}, {"Eye_L": left, "Eye_R": TARGET}) for left in (TARGET, EMPTY))
    _, right = legend_of(figure_of(contours=both))
    (alone,) = legend_of(figure_of(contours=right_alone))
    assert alone.get_color() == right.get_color()


@pytest.mark.parametrize("mask", [~EMPTY, EMPTY], ids=["whole slice", "nothing"])
def test_masks_without_an_inner_edge_are_no_trouble(mask: np.ndarray, tmp_path: Path) -> None:
    contours = Contours({"GTV": mask}, {"Brainstem": mask})
    dose_comparison(tmp_path / "a.png", CT_HU, contours, REFERENCE_GY, REFERENCE_GY, RX_GY, SPACING_YX)
    assert (tmp_path / "a.png").exists()


def test_a_slice_of_air_without_dose_is_shown_whole() -> None:
    left, right = figure_of(evaluated_gy=0 * REFERENCE_GY, ct_hu=np.full(SHAPE, -1000)).axes[0].get_xlim()
    assert left <= 0
    assert right >= SHAPE[1] - 1


def test_what_cannot_be_drawn_is_refused() -> None:
    with pytest.raises(DoseloError, match=r"ct_hu \(24, 32\).*GTV \(2, 2\)"):
        figure_of(contours=Contours({"GTV": np.ones((2, 2), bool)}))
    volume = np.zeros((3, *SHAPE))
    with pytest.raises(DoseloError, match=r"one slice \(Y, X\).*\(3, 24, 32\)"):
        comparison_figure(volume, Contours({}), volume, volume, RX_GY, SPACING_YX)
    with pytest.raises(DoseloError, match="positive prescription"):
        comparison_figure(CT_HU, CONTOURS, REFERENCE_GY, REFERENCE_GY, 0.0, SPACING_YX)


def test_pictures_leave_pyplot_alone() -> None:
    code = "import sys, nnunet_doselo.evaluation.pictures; sys.exit('matplotlib.pyplot' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
