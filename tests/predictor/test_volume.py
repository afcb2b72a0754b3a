"""A patient's dose, with predictors whose dose is known."""

from pathlib import Path

import numpy as np
import pytest
import torch
from predictors import card_of, random_network, sixty_times_target, stand_in
from torch import Tensor

from nnunet_doselo.predictor.artifact import FrozenPredictor, load_predictor, save_predictor
from nnunet_doselo.predictor.card import AXES
from nnunet_doselo.predictor.volume import predict_volume

SPACING_MM = (5.0, 3.0, 3.0)


def random_volume(slices: int = 5, height: int = 6, width: int = 9) -> np.ndarray:
    return np.random.default_rng(0).random((slices, height, width)).astype(np.float32)


def zeros_like(volume: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Organs and CT."""
    return np.zeros(volume.shape, np.uint8), np.zeros(volume.shape, np.int16)


def recording(seen: list[tuple[Tensor, ...]], spacing_mm: tuple[float, ...] = (3.0, 3.0)) -> FrozenPredictor:
    def dose(*inputs: Tensor) -> Tensor:
        seen.append(inputs)
        return 60 * inputs[0]

    return stand_in(dose, spacing_mm=spacing_mm, axes=AXES[len(spacing_mm)])


def test_the_dose_of_each_voxel_is_the_predictors() -> None:
    target = random_volume()
    dose_gy = predict_volume(stand_in(sixty_times_target), target, *zeros_like(target), SPACING_MM)
    assert np.array_equal(dose_gy, 60 * target)
    assert (dose_gy.dtype, dose_gy.shape) == (np.float32, target.shape)


def test_more_than_sixteen_slices_go_in_batches_and_come_back_in_order() -> None:
    target, seen = random_volume(37, 4, 4), []
    dose_gy = predict_volume(recording(seen), target, *zeros_like(target), SPACING_MM)
    assert [len(batch[0]) for batch in seen] == [16, 16, 5]
    assert np.array_equal(dose_gy, 60 * target)


def test_the_predictor_sees_target_organs_and_hu_in_that_order() -> None:
    target = random_volume(2)
    oars, ct_hu = np.full(target.shape, 3, np.uint8), np.full(target.shape, -1000, np.int16)
    seen: list[tuple[Tensor, ...]] = []
    predict_volume(recording(seen), target, oars, ct_hu, SPACING_MM)
    ((t, o, c),) = seen
    assert np.array_equal(t[:, 0].numpy(), target)
    assert (o == 3).all()
    assert (c == -1000).all()


@pytest.mark.parametrize(("spacing_mm", "seen_as"), [((6.0, 1.5), (3, 18)), ((2.0, 6.0), (9, 4))])
def test_another_spacing_is_resampled_there_and_back(spacing_mm: tuple[float, float], seen_as: tuple[int, int]) -> None:
    """A slice of 18 x 27 mm; what is constant stays so, and the result is on the patient's own grid."""
    target, seen = np.full((2, 6, 9), 0.5, np.float32), []
    dose_gy = predict_volume(recording(seen, spacing_mm), target, *zeros_like(target), SPACING_MM)
    assert seen[0][0].shape == (2, 1, *seen_as)
    np.testing.assert_allclose(dose_gy, np.full((2, 6, 9), 30.0), rtol=1e-6)


def test_a_smooth_target_survives_the_way_there_and_back() -> None:
    ramp = np.broadcast_to(np.linspace(0, 1, 40, dtype=np.float32), (1, 40, 40))
    dose_gy = predict_volume(stand_in(sixty_times_target, spacing_mm=(2.0, 2.0)), ramp, *zeros_like(ramp), SPACING_MM)
    assert np.abs(dose_gy - 60 * ramp)[:, 2:-2, 2:-2].max() < 0.1


def test_the_spacing_between_slices_does_not_matter() -> None:
    target = random_volume()
    predictor = stand_in(sixty_times_target)
    thick, thin = (predict_volume(predictor, target, *zeros_like(target), (z, 3.0, 3.0)) for z in (1.0, 9.0))
    assert np.array_equal(thick, thin)


def test_dose_is_never_negative() -> None:
    target = random_volume()
    dose_gy = predict_volume(stand_in(lambda t, o, c: 60 * t - 30), target, *zeros_like(target), SPACING_MM)
    assert np.array_equal(dose_gy, np.maximum(60 * target - 30, 0))
    assert dose_gy.min() == 0


def test_an_empty_target_is_predicted_like_any_other() -> None:
    empty = np.zeros((3, 4, 4), np.float32)
    assert not predict_volume(stand_in(sixty_times_target), empty, *zeros_like(empty), SPACING_MM).any()


def test_a_real_artifact_takes_arrays_of_any_type_and_order(tmp_path: Path) -> None:
    network = random_network()
    predictor = load_predictor(save_predictor(network, card_of(network), tmp_path / "p.ts"))
    target, (oars, ct_hu) = random_volume(3, 7, 5), zeros_like(random_volume(3, 7, 5))
    turned = [np.asfortranarray(a.astype(np.float64)) for a in (target, oars, ct_hu)]
    dose_gy = predict_volume(predictor, *turned, SPACING_MM)
    expected = network(*(torch.from_numpy(a.astype(np.float32))[:, None] for a in (target, oars, ct_hu)))
    np.testing.assert_allclose(dose_gy, expected[:, 0].clamp_min(0).detach().numpy(), atol=1e-4)
    assert dose_gy.max() > 0


def test_a_predictor_of_volumes_sees_the_volume_as_one() -> None:
    target, seen = random_volume(37, 6, 9), []
    dose_gy = predict_volume(recording(seen, SPACING_MM), target, *zeros_like(target), SPACING_MM)
    assert [x.shape for x in seen[0]] == [(1, 1, 37, 6, 9)] * 3
    assert len(seen) == 1
    assert np.array_equal(dose_gy, 60 * target)


def test_in_3d_slices_are_resampled_too() -> None:
    """A volume of 25 x 18 x 27 mm; what is constant stays so."""
    target, seen = np.full((5, 6, 9), 0.5, np.float32), []
    dose_gy = predict_volume(recording(seen, (2.5, 6.0, 1.5)), target, *zeros_like(target), SPACING_MM)
    assert seen[0][0].shape == (1, 1, 10, 3, 18)
    np.testing.assert_allclose(dose_gy, np.full((5, 6, 9), 30.0), rtol=1e-5)


@pytest.mark.parametrize("dim", [2, 3])
def test_mirrored_and_averaged_a_dose_that_leans_to_one_side_stands_straight(dim: int) -> None:
    """60 Gy in the left half of a target and 0 in the right, whatever is shown: 30 Gy everywhere."""
    target = np.ones((2, 3, 4), np.float32)
    leaning = torch.tensor([60.0, 60.0, 0.0, 0.0])
    predictor = stand_in(lambda t, o, c: leaning * t, spacing_mm=SPACING_MM[-dim:], axes=AXES[dim])
    dose_gy = predict_volume(predictor.mirrored(), target, *zeros_like(target), SPACING_MM)
    assert np.array_equal(dose_gy, np.full((2, 3, 4), 30.0))


def test_a_real_3d_artifact_gives_what_its_network_gives(tmp_path: Path) -> None:
    network = random_network(dim=3)
    predictor = load_predictor(save_predictor(network, card_of(network), tmp_path / "p.ts"))
    target, (oars, ct_hu) = random_volume(9, 7, 5), zeros_like(random_volume(9, 7, 5))
    dose_gy = predict_volume(predictor, target, oars, ct_hu, (3.0, 3.0, 3.0))
    expected = network(*(torch.from_numpy(a.astype(np.float32))[None, None] for a in (target, oars, ct_hu)))
    np.testing.assert_allclose(dose_gy, expected[0, 0].clamp_min(0).detach().numpy(), atol=1e-4)
    assert dose_gy.max() > 0
