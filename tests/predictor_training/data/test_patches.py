"""Random 3D patches: where they lie, and that they are moved as a whole about the long axis alone."""

import numpy as np
import phantoms
import pytest
import torch

from nnunet_doselo.dataset.images import write_array
from nnunet_doselo.predictor.spatial_domain import WHOLE_DOMAIN, SpatialDomain, domain_of_beams
from nnunet_doselo.predictor_training.data.augmentation import spatial_transforms
from nnunet_doselo.predictor_training.data.cache import CachedCase, build_cache
from nnunet_doselo.predictor_training.data.samples import (
    RandomPatches,
    Sample,
    TargetCodes,
    centred,
    random_shift,
    read_box,
    whole_volume,
)

CODES = TargetCodes((0.0, 0.8))
UNKNOWN_BEAMS = domain_of_beams((), dim=3)
SEEDS = range(40)


@pytest.fixture(scope="module")
def blob(tmp_path_factory: pytest.TempPathFactory) -> CachedCase:
    """10 x 24 x 24 voxels of air; in slices 6 to 8 a bar along x: bone, target and 60 Gy, all of its shape."""
    folder = tmp_path_factory.mktemp("blob")
    dataset = phantoms.write_extended_dataset(folder / "dataset", cases=1)
    mask = np.zeros((10, 24, 24), bool)
    mask[6:9, 11:13, 6:18] = True
    for kind, array in {
        "ct": np.where(mask, 976, -1024).astype(np.int16),
        "labels": mask.astype(np.uint8),
        "oars": (2 * mask).astype(np.uint8),
        "dose": (60 * mask).astype(np.float32),
    }.items():
        write_array(dataset.path(kind, "Phantom_000"), array, phantoms.grid_for(mask.shape))
    return build_cache(dataset, dataset.cases(), (3.0, 3.0, 3.0), folder / "cache", processes=0)[0]


def drawn(
    case: CachedCase, number: int, patch_size: tuple[int, ...], domain: SpatialDomain | None = UNKNOWN_BEAMS
) -> Sample:
    return RandomPatches([case], CODES, patch_size, 1, domain)[number]


@pytest.mark.parametrize("size", [(10, 24, 24), (4, 16, 32), (16, 8, 8), (1, 24, 24)])
@pytest.mark.parametrize("domain", [None, UNKNOWN_BEAMS, WHOLE_DOMAIN])
def test_a_patch_has_its_size_whatever_that_of_the_case(
    blob: CachedCase, size: tuple[int, ...], domain: SpatialDomain | None
) -> None:
    for seed in range(4):
        sample = drawn(blob, seed, size, domain=domain)
        assert {name: x.shape for name, x in sample.items()} == dict.fromkeys(sample, (1, *size))


@pytest.mark.parametrize("index", range(10))
def test_a_patch_stays_inside_a_larger_case_and_holds_the_slice_it_was_drawn_for(index: int) -> None:
    shape, patch = (10, 24, 9), (4, 16, 16)
    for seed in range(20):
        torch.manual_seed(seed)
        (z, z_end), (y, y_end), x = centred(shape, patch, random_shift(shape, patch, index))
        assert 0 <= z <= index < z_end <= 10
        assert 0 <= y < y_end <= 24
        assert x == (-4, 12)  # 9 voxels in the middle of 16


def test_every_place_in_the_plane_is_drawn() -> None:
    torch.manual_seed(0)
    drawn_shifts = {random_shift((10, 6, 4), (10, 4, 4), 3) for _ in range(50)}
    assert drawn_shifts == {(0, -1, 0), (0, 0, 0), (0, 1, 0)}


def test_outside_a_case_there_is_nothing(blob: CachedCase) -> None:
    context, dose = read_box(blob, [(-3, 7), (11, 12), (6, 30)])
    assert (context.shape, dose.shape) == ((3, 10, 1, 24), (1, 10, 1, 24))
    expected = np.zeros((10, 1, 24), bool)
    expected[9, 0, :12] = True  # slice 6, columns 6 to 17
    assert np.array_equal(dose[0] == 60, expected)
    assert np.array_equal(context[1] == 1, expected)


def test_ct_target_organs_and_dose_stay_aligned_and_all_slices_move_alike(blob: CachedCase) -> None:
    """Turned about z alone, the bar is cut alike by every slice."""
    moved = 0
    for seed in SEEDS:
        sample = drawn(blob, seed, (10, 24, 24))
        share = sample["dose"][0] / 60
        torch.testing.assert_close((sample["ct"][0] + 1024) / 2000, share, rtol=0, atol=1e-4)
        clear = (share - 0.5).abs() > 0.05
        assert torch.equal((sample["target"][0] > 0)[clear], (share > 0.5)[clear])
        slices = share[share.amax((1, 2)) > 0.5]
        assert len(slices) >= 2
        full = slices / slices.amax((1, 2), keepdim=True)  # at the ends a scaled bar fades along z
        torch.testing.assert_close(full, full[:1].expand_as(full), rtol=0, atol=1e-4)
        moved += not torch.equal(share, torch.from_numpy(blob.dose_gy()[:] / 60))
    assert moved > 5


def test_volumes_are_mirrored_left_to_right_alone(blob: CachedCase) -> None:
    plain = spatial_transforms((10, 24, 24), UNKNOWN_BEAMS).transforms
    assert plain[1].allowed_axes == (2,)
    heights = [int(drawn(blob, seed, (10, 24, 24))["dose"][0].amax((1, 2)).argmax()) for seed in SEEDS]
    assert min(heights) >= 5


def test_under_the_whole_augmentation_volumes_are_mirrored_along_all_axes_and_turned_about_z(blob: CachedCase) -> None:
    turned, mirrored = spatial_transforms((10, 24, 24), WHOLE_DOMAIN).transforms
    assert mirrored.allowed_axes == (0, 1, 2)
    angles = np.array([[turned.rotation(image=None, dim=dim) for dim in range(3)] for _ in range(200)])
    assert not angles[:, 1:].any()
    assert -np.pi <= angles[:, 0].min() < -3
    assert 3 < angles[:, 0].max() <= np.pi
    heights = [int(drawn(blob, seed, (10, 24, 24), WHOLE_DOMAIN)["dose"][0].amax((1, 2)).argmax()) for seed in SEEDS]
    assert min(heights) < 4 < max(heights)


def test_most_patches_hold_dose(blob: CachedCase) -> None:
    """0.85 for a dosed slice, and 0.15 times the chance that 3 of 10 are met by two slices at random."""
    held = [bool(drawn(blob, seed, (2, 24, 24), domain=None)["dose"].any()) for seed in SEEDS]
    assert 32 <= sum(held) <= 40


def test_a_whole_volume_is_a_batch_of_one_unmoved(blob: CachedCase) -> None:
    sample = whole_volume(blob, CODES)
    assert {name: x.shape for name, x in sample.items()} == dict.fromkeys(sample, (1, 1, 10, 24, 24))
    assert np.array_equal(sample["dose"][0, 0].numpy(), blob.dose_gy()[:])
    assert sample["target"].max() == pytest.approx(0.8)
