"""Dose of our fluence maps by PyDoseRT's pencil-beam engine: other people's kernel, density table and ray tracing.

PyDoseRT knows volumes as (H, D, W), which are our (Z, Y, X); its isocentre is counted from the centre of voxel 0 and
its gantry turns as ours does, so nothing is flipped. Torch and `pydosert` are loaded when a dose is asked for.
"""

import warnings
from collections.abc import Sequence
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np
from scipy.ndimage import affine_transform

from nnunet_doselo.common.errors import DoseloError
from nnunet_doselo.dataset.geometry import body_mask, voxel_mm3

from .interface import SAD_MM, Beams

if TYPE_CHECKING:
    from pydosert import BeamSequence, PencilDepthEngine

MACHINE = "varian_10MV"
KERNEL_REACH_MM = 150.0
"""A bixel gives no dose further away than this, along either axis."""
MEMORY_BYTES = 500_000_000
"""For the beams that are computed together; PyDoseRT itself takes about as much again."""
COPIES = 12
"""Volumes that the engine holds for each of them; 7 to 10 were measured."""
PIXEL_MM = 1.0
"""Of PyDoseRT's fluence maps: its projection takes one pixel for one millimetre at the isocentre."""
AIR_AROUND_HU = -1000.0
"""What the engine is told of all that is not the body: air."""
DEPTH_FRACTION = 1e-6
"""Bixels above this share of their beam's maximum are given their own depth, not the central axis's."""


def dose_of_fluence(
    fluence: np.ndarray,
    ct_hu: np.ndarray,
    spacing_mm: Sequence[float],
    isocentre_mm: Sequence[float],
    beams: Beams,
    *,
    body: np.ndarray | None = None,
) -> np.ndarray:
    """Relative dose of fluence maps, computed by PyDoseRT's `PencilDepthEngine` on the CPU.

    The maps reach the engine as they are: none of its leaves, penumbra, head scatter or output factors is applied.
    It calculates on cubic voxels, since it turns slices voxel by voxel; other grids are interpolated to cubes of the
    same volume and back.

    Parameters
    ----------
    fluence: (beams, rows, columns), relative, both numbers odd; as in `interface.Plan`.
    ct_hu: (Z, Y, X), HU.
    spacing_mm, isocentre_mm: (z, y, x), the isocentre from the centre of voxel 0; it may lie between voxels.
    body: (Z, Y, X) boolean; everything else is air and gets no dose. Left out: `geometry.body_mask`.

    Returns
    -------
    (Z, Y, X) float32, 0 outside the body; 0 everywhere if fluence or body are empty. The unit is arbitrary and
    depends on the voxel size: only ratios within one grid mean anything.

    Raises
    ------
    DoseloError: PyDoseRT is not installed; or fluence and beams do not fit together.
    """
    _check(fluence, beams)
    pydosert = _pydosert()
    inside = body_mask(ct_hu) if body is None else np.asarray(body, bool)
    if not inside.any() or not fluence.any():
        return np.zeros(ct_hu.shape, np.float32)
    edge_mm = voxel_mm3(spacing_mm) ** (1 / 3)
    zoom = edge_mm / np.asarray(spacing_mm, float)
    shape = tuple(int(np.ceil((n - 1) / z - 1e-6)) + 1 for n, z in zip(ct_hu.shape, zoom, strict=True))
    cubes_hu = _resample(np.where(inside, ct_hu, AIR_AROUND_HU), zoom, shape)
    cubes_dose = _dose_on_cubes(pydosert, fluence, cubes_hu, edge_mm, tuple(map(float, isocentre_mm)), beams)
    return _resample(cubes_dose, 1 / zoom, ct_hu.shape) * inside


def _check(fluence: np.ndarray, beams: Beams) -> None:
    number = len(beams.gantry_deg)
    if fluence.ndim != 3 or len(fluence) != number or not all(n % 2 for n in fluence.shape[1:]):
        raise DoseloError(
            f"fluence must be (beams, rows, columns) with {number} beams and odd numbers of rows and columns; "
            f"found {fluence.shape}"
        )


def _pydosert() -> ModuleType:
    try:
        import pydosert
    except ImportError as error:
        raise DoseloError(
            "the engine 'pydosert' needs PyDoseRT, which is not installed: pip install 'nnunet-doselo[tps]'"
        ) from error
    return pydosert


