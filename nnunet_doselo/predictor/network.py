"""The cascaded U-Net that turns CT, target and organs into dose (Liu et al., Med Phys 48:5574, 2021; paper 2.1).

Batch normalisation, not instance normalisation: the latter divides each image by its own statistics, and with them
the prescribed level of a target that fills the slice. In evaluation it is a fixed affine map, cheap and exact.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nnunet_doselo.predictor.inputs import at_least_single, encode

HU_WINDOW = (-1000.0, 1500.0)


@dataclass(frozen=True)
class NetworkSettings:
    """What is needed to build the network again. `first` and `second` are channels per resolution level."""

    organ_labels: tuple[int, ...]
    prescription_gy: float
    first: tuple[int, ...] = (16, 32, 64, 128, 256)
    second: tuple[int, ...] = (32, 64, 128, 256, 512)
    hu_window: tuple[float, float] = field(default=HU_WINDOW)

    def scaled(self, factor: float) -> "NetworkSettings":
        """The same network with all widths multiplied, at least 4 channels a level."""
        first, second = (tuple(max(4, round(w * factor)) for w in ws) for ws in (self.first, self.second))
        return NetworkSettings(self.organ_labels, self.prescription_gy, first, second, self.hu_window)


class ConvBlock(nn.Sequential):
    """Twice: convolution 3 x 3, batch normalisation, ReLU."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__(
            nn.Conv2d(channels_in, channels_out, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels_out),
            nn.ReLU(inplace=True),
            nn.Conv2d(channels_out, channels_out, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels_out),
            nn.ReLU(inplace=True),
        )


class UNet(nn.Module):
    """(B, C, Y, X) -> features (B, widths[0], Y, X); Y and X must be multiples of 2 ** (levels - 1)."""

    def __init__(self, channels_in: int, widths: Sequence[int]) -> None:
        super().__init__()
        self.encoder = nn.ModuleList(
            ConvBlock(before, width) for before, width in zip((channels_in, *widths[:-1]), widths, strict=True)
        )
        self.decoder = nn.ModuleList(
            ConvBlock(below + width, width) for below, width in zip(widths[:0:-1], widths[-2::-1], strict=True)
        )

    def forward(self, x: Tensor) -> Tensor:
        skips: list[Tensor] = []
        for level, block in enumerate(self.encoder):
            if level > 0:
                x = F.max_pool2d(x, 2)
            x = block(x)
            skips.append(x)
        for level, block in enumerate(self.decoder):
            x = F.interpolate(x, scale_factor=2.0, mode="nearest")
            x = block(torch.cat([x, skips[-2 - level]], dim=1))
        return x


class CascadedUNet(nn.Module):
    """Two U-Nets in a row; the second sees the features of the first beside the input. Doses in units of Rx."""

    def __init__(self, channels_in: int, first: Sequence[int], second: Sequence[int]) -> None:
        super().__init__()
        self.stride = 2 ** (max(len(first), len(second)) - 1)
        self.first = UNet(channels_in, first)
        self.second = UNet(channels_in + first[0], second)
        self.first_head = nn.Conv2d(first[0], 1, 1)
        self.second_head = nn.Conv2d(second[0], 1, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(B, C, Y, X) of any size -> both stages' doses, (B, 1, Y, X). Padding is 0: air, no target, no organ."""
        height, width = x.shape[-2], x.shape[-1]
        x = F.pad(x, [0, -width % self.stride, 0, -height % self.stride])
        features = self.first(x)
        refined = self.second(torch.cat([features, x], dim=1))
        first, second = self.first_head(features), self.second_head(refined)
        return first[..., :height, :width], second[..., :height, :width]


class DosePredictor(nn.Module):
    """Target, organs and CT to dose in Gy: the contract of the artifact, everything a caller could get wrong inside."""

    organ_labels: Tensor

    def __init__(self, settings: NetworkSettings) -> None:
        super().__init__()
        self.settings = settings
        self.prescription_gy = float(settings.prescription_gy)
        self.hu_low, self.hu_high = float(settings.hu_window[0]), float(settings.hu_window[1])
        self.register_buffer("organ_labels", torch.tensor(settings.organ_labels), persistent=False)
        self.cascade = CascadedUNet(2 + len(settings.organ_labels), settings.first, settings.second)

    def stages(self, target: Tensor, oars: Tensor, ct: Tensor) -> tuple[Tensor, Tensor]:
        """Both stages' doses in units of Rx, for deep supervision; arguments as in `forward`."""
        channels = encode(target, oars, ct, self.organ_labels, self.hu_low, self.hu_high)
        return self.cascade(channels.contiguous(memory_format=torch.channels_last))

    def forward(self, target: Tensor, oars: Tensor, ct: Tensor) -> Tensor:
        """Predicted dose in Gy, (B, 1, Y, X) float32; may fall slightly below 0 far from the target.

        Parameters
        ----------
        target: (B, 1, Y, X) prescribed dose / Rx, in [0, 1], soft values allowed; gradients pass through.
        oars: (B, 1, Y, X) integer organ labels.
        ct: (B, 1, Y, X) HU.
        """
        _, second = self.stages(target, oars, ct)
        return at_least_single(second) * self.prescription_gy
