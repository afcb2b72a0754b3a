"""From an extended dataset's grid back to OpenKBP's own voxels, where its evaluator counts."""

import numpy as np
import SimpleITK as sitk

SHAPE = (128, 128, 128)


def on_native_grid(dose_gy: np.ndarray, converted: sitk.Image, voxel_mm: np.ndarray) -> np.ndarray:
    """(Z, Y, X) on the grid of `converted` -> (128, 128, 128) in OpenKBP's order, interpolated linearly.

    OpenKBP's voxels lie at multiples of `voxel_mm` (anterior-posterior, right-left, superior-inferior) from the
    origin: the converter keeps that frame. Outside the converted image the dose is 0.
    """
    image = sitk.GetImageFromArray(dose_gy)
    image.CopyInformation(converted)
    spacing = [float(voxel_mm[1]), float(voxel_mm[0]), float(voxel_mm[2])]
    size, axes = [SHAPE[1], SHAPE[0], SHAPE[2]], converted.GetDirection()
    native = sitk.Resample(image, size, sitk.Transform(), sitk.sitkLinear, [0.0] * 3, spacing, axes, 0.0)
    return sitk.GetArrayFromImage(native)[::-1].transpose(1, 2, 0)
