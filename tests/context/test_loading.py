"""Through nnU-Net's own loader: context is cut with the image, and padding is air."""

from pathlib import Path

import blosc2
import numpy as np
import pytest
from nnunetv2.training.dataloading.data_loader import nnUNetDataLoader
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from nnunetv2.utilities.label_handling.label_handling import LabelManager

from nnunet_doselo.common.errors import DoseloError
from nnunet_doselo.context.loading import DatasetWithContext, ImageAndCT, Organs
from nnunet_doselo.context.transforms import split_batch, with_context
from nnunet_doselo.dataset.geometry import AIR_HU

SHAPE = (4, 12, 10)


class PlainDataset:
    """One case whose image says at every voxel where it is."""

    identifiers = ["a"]  # noqa: RUF012

    def load_case(self, identifier: str):
        image = np.arange(np.prod(SHAPE), dtype=np.float32).reshape(1, *SHAPE)
        segmentation = (image > 100).astype(np.int8)
        locations = {1: np.argwhere(segmentation > 0)}
        return image, segmentation, None, {"class_locations": locations}


def write_context(folder: Path, shape: tuple[int, ...] = SHAPE) -> None:
    """CT is the image's number, organs are its number modulo 3."""
    number = np.arange(np.prod(shape)).reshape(1, *shape)
    blosc2.asarray(np.concatenate([number, number % 3]).astype(np.int16), urlpath=str(folder / "a.b2nd"), mode="w")


def batch_of(folder: Path, patch: tuple[int, int]) -> tuple[np.ndarray, ...]:
    loader = nnUNetDataLoader(
        DatasetWithContext(PlainDataset(), folder),
        8,
        patch,
        patch,
        LabelManager({"background": 0, "GTV": 1}, None),
        transforms=with_context(nnUNetTrainer.get_validation_transforms(None)),
    )
    return tuple(t.numpy() for t in split_batch(loader.generate_train_batch()["data"]))


def test_every_voxel_of_the_patch_has_its_own_context(tmp_path: Path) -> None:
    write_context(tmp_path)
    image, oars, ct = batch_of(tmp_path, (6, 6))
    np.testing.assert_array_equal(ct, image)
    np.testing.assert_array_equal(oars, image % 3)


def test_padding_is_air(tmp_path: Path) -> None:
    write_context(tmp_path)
    image, oars, ct = batch_of(tmp_path, (24, 24))
    inside = ct != AIR_HU
    assert inside.sum(axis=(1, 2, 3)).tolist() == [12 * 10] * 8
    np.testing.assert_array_equal(ct[inside], image[inside])
    assert not oars[~inside].any()


def test_context_of_another_shape_is_refused(tmp_path: Path) -> None:
    write_context(tmp_path, (4, 12, 11))
    with pytest.raises(DoseloError, match=r"case a: context has shape \(4, 12, 11\), image \(4, 12, 10\)"):
        DatasetWithContext(PlainDataset(), tmp_path).load_case("a")


def test_arrays_are_cut_lazily() -> None:
    context = np.stack([np.full(SHAPE, 40), np.full(SHAPE, 2)]).astype(np.int16)
    image = ImageAndCT(np.zeros((1, *SHAPE), np.float32), context)
    cut = image[(slice(None), slice(0, 2), slice(1, 3), slice(0, 1))]
    assert image.shape == (2, *SHAPE)
    assert cut.shape == (2, 2, 2, 1)
    assert set(cut[1].flat) == {40 - AIR_HU}
    assert Organs(context)[(slice(0, 2), slice(0, 3), slice(0, 1))].shape == (2, 3, 1)
