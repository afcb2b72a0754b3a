"""Small dose predictors for tests: random weights from a seed, and stand-ins whose dose is known."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import phantoms
import torch
from torch import Tensor, nn

from nnunet_doselo.predictor.artifact import FrozenPredictor
from nnunet_doselo.predictor.card import AXES, PredictorCard
from nnunet_doselo.predictor.network import DosePredictor, NetworkSettings

SHA256 = "ab" * 32


def random_network(
    seed: int = 0,
    *,
    prescription_gy: float = 60.0,
    organ_labels: tuple[int, ...] = (1, 2, 3),
    first: tuple[int, ...] = (4, 8, 8),
    second: tuple[int, ...] = (8, 8, 16),
    dim: int = 2,
    gantry_deg: tuple[float, ...] = (),
) -> DosePredictor:
    """In evaluation mode, with batch normalisation as if trained (no mean is 0, no scale is 1) and doses of some Gy."""
    torch.manual_seed(seed)
    pixel_mm = (phantoms.SPACING_MM[-2], phantoms.SPACING_MM[-1])
    network = DosePredictor(
        NetworkSettings(organ_labels, prescription_gy, first, second, dim=dim, gantry_deg=gantry_deg, pixel_mm=pixel_mm)
    )
    for module in network.modules():
        if isinstance(module, (nn.Conv2d, nn.Conv3d)):
            nn.init.kaiming_normal_(module.weight)
        if isinstance(module, (nn.BatchNorm2d, nn.BatchNorm3d)):
            for tensor, low, high in ((module.weight, 0.5, 1.5), (module.bias, -0.3, 0.3)):
                nn.init.uniform_(tensor, low, high)
            module.running_mean = torch.empty_like(module.bias).uniform_(-0.2, 0.2).detach()
            module.running_var = torch.empty_like(module.bias).uniform_(0.5, 2.0).detach()
    nn.init.normal_(network.cascade.second_head.weight, std=0.1)
    nn.init.constant_(network.cascade.second_head.bias, 0.5)
    return network.eval()


def random_inputs(batch: int, *size: int, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """Soft targets, organ labels 0 to 3 and HU beyond both ends of the window, (batch, 1, *size)."""
    generator = torch.Generator().manual_seed(seed)
    shape = (batch, 1, *size)
    target = torch.rand(shape, generator=generator)
    oars = torch.randint(0, 4, shape, generator=generator)
    return target, oars, torch.rand(shape, generator=generator) * 3500 - 1500


def card_of(network: DosePredictor, **changes: Any) -> PredictorCard:
    """The card of a network for the phantoms."""
    settings = network.settings
    content: dict[str, Any] = {
        "spacing_mm": phantoms.SPACING_MM[-settings.dim :],
        "oars": phantoms.OARS,
        "target_gy": phantoms.GUIDANCE.target_gy,
        "hu_window": settings.hu_window,
        "gantry_deg": settings.gantry_deg,
        "first": settings.first,
        "second": settings.second,
        "training_data_sha256": SHA256,
        "validation": {"cases": 2, "mae_gy": 1.5},
        "versions": {"torch": "2.6"},
        "axes": AXES[settings.dim],
    }
    return PredictorCard(**content | changes)


def stand_in(dose: Callable[[Tensor, Tensor, Tensor], Tensor], **card: Any) -> FrozenPredictor:
    """Looks like a loaded artifact; `dose` takes target, organs and CT and gives Gy."""
    return FrozenPredictor(dose, card_of(random_network(), **card), SHA256, Path("stand_in.ts"))  # type: ignore[arg-type]


def sixty_times_target(target: Tensor, oars: Tensor, ct: Tensor) -> Tensor:
    return 60 * target
