"""CT and organs go where the image goes, and nothing else happens to them."""

import numpy as np
import pytest
import torch
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

from nnunet_doselo.context.transforms import split_batch, with_context
from nnunet_doselo.dataset.geometry import AIR_HU

SIZE = 48
ORGAN, TARGET, BRIGHT_HU = 5, 1, 2000
SEEDS = range(50)


def pipeline(patch: int = SIZE):
    """nnU-Net's own training transforms, context taken along."""
    return with_context(
        nnUNetTrainer.get_training_transforms(
            (patch, patch), (-np.pi, np.pi), [[1.0, 1.0], [0.5, 0.5]], (0, 1), False, use_mask_for_norm=[False]
        )
    )


def pipeline_3d(*, dummy_2d: bool):
    """The same for volumes; with anisotropic voxels nnU-Net turns and scales slices alone ("dummy 2d")."""
    return with_context(
        nnUNetTrainer.get_training_transforms(
            (8, 32, 32), (-np.pi, np.pi), [[1.0] * 3, [1.0, 0.5, 0.5]], (0, 1, 2), dummy_2d, use_mask_for_norm=[False]
        )
    )


def marked_volume() -> dict[str, torch.Tensor]:
    """As `marked_sample`, a block in a volume."""
    blob = torch.zeros(1, 8, 32, 32, dtype=torch.bool)
    blob[0, 1:5, 6:16, 5:13] = True
    ct = torch.where(blob, BRIGHT_HU, 0.0) - AIR_HU
    segmentation = torch.cat([blob * TARGET, blob * ORGAN]).to(torch.int16)
    return {"image": torch.cat([torch.where(blob, 1000.0, 0.0), ct]), "segmentation": segmentation}


def marked_sample(size: int = SIZE) -> dict[str, torch.Tensor]:
    """A blob away from the centre, of one shape, in image, CT (offset as it travels), target and organs."""
    blob = torch.zeros(1, size, size, dtype=torch.bool)
    blob[0, 14:26, 20:30] = True
    ct = torch.where(blob, BRIGHT_HU, 0.0) - AIR_HU
    image = torch.where(blob, 1000.0, 0.0)
    segmentation = torch.cat([blob * TARGET, blob * ORGAN]).to(torch.int16)
    return {"image": torch.cat([image, ct]), "segmentation": segmentation}


def moved(seed: int, sample: dict[str, torch.Tensor] | None = None, patch: int = SIZE):
    """Image, organs, CT (HU) and full-resolution target after one draw of nnU-Net's augmentation."""
    torch.manual_seed(seed)
    np.random.seed(seed)  # noqa: NPY002 (nnU-Net's transforms use the global generator)
    result = pipeline(patch)(**(sample or marked_sample()))
    image, oars, ct = split_batch(result["image"][None])
    return image[0], oars[0], ct[0], result["segmentation"][0]


def overlap(a: torch.Tensor, b: torch.Tensor) -> float:
    return (2 * (a & b).sum() / (a.sum() + b.sum())).item()


@pytest.mark.parametrize("seed", SEEDS)
def test_the_mark_stays_in_one_place(seed: int) -> None:
    image, oars, ct, target = moved(seed)
    blob = target == TARGET
    assert torch.equal(oars == ORGAN, blob)
    assert overlap(ct > BRIGHT_HU / 2, blob) > 0.9
    assert overlap(image > (image.min() + image.max()) / 2, blob) > 0.8


@pytest.mark.parametrize("dummy_2d", [True, False])
def test_the_mark_stays_in_one_place_in_volumes(dummy_2d: bool) -> None:
    places, transforms = set(), pipeline_3d(dummy_2d=dummy_2d)
    for seed in range(20):
        torch.manual_seed(seed)
        np.random.seed(seed)  # noqa: NPY002 (nnU-Net's transforms use the global generator)
        result = transforms(**marked_volume())
        image, oars, ct = split_batch(result["image"][None])
        blob = result["segmentation"][0][None] == TARGET
        assert image.shape == oars.shape == ct.shape == (1, 1, 8, 32, 32)
        assert torch.equal(oars == ORGAN, blob)
        assert overlap(ct > BRIGHT_HU / 2, blob) > 0.85
        slices = blob.any(dim=4).any(dim=3).sum().item()
        assert slices == 4 or not dummy_2d
        places.add(tuple(torch.nonzero(blob[0, 0]).float().mean(0).round().tolist()))
    assert len(places) > 5


def test_the_mark_does_move() -> None:
    places = {tuple(torch.nonzero(moved(seed)[3][0]).float().mean(0).round().tolist()) for seed in SEEDS}
    assert len(places) > 10


@pytest.mark.parametrize("seed", SEEDS)
def test_organs_stay_integers_of_the_declared_set(seed: int) -> None:
    _, oars, _, _ = moved(seed)
    assert oars.dtype == torch.int16
    assert set(oars.unique().tolist()) <= {0, ORGAN}


@pytest.mark.parametrize("seed", SEEDS)
def test_ct_keeps_its_hounsfield_units(seed: int) -> None:
    sample = marked_sample()
    sample["image"][1] = 40 - AIR_HU  # water everywhere: no spatial transform can change its centre
    _, _, ct, _ = moved(seed, sample)
    assert ct[0, SIZE // 2, SIZE // 2].item() == pytest.approx(40, abs=1e-3)
    assert ct.max().item() == pytest.approx(40, abs=1e-3)


def test_image_intensities_are_augmented_while_the_ct_is_not() -> None:
    assert any(not torch.equal(moved(seed)[0].unique(), torch.tensor([0.0, 1000.0])) for seed in SEEDS)


def test_padding_is_air_without_organs() -> None:
    _, oars, ct, target = moved(0, patch=2 * SIZE)
    corner = (slice(None), slice(0, 8), slice(0, 8))
    assert torch.equal(ct[corner], torch.full((1, 8, 8), float(AIR_HU)))
    assert not oars[corner].any()
    assert not target[corner].any()


def test_regions_do_not_lose_the_organs() -> None:
    transforms = nnUNetTrainer.get_validation_transforms([[1.0, 1.0]], regions=[(1,), (1, 2)])
    result = with_context(transforms)(**marked_sample())
    _, oars, _ = split_batch(result["image"][None])
    assert result["segmentation"][0].shape[0] == 2
    assert (oars == ORGAN).sum() == 12 * 10


def test_split_batch_undoes_the_merge() -> None:
    data = torch.stack([torch.zeros(2, 2), torch.full((2, 2), 1064.0), torch.full((2, 2), 3.0)])[None]
    image, oars, ct = split_batch(data)
    assert image.shape == (1, 1, 2, 2)
    assert ct.unique().item() == 40
    assert oars.unique().item() == 3
