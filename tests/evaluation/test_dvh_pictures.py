"""DVHs as a picture: which line is which dose, units on the axes, no two structures alike."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import imread

from nnunet_doselo.dataset.structures import Structure, StructureKind
from nnunet_doselo.evaluation.dvh import DVH
from nnunet_doselo.evaluation.dvh_pictures import Curves, dvh_curves, dvh_figure, dvh_picture

ROW = (1, 1, 4)
EVERYWHERE, NOWHERE = np.ones(ROW, bool), np.zeros(ROW, bool)


def dvh_of(*doses_gy: float) -> DVH:
    return DVH(np.sort(np.array(doses_gy, float)), voxel_cc=1.0)


def organs(count: int) -> list[Curves]:
    return [Curves(f"Organ{n}", "organ", dvh_of(10, 20), dvh_of(10, 30)) for n in range(count)]


def panels(figure: Figure) -> tuple[Axes, Axes]:
    targets, at_risk = figure.axes
    return targets, at_risk


def both_doses() -> list[Curves]:
    gtv = Curves("GTV", "target", dvh_of(60, 60), dvh_of(50, 60))
    return [gtv, *organs(1)]


def test_the_file_is_a_picture_of_1600_pixels_width(tmp_path: Path) -> None:
    dvh_picture(tmp_path / "new" / "dvh.png", both_doses(), title="P001")
    assert imread(tmp_path / "new" / "dvh.png").shape[1] == 1600
    assert [file.name for file in (tmp_path / "new").iterdir()] == ["dvh.png"]


def test_the_axes_have_units() -> None:
    for axes, title in zip(panels(dvh_figure(both_doses())), ("Targets", "Organs at risk"), strict=True):
        assert (axes.get_title(), axes.get_xlabel(), axes.get_ylabel()) == (title, "Dose [Gy]", "Volume [%]")


def test_the_reference_is_solid_and_the_evaluated_dose_dashed_in_one_colour() -> None:
    figure = dvh_figure(both_doses(), reference_title="Planned", evaluated_title="Predicted")
    solid, dashed = panels(figure)[0].get_lines()
    assert (solid.get_linestyle(), dashed.get_linestyle()) == ("-", "--")
    assert solid.get_color() == dashed.get_color()
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["Planned", "Predicted"]


def test_a_curve_starts_at_100_per_cent_and_falls_where_the_voxels_are() -> None:
    _, dashed = panels(dvh_figure(both_doses()))[0].get_lines()
    doses_gy, volume = dashed.get_data()
    volume = np.asarray(volume)
    assert volume[0] == 100
    np.testing.assert_array_equal(volume[np.less_equal(doses_gy, 50)], 100)
    np.testing.assert_array_equal(volume[np.greater(doses_gy, 50) & np.less_equal(doses_gy, 60)], 50)
    np.testing.assert_array_equal(volume[np.greater(doses_gy, 60)], 0)


def test_one_dose_alone_has_one_line_and_one_name() -> None:
    figure = dvh_figure([Curves("GTV", "target", dvh_of(60))], reference_title="Dose of GTV.nii.gz")
    assert len(panels(figure)[0].get_lines()) == 1
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["Dose of GTV.nii.gz"]


def test_no_two_of_twenty_organs_look_the_same() -> None:
    lines = panels(dvh_figure(organs(20)))[1].get_lines()
    assert len({(line.get_color(), line.get_marker(), line.get_linestyle()) for line in lines}) == 40


def test_an_organ_that_is_not_there_is_left_out_and_the_others_keep_their_colour() -> None:
    first, second = organs(2)
    whole = panels(dvh_figure([first, second]))[1].get_lines()
    left = panels(dvh_figure([Curves("Organ0", "organ", dvh_of(), dvh_of()), second]))[1]
    legend = left.get_legend()
    assert legend
    assert [text.get_text() for text in legend.get_texts()] == ["Organ1"]
    assert left.get_lines()[0].get_color() == whole[-1].get_color()


@pytest.mark.parametrize("curves", [[], [Curves("GTV", "target", dvh_of())], [Curves("GTV", "target", dvh_of(0, 0))]])
def test_nothing_and_no_dose_are_no_trouble(curves: list[Curves], tmp_path: Path) -> None:
    dvh_picture(tmp_path / "dvh.png", curves)
    assert (tmp_path / "dvh.png").exists()


def test_curves_of_structures_under_one_dose_and_two() -> None:
    kinds: tuple[tuple[str, StructureKind, np.ndarray], ...] = (
        ("GTV", "target", EVERYWHERE),
        ("Cord", "organ", NOWHERE),
    )
    structures = [Structure(*one) for one in kinds]
    gtv, cord = dvh_curves(structures, np.full(ROW, 60.0), np.full(ROW, 54.0), voxel_cc=0.5)
    assert [dvh.mean_gy for dvh in gtv.both] == [60, 54]
    assert (gtv.reference.volume_cc, cord.highest_gy) == (2, 0)
    (alone, _) = dvh_curves(structures, np.full(ROW, 60.0), None, voxel_cc=0.5)
    assert alone.both == [alone.reference]


def test_pictures_leave_pyplot_alone() -> None:
    code = "import sys, nnunet_doselo.evaluation.dvh_pictures; sys.exit('matplotlib.pyplot' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
