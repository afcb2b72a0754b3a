"""The cascaded U-Net that turns CT, target and organs into dose (Liu et al., Med Phys 48:5574, 2021; paper 2.1).

Batch normalisation, not instance normalisation: the latter divides each image by its own statistics, and with them
the prescribed level of a target that fills the slice. In evaluation it is a fixed affine map, cheap and exact.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nnunet_doselo.predictor.beam_paths import beam_paths
from nnunet_doselo.predictor.inputs import at_least_single, encode, near_body

HU_WINDOW = (-1000.0, 1500.0)
MARGIN_VOXELS = 3


@dataclass(frozen=True)
class NetworkSettings:
    """What is needed to build the network again.

    first, second: channels per resolution level of the two U-Nets.
    dim: 2 for axial slices, 3 for volumes.
    gantry_deg: angles of the beams, for a channel of their paths (`beam_paths`); none for a network without it.
    pixel_mm: (y, x) of the slices; matters to the beams alone.
    """

    organ_labels: tuple[int, ...]
    prescription_gy: float
    first: tuple[int, ...] = (16, 32, 64, 128, 256)
    second: tuple[int, ...] = (32, 64, 128, 256, 512)
    hu_window: tuple[float, float] = field(default=HU_WINDOW)
    dim: int = 2
    gantry_deg: tuple[float, ...] = ()
    pixel_mm: tuple[float, float] = (1.0, 1.0)

    def scaled(self, factor: float) -> "NetworkSettings":
        """The same network with all widths multiplied, at least 4 channels a level."""
        first, second = (tuple(max(4, round(w * factor)) for w in ws) for ws in (self.first, self.second))
        return replace(self, first=first, second=second)


CONVOLUTION: dict[int, type[nn.Conv2d] | type[nn.Conv3d]] = {2: nn.Conv2d, 3: nn.Conv3d}
NORMALISATION: dict[int, type[nn.BatchNorm2d] | type[nn.BatchNorm3d]] = {2: nn.BatchNorm2d, 3: nn.BatchNorm3d}
POOLING: dict[int, type[nn.MaxPool2d] | type[nn.MaxPool3d]] = {2: nn.MaxPool2d, 3: nn.MaxPool3d}


class ConvBlock(nn.Sequential):
    """Twice: convolution over 3 voxels along each axis, batch normalisation, ReLU."""

    def __init__(self, channels_in: int, channels_out: int, dim: int) -> None:
        convolution, normalisation = CONVOLUTION[dim], NORMALISATION[dim]
        super().__init__(
            convolution(channels_in, channels_out, 3, padding=1, bias=False),
            normalisation(channels_out),
            nn.ReLU(inplace=True),
            convolution(channels_out, channels_out, 3, padding=1, bias=False),
            normalisation(channels_out),
            nn.ReLU(inplace=True),
        )


class UNet(nn.Module):
    """(B, C, *S) -> features (B, widths[0], *S); every length of S must be a multiple of 2 ** (levels - 1)."""

    def __init__(self, channels_in: int, widths: Sequence[int], dim: int) -> None:
        super().__init__()
        self.pool = POOLING[dim](2)
        self.encoder = nn.ModuleList(
            ConvBlock(above, width, dim) for above, width in zip((channels_in, *widths[:-1]), widths, strict=True)
        )
        self.decoder = nn.ModuleList(
            ConvBlock(below + width, width, dim) for below, width in zip(widths[:0:-1], widths[-2::-1], strict=True)
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, *S), lengths multiples of the stride, to (B, features, *S)."""
        skips: list[Tensor] = []
        for level, block in enumerate(self.encoder):
            if level > 0:
                x = self.pool(x)
            x = block(x)
            skips.append(x)
        for level, block in enumerate(self.decoder):
            x = F.interpolate(x, scale_factor=2.0, mode="nearest")
            x = block(torch.cat([x, skips[-2 - level]], dim=1))
        return x