def _resample(volume: np.ndarray, zoom: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Linear interpolation of float32; voxel 0 keeps its centre, one voxel of the result is `zoom` of the input's."""
    volume = np.asarray(volume, np.float32)
    if np.allclose(zoom, 1, rtol=0, atol=1e-4):
        return volume
    return affine_transform(volume, zoom, output_shape=shape, order=1, mode="nearest")


def _dose_on_cubes(
    pydosert: ModuleType,
    fluence: np.ndarray,
    ct_hu: np.ndarray,
    edge_mm: float,
    isocentre_mm: tuple[float, ...],
    beams: Beams,
) -> np.ndarray:
    """(Z, Y, X) float32 on cubic voxels, the slices widened so that no part of the body is lost when they turn."""
    import torch
    from pydosert.data.loaders import body_cylinder_radius_mm, crop_from_cylinder, pad_to_cylinder

    spacing_mm = (edge_mm,) * 3
    radius_mm = body_cylinder_radius_mm(ct_hu, spacing_mm, isocentre_mm, air_hu=AIR_AROUND_HU)
    padded_hu, isocentre_mm, padding = pad_to_cylinder(ct_hu, spacing_mm, isocentre_mm, radius_mm, AIR_AROUND_HU)
    density = pydosert.Patient(ct_tensor=torch.from_numpy(padded_hu)).density_image
    maps = torch.from_numpy(fluence_in_pixels(fluence, beams.bixel_mm, edge_mm))
    sequence = _open_beams(pydosert, beams, isocentre_mm, tuple(maps.shape[1:]))
    engine = _engine(pydosert, sequence, edge_mm, tuple(density.shape))
    bytes_per_beam = COPIES * density.element_size() * density.nelement()
    with torch.no_grad(), warnings.catch_warnings():
        # it asks torch for float32 autocast, which the CPU lacks and does not need
        warnings.filterwarnings("ignore", message="In CPU autocast", category=UserWarning)
        dose = engine.compute_dose(
            sequence, density, fluence_maps=maps, beam_chunk_size=max(1, MEMORY_BYTES // bytes_per_beam)
        )
    return crop_from_cylinder(dose[0], padding).numpy()


def fluence_in_pixels(fluence: np.ndarray, bixel_mm: float, window_mm: float) -> np.ndarray:
    """Maps (beams, rows, columns) to maps of pixels of 1 mm, each the mean of the bixels in a square window around it.

    The engine reads a map at the voxels' centres only; with windows as wide as a voxel no fluence is lost between
    them. The middle of the result is that of the maps, and a frame of zeros surrounds it.
    """
    rows, columns = (_means(n, bixel_mm, window_mm) for n in fluence.shape[1:])
    return np.einsum("pr,brc,qc->bpq", rows, fluence, columns, optimize=True).astype(np.float32)


def _means(bixels: int, bixel_mm: float, window_mm: float) -> np.ndarray:
    """(pixels, bixels): share of each pixel's window that a bixel covers; an even number of pixels."""
    half = int(np.ceil((bixels * bixel_mm + window_mm) / 2 / PIXEL_MM)) + 1
    pixels = (np.arange(-half, half) + 0.5)[:, None] * PIXEL_MM
    centres = (np.arange(bixels) - (bixels - 1) / 2)[None] * bixel_mm
    covered = np.minimum(pixels + window_mm / 2, centres + bixel_mm / 2)
    covered -= np.maximum(pixels - window_mm / 2, centres - bixel_mm / 2)
    return np.clip(covered, 0, None) / window_mm


def _open_beams(
    pydosert: ModuleType, beams: Beams, isocentre_mm: Sequence[float], pixels: tuple[int, ...]
) -> "BeamSequence":
    """One control point of weight 1 for each beam; its leaves are never looked at, since the fluence is given."""
    import torch

    number = len(beams.gantry_deg)
    return pydosert.BeamSequence(
        mus=torch.ones(number),
        leaf_positions=torch.zeros(number, 1, 2),
        jaw_positions=torch.zeros(number, 2),
        field_size=pixels,
        iso_center=tuple(isocentre_mm),
        sid=SAD_MM,
        gantry_angles=torch.deg2rad(torch.tensor(beams.gantry_deg)),
        collimator_angles=torch.zeros(number),
    )


def _engine(
    pydosert: ModuleType, sequence: "BeamSequence", edge_mm: float, shape: tuple[int, ...]
) -> "PencilDepthEngine":
    engine = pydosert.PencilDepthEngine(
        machine_config=pydosert.MachineConfig(preset=MACHINE),
        kernel_size=2 * int(np.ceil(KERNEL_REACH_MM / edge_mm)) + 1,
        dose_grid_spacing=(edge_mm,) * 3,
        dose_grid_shape=shape,
        beam_template=sequence,
    )
    # by default 5 %: the dose would not be linear in the fluence
    engine.PENCIL_FLUENCE_FRACTION = DEPTH_FRACTION
    return engine
