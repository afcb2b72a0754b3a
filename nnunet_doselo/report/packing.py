"""Volumes on their way into the page: a byte a voxel, gzipped, as text.

The page undoes it with what every browser brings (DecompressionStream); report.js has the other half.
"""

import base64
import gzip
from dataclasses import dataclass

import numpy as np

LEVELS = 255


@dataclass(frozen=True)
class PackedVolume:
    """shape: (z, y, x). A voxel's value is `low + step * byte`; bytes run from 0 to `levels`."""

    shape: tuple[int, int, int]
    low: float
    step: float
    levels: int
    data: str


def pack_labels(labels: np.ndarray) -> PackedVolume:
    """(Z, Y, X) whole numbers from 0 to 255."""
    return _pack(labels.astype(np.uint8), 0.0, 1.0, LEVELS)


def pack_values(values: np.ndarray, low: float, high: float, levels: int = LEVELS) -> PackedVolume:
    """(Z, Y, X) numbers, rounded to one of `levels` + 1 steps from `low` to `high` and cut off there; NaN is `low`."""
    step = (high - low) / levels or 1.0
    rounded = np.rint((np.nan_to_num(values, nan=low) - low) / step)
    return _pack(np.clip(rounded, 0, levels).astype(np.uint8), low, step, levels)


def _pack(volume: np.ndarray, low: float, step: float, levels: int) -> PackedVolume:
    # differences of neighbours, as PNG has them, were tried: doses shrink by a tenth, images grow by as much
    packed = gzip.compress(volume.tobytes(), compresslevel=6, mtime=0)
    z, y, x = volume.shape
    return PackedVolume((z, y, x), low, step, levels, base64.b64encode(packed).decode())
