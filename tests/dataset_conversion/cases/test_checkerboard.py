"""Tiles where they should be, to scale, and each image in its colours."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nnunet_doselo.common.errors import DoseloError
from nnunet_doselo.dataset_conversion.cases.checkerboard import save_checkerboard, tiles

SPACING_MM = (3.0, 1.0, 1.0)
WATER_GREY = 255 * 110 // 280
"""0 HU in the window from -110 to 170 HU."""


def picture(file: Path) -> np.ndarray:
    with Image.open(file) as image:
        return np.asarray(image.convert("RGB")).astype(int)


def board(tmp_path: Path, fixed: np.ndarray, moving: np.ndarray) -> np.ndarray:
    save_checkerboard(tmp_path / "new" / "board.png", fixed, moving, SPACING_MM)
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["board.png"]
    return picture(tmp_path / "new" / "board.png")


def test_tiles_are_squares_of_18_mm() -> None:
    """Rows 3 mm apart: six a tile; columns 6 mm apart: three a tile."""
    expected = np.array([[0, 0, 0, 1, 1, 1, 0]] * 6 + [[1, 1, 1, 0, 0, 0, 1]], bool)
    assert np.array_equal(tiles((7, 7), (3.0, 6.0)), expected)


def test_half_of_the_picture_is_the_ct_and_half_the_other_image(tmp_path: Path) -> None:
    """72 x 72 x 72 mm, 4 x 4 tiles a plane: as much of one as of the other."""
    moving = np.full((24, 72, 72), 5.0)
    moving[0, 0, 0] = 0
    shown = board(tmp_path, np.zeros((24, 72, 72)), moving)
    assert shown.shape[1] == 1600
    is_ct = (abs(shown - WATER_GREY) <= 2).all(axis=2)
    is_moving = (shown[..., 0] > 250) & (shown[..., 2] < 230) & (shown[..., 2] > 200)
    assert is_ct.sum() == pytest.approx(is_moving.sum(), rel=0.02)
    assert is_ct.sum() + is_moving.sum() == pytest.approx(3 * (1552 / 3) ** 2, rel=0.02), "three squares side by side"


def test_planes_are_to_scale_and_the_head_is_up(tmp_path: Path) -> None:
    """90 mm wide, 36 mm deep, 54 mm high; the CT is bone in the upper half, air in the lower."""
    fixed = np.full((18, 36, 90), -1000.0)
    fixed[9:] = 1000.0
    shown = board(tmp_path, fixed, np.zeros(fixed.shape))
    white = (shown > 250).all(axis=2)[80:]
    scale = 1552 / (90 + 90 + 36)
    coronal = white[:, round(12 * 2 + 90 * scale) : round(12 * 2 + 180 * scale)]
    rows = np.flatnonzero(coronal.sum(axis=1) > 100)
    assert rows.max() - rows.min() == pytest.approx(27 * scale, abs=3), "the upper half of 54 mm"
    assert rows.min() < 5, "at the top of the panel"


def test_the_view_is_cut_to_what_the_moved_image_shows(tmp_path: Path) -> None:
    """A bright cube of 30 mm, and 20 mm around it, in a volume of 300 mm: 70 mm fill the width of a panel."""
    moving = np.zeros((100, 300, 300))
    moving[40:50, 100:130, 200:230] = 9.0
    shown = board(tmp_path, np.full(moving.shape, -1000.0), moving)
    assert shown.shape[0] == pytest.approx(1552 / 3 + 92, abs=25)
    assert (shown[..., 0] > 250).sum() == pytest.approx(3 * (30 / 70 * 1552 / 3) ** 2 / 2, rel=0.25)


def test_images_on_different_grids_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DoseloError, match=r"on one grid, found \(2, 3, 4\) and \(2, 3, 5\)"):
        save_checkerboard(tmp_path / "a.png", np.zeros((2, 3, 4)), np.zeros((2, 3, 5)), SPACING_MM)
    assert not list(tmp_path.iterdir())
