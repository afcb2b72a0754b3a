"""Presets are data, what is chosen by hand wins, and nonsense is refused."""

from typing import Any

import pytest

from nnunet_doselo.common.errors import DoseloError
from nnunet_doselo.predictor_training.training.settings import PRESETS, TrainingSettings


def test_the_default_preset_of_slices_is_the_settings_own_values() -> None:
    assert TrainingSettings.from_preset("default", 2) == TrainingSettings()


@pytest.mark.parametrize("dim", [2, 3])
def test_presets_grow_from_small_to_large_and_all_are_in_range(dim: int) -> None:
    small, default, large = (TrainingSettings.from_preset(name, dim) for name in PRESETS)
    for settings in (small, default, large):
        settings.check()
        assert settings.dim == dim
    assert small.width < default.width < large.width
    assert small.epochs < default.epochs < large.epochs
    assert small.patch_voxels <= default.patch_voxels <= large.patch_voxels


def test_what_is_chosen_wins_over_the_preset_and_none_leaves_it() -> None:
    chosen = TrainingSettings.from_preset("small", 3, epochs=7, width=None, seed=3)
    assert (chosen.epochs, chosen.width, chosen.seed, chosen.batch_size) == (7, 0.5, 3, 2)


@pytest.mark.parametrize(
    ("name", "dim", "message"),
    [
        ("tiny", 2, r"preset must be one of small, default, large, found tiny"),
        ("small", 4, r"dim must be 2 \(axial slices\) or 3 \(volumes\), found 4"),
    ],
)
def test_there_must_be_such_a_preset(name: str, dim: int, message: str) -> None:
    with pytest.raises(DoseloError, match=message):
        TrainingSettings.from_preset(name, dim)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"dim": 1}, "dim must be 2"),
        ({"augmentation": "all"}, "augmentation must be one of beams, whole, found all"),
        ({"patch_voxels": 0}, "patch_voxels must be positive"),
        ({"spacing_mm": (3.0, 3.0, 3.0)}, r"\(y, x\) for dim 2 .* found \(3\.0, 3\.0, 3\.0\) mm for dim 2; give 2"),
        ({"spacing_mm": (3.0, 3.0), "dim": 3}, r"found \(3\.0, 3\.0\) mm for dim 3; give 3 numbers"),
        ({"spacing_mm": (0.0, 3.0, 3.0), "dim": 3}, "spacing must be positive"),
    ],
)
def test_settings_that_contradict_themselves_are_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(DoseloError, match=message):
        TrainingSettings(**wrong).check()
