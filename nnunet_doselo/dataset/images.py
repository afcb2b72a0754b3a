"""Images on disk: SimpleITK's (x, y, z) becomes (Z, Y, X) in one place, and writes are all or nothing."""

import gzip
import zlib
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from nnunet_doselo.common.errors import DoseloError
from nnunet_doselo.common.files import all_or_nothing
from nnunet_doselo.dataset.geometry import Grid

READ_BYTES = 1 << 22


def read_array(path: Path) -> tuple[np.ndarray, Grid]:
    """Return the voxels as (Z, Y, X) and their grid.

    Raises
    ------
    DoseloError: the file is missing, unreadable, cut short or not three-dimensional.
    """
    image = read_image(path)
    return sitk.GetArrayFromImage(image), grid_of(image)


def read_grid(path: Path) -> Grid:
    """The grid alone, from the file's header."""
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
    except RuntimeError as error:
        raise _unreadable(path) from error
    return _grid(reader, path)


def grid_of(image: sitk.Image) -> Grid:
    return _grid(image, "image in memory")


def write_array(path: Path, array: np.ndarray, grid: Grid) -> None:
    """Write a (Z, Y, X) array on `grid`; the file appears whole or not at all."""
    if tuple(reversed(array.shape)) != grid.size:
        raise DoseloError(f"{path}: array (z, y, x) {array.shape} does not fit the grid (x, y, z) {grid.size}")
    image = sitk.GetImageFromArray(array.astype(np.uint8) if array.dtype == bool else array)
    image.SetSpacing(grid.spacing)
    image.SetOrigin(grid.origin)
    image.SetDirection(grid.direction)
    with all_or_nothing(path) as partial:
        sitk.WriteImage(image, str(partial), useCompression=True, compressionLevel=1)


def read_image(path: Path) -> sitk.Image:
    """A whole image; raises DoseloError if the file is missing, unreadable or cut short."""
    try:
        image = sitk.ReadImage(str(path))
    except RuntimeError as error:
        raise _unreadable(path) from error
    if not _is_whole(path, image):
        raise DoseloError(f"{path}: is cut short or damaged; copy or convert it again")
    return image


def _is_whole(path: Path, image: sitk.Image) -> bool:
    """SimpleITK reads NIfTI files that were cut short and fills up with zeros: water, or no dose."""
    if path.name.endswith(".nii"):
        voxels = image.GetNumberOfPixels() * image.GetNumberOfComponentsPerPixel()
        return path.stat().st_size >= voxels * image.GetSizeOfPixelComponent()
    if not path.name.endswith(".gz"):
        return True
    try:
        with gzip.open(path) as file:
            while file.read(READ_BYTES):
                pass
    except (EOFError, OSError, zlib.error):
        return False
    return True


def _grid(image: sitk.Image | sitk.ImageFileReader, where: Path | str) -> Grid:
    if image.GetDimension() != 3:
        raise DoseloError(f"{where}: expected a 3-D image, found {image.GetDimension()} dimensions")
    return Grid(image.GetSize(), image.GetSpacing(), image.GetOrigin(), image.GetDirection())


def _unreadable(path: Path) -> DoseloError:
    reason = "is not an image that SimpleITK can read" if Path(path).exists() else "does not exist"
    return DoseloError(f"{path}: {reason}")
