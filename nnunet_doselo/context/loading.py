"""A preprocessed nnU-Net dataset whose cases carry CT and organs: the CT as a last image channel, the organs in the
slot of nnU-Net's cascade (`load_case`'s third value), which its loader crops, pads and moves with the segmentation.

Only the loaders for training see it; the final validation loads plain cases.
"""

from pathlib import Path
from typing import Any

import blosc2
import numpy as np
from nnunetv2.training.dataloading.nnunet_dataset import nnUNetBaseDataset

from nnunet_doselo.common.errors import DoseloError
from nnunet_doselo.dataset.geometry import AIR_HU


class DatasetWithContext:
    """Wraps a dataset of nnU-Net's; arrays stay on disk until a patch is cut."""

    def __init__(self, plain: nnUNetBaseDataset, context_folder: Path) -> None:
        self.plain = plain
        self.context_folder = context_folder
        self.identifiers = plain.identifiers

    def load_case(self, identifier: str) -> tuple["ImageAndCT", Any, "Organs", dict]:
        """Image (C + 1, Z, Y, X) with the CT as last channel (HU - AIR_HU, so that nnU-Net's padding with 0 is air),
        segmentation (1, Z, Y, X), organs (Z, Y, X), properties; all on nnU-Net's preprocessed grid.

        Raises
        ------
        DoseloError: the context lies on another grid than the image.
        """
        image, segmentation, _, properties = self.plain.load_case(identifier)
        context = blosc2.open(str(self.context_folder / f"{identifier}.b2nd"), mode="r", dparams={"nthreads": 1})
        if tuple(context.shape[1:]) != tuple(image.shape[1:]):
            raise DoseloError(
                f"case {identifier}: context has shape {context.shape[1:]}, image {image.shape[1:]}; delete "
                f"{self.context_folder} and train again"
            )
        return ImageAndCT(image, context), segmentation, Organs(context), properties

    __getitem__ = load_case


class ImageAndCT:
    """float32 (C + 1, Z, Y, X), cut lazily: nnU-Net's channels, then HU - AIR_HU."""

    def __init__(self, image: Any, context: Any) -> None:
        self.image, self.context = image, context
        self.shape = (image.shape[0] + 1, *image.shape[1:])
        self.dtype = np.dtype(np.float32)

    def __getitem__(self, where: tuple[slice, ...]) -> np.ndarray:
        if where[0] != slice(None):
            raise IndexError(f"all channels are cut together, found {where[0]}")
        ct = self.context[(slice(0, 1), *where[1:])].astype(np.float32) - AIR_HU
        return np.concatenate([self.image[where], ct])


class Organs:
    """int16 (Z, Y, X) organ labels, 0 for none, cut lazily."""

    def __init__(self, context: Any) -> None:
        self.context = context
        self.shape = context.shape[1:]
        self.dtype = np.dtype(np.int16)

    def __getitem__(self, where: tuple[slice, ...]) -> np.ndarray:
        return self.context[(slice(1, 2), *where)][0]