class CascadedUNet(nn.Module):
    """Two U-Nets in a row; the second sees the features of the first beside the input. Doses in units of Rx."""

    def __init__(self, channels_in: int, first: Sequence[int], second: Sequence[int], dim: int) -> None:
        super().__init__()
        self.stride = 2 ** (max(len(first), len(second)) - 1)
        self.first = UNet(channels_in, first, dim)
        self.second = UNet(channels_in + first[0], second, dim)
        self.first_head = CONVOLUTION[dim](first[0], 1, 1)
        self.second_head = CONVOLUTION[dim](second[0], 1, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(B, C, *S), lengths multiples of `stride` -> both stages' doses, (B, 1, *S)."""
        features = self.first(x)
        refined = self.second(torch.cat([features, x], dim=1))
        return self.first_head(features), self.second_head(refined)


def pad_to_multiple(x: Tensor, multiple: int) -> Tensor:
    """(B, C, *S) with zeros behind each axis of S until its length is a multiple."""
    padding: list[int] = []
    for axis in range(x.dim() - 1, 1, -1):
        padding += [0, -x.shape[axis] % multiple]
    return F.pad(x, padding)


def cut_to(x: Tensor, wanted: Tensor) -> Tensor:
    """(B, C, *S) cut to the lengths of `wanted`, (B, C, *S): what `pad_to_multiple` added is taken off again."""
    for axis in range(2, x.dim()):
        x = x.narrow(axis, 0, wanted.shape[axis])
    return x


class DosePredictor(nn.Module):
    """Target, organs and CT to dose in Gy: the contract of the artifact, everything a caller could get wrong inside."""

    organ_labels: Tensor
    gantry_deg: list[float]

    def __init__(self, settings: NetworkSettings) -> None:
        super().__init__()
        self.settings = settings
        self.prescription_gy = float(settings.prescription_gy)
        self.hu_low, self.hu_high = float(settings.hu_window[0]), float(settings.hu_window[1])
        self.register_buffer("organ_labels", torch.tensor(settings.organ_labels), persistent=False)
        self.gantry_deg = [float(angle) for angle in settings.gantry_deg]
        self.with_beams = len(self.gantry_deg) > 0
        self.pixel_y_mm, self.pixel_x_mm = (float(mm) for mm in settings.pixel_mm)
        self.dim, self.margin = settings.dim, MARGIN_VOXELS
        channels_in = 2 + len(settings.organ_labels) + int(self.with_beams)
        self.cascade = CascadedUNet(channels_in, settings.first, settings.second, settings.dim)

    def stages(self, target: Tensor, oars: Tensor, ct: Tensor) -> tuple[Tensor, Tensor]:
        """Both stages' doses in units of Rx, for deep supervision: target, organs and CT (B, 1, *S) as in `forward`.

        Padding is 0: air, no target, no organ. Further from the body than 3 voxels in its slice there is no dose;
        plans have some close by, in fixation and couch.
        """
        channels = encode(target, oars, ct, self.organ_labels, self.hu_low, self.hu_high)
        if self.with_beams:
            paths = beam_paths(target, ct, self.gantry_deg, self.pixel_y_mm, self.pixel_x_mm)
            channels = torch.cat([channels, paths.to(channels.dtype)], dim=1)
        padded = pad_to_multiple(channels, self.cascade.stride)
        if self.dim == 2:
            padded = padded.contiguous(memory_format=torch.channels_last)
        first, second = self.cascade(padded)
        near = near_body(ct, self.margin).to(first.dtype)
        return cut_to(first, target) * near, cut_to(second, target) * near

    def forward(self, target: Tensor, oars: Tensor, ct: Tensor) -> Tensor:
        """Predicted dose in Gy, (B, 1, *S) float32; may fall slightly below 0 far from the target.

        Parameters
        ----------
        target: (B, 1, *S) prescribed dose / Rx, in [0, 1], soft values allowed; gradients pass through.
        oars: (B, 1, *S) integer organ labels.
        ct: (B, 1, *S) HU.

        S is (Y, X) of an axial slice, or (Z, Y, X), as `settings.dim` says; of any size.
        """
        _, second = self.stages(target, oars, ct)
        return at_least_single(second) * self.prescription_gy
