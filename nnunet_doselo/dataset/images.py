"""Images on disk and in memory: SimpleITK's (x, y, z) becomes (Z, Y, X) here alone, and writes are all or nothing."""

import gzip
import zlib
from collections.abc import Sequence
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
    return array_of(image), grid_of(image)


def read_on_grid(path: Path, grid: Grid) -> np.ndarray:
    """The voxels of a file that lies on `grid`, a CT's, as (Z, Y, X).

    Raises
    ------
    DoseloError: what `read_array` refuses, or another grid, saying what differs.
    """
    array, grid_of_file = read_array(path)
    if differences := grid_of_file.differences(grid):
        raise DoseloError(
            f"{path}: must lie on the grid of the CT: {'; '.join(differences)}; resample it, label maps to the "
            "nearest voxel"
        )
    return array


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
    """Where the voxels of a three-dimensional image lie."""
    return _grid(image, "image in memory")


def array_of(image: sitk.Image) -> np.ndarray:
    """A copy of the voxels, (Z, Y, X)."""
    return sitk.GetArrayFromImage(image)


def array_view(image: sitk.Image) -> np.ndarray:
    """The voxels themselves, (Z, Y, X), read-only, for as long as the image is kept: nothing is copied."""
    return sitk.GetArrayViewFromImage(image)


def as_image(array: np.ndarray, grid: Grid) -> sitk.Image:
    """A (Z, Y, X) array on its grid, copied; booleans become 0 and 1.

    Raises
    ------
    DoseloError: the shape is not the grid's.
    """
    if array.shape != grid.shape:
        raise DoseloError(f"array (z, y, x) {array.shape} does not fit the grid (x, y, z) {grid.size}")
    image = sitk.GetImageFromArray(array.astype(np.uint8) if array.dtype == bool else array)
    image.SetSpacing(grid.spacing)
    image.SetOrigin(grid.origin)
    image.SetDirection(grid.direction)
    return image


def onto_grid(
    image: sitk.Image, grid: Grid, *, interpolator: int = sitk.sitkLinear, outside: float = 0.0
) -> sitk.Image:
    """The image on another grid, in its own type; `outside` where it does not reach.

    An image ends with the outer faces of its voxels: in the outermost half voxel the nearest voxel's value holds.
    """
    return sitk.Resample(
        image, grid.size, sitk.Transform(), interpolator, grid.origin, grid.spacing, grid.direction, outside
    )


def index_xyz(index: Sequence[int] | np.ndarray) -> tuple[int, ...]:
    """An array's index, (3,) in the order z, y, x, in the order that SimpleITK's methods take."""
    return tuple(int(i) for i in reversed(index))


def write_array(path: Path, array: np.ndarray, grid: Grid) -> None:
    """Write a (Z, Y, X) array on `grid`; the file appears whole or not at all.

    Raises
    ------
    DoseloError: the shape is not the grid's.
    """
    try:
        image = as_image(array, grid)
    except DoseloError as error:
        raise DoseloError(f"{path}: {error}") from None
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
