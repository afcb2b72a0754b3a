"""The stored numbers of an image or a dose, before any rescaling."""

import warnings
from pathlib import Path

import numpy as np
from pydicom import Dataset
from pydicom.pixels import pixel_array
from pydicom.uid import UID, ImplicitVRLittleEndian

from nnunet_doselo.common.errors import DoseloError

from .objects import integer, optional, required


def stored_values(dataset: Dataset, path: Path) -> np.ndarray:
    """Integers, (Y, X) or with several frames (Z, Y, X), of a dataset that was read with its pixels.

    Compressed pixels are decoded by what pydicom finds installed.

    Raises
    ------
    DoseloError: the image is not grey, has no pixels, too few of them, or a compression without decoder.
    """
    samples = integer(dataset, "SamplesPerPixel", path)
    if samples != 1 or required(dataset, "PhotometricInterpretation", path) != "MONOCHROME2":
        raise DoseloError(f"{path}: must hold grey values (PhotometricInterpretation MONOCHROME2), and does not")
    if "PixelData" not in dataset:
        raise DoseloError(f"{path}: holds no pixel data; export it again")
    with warnings.catch_warnings():  # pydicom warns of surplus bytes
        warnings.simplefilter("ignore")
        return _decoded(dataset, path)


def _decoded(dataset: Dataset, path: Path) -> np.ndarray:
    meta = dataset.file_meta
    if "TransferSyntaxUID" not in meta:  # a file without preamble: the standard's default
        meta.TransferSyntaxUID = ImplicitVRLittleEndian
    try:
        return pixel_array(dataset)
    except Exception as error:  # pydicom and its decoders raise many kinds; their text may quote the file
        syntax = meta.TransferSyntaxUID
        is_known = isinstance(syntax, UID) and syntax.is_transfer_syntax and not syntax.is_private
        how = f", transfer syntax {syntax.name}" if is_known and syntax.is_compressed else ""
        raise DoseloError(
            f"{path}: pixel data cannot be decoded ({type(error).__name__}{how}); export the object again, uncompressed"
        ) from None


def require_single_frame(dataset: Dataset, path: Path) -> None:
    """Raises DoseloError for enhanced objects, which hold a whole series in one file."""
    frames = integer(dataset, "NumberOfFrames", path) if "NumberOfFrames" in dataset else 1
    if frames > 1 or optional(dataset, "SharedFunctionalGroupsSequence", path) is not None:
        raise DoseloError(
            f"{path}: is a multi-frame image, which is not supported; export it as one file a slice (classic CT or MR)"
        )
