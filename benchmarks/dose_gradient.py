"""How the dose term's gradient compares with the voxel term's: its size, its direction, and how much of it is noise.

python benchmarks/dose_gradient.py 512 2d_small nnUNetTrainerDOSELO            # at the network's first weights
python benchmarks/dose_gradient.py 512 2d_small nnUNetTrainerDOSELO --checkpoint .../fold_0/checkpoint_final.pth

Gradients on all weights of the segmentation network, of training batches, at lambda = 1. A batch's ratio is the norm of
the dose term's gradient over that of the voxel term's; its cosine is 1 where both want the same, 0 where they have
nothing to do with each other. Agreement is the norm of the mean gradient over batches by the mean of their norms: 1 if
all batches say the same, 1 / sqrt(batches) if they are independent of each other.
"""

import json
import sys
from collections.abc import Iterator
from contextlib import redirect_stdout
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from machine import command, default_device, hardware
from step_epoch import finish, started
from step_task import planned_by
from torch import Tensor

QUARTILES = (25, 50, 75)


def gradients(trainer: Any, batch: dict[str, Any]) -> dict[str, Tensor]:
    """Flat gradients on the network's weights: of the voxel term, and of the dose term by form of the mask."""
    from nnunet_doselo.context.transforms import split_batch

    image, oars, ct_hu = split_batch(batch["data"].to(trainer.device))
    truth = [scale.to(trainer.device) for scale in batch["target"]]
    output = trainer.network(image)
    found = {"voxel": _flat(trainer.loss.voxel_loss(output, truth), trainer.network)}
    for form in ("straight-through", "soft"):
        trainer.loss.dose_loss.hard = form == "straight-through"
        found[form] = _flat(trainer.loss.dose_loss(output[0], truth[0], oars, ct_hu), trainer.network)
    return found


def _flat(term: Tensor, network: torch.nn.Module) -> Tensor:
    """Weights that a term does not reach (deep supervision's outputs, for the dose) have the gradient 0."""
    weights = [weight for weight in network.parameters() if weight.requires_grad]
    parts = torch.autograd.grad(term, weights, retain_graph=True, allow_unused=True)
    zeros = (torch.zeros_like(weight) for weight in weights)
    return torch.cat([(zero if part is None else part).flatten() for part, zero in zip(parts, zeros, strict=True)])


def compare(batches: Iterator[dict[str, Tensor]]) -> dict[str, dict[str, Any]]:
    """By term: quartiles of norms, ratios and cosines over the batches, and the batches' agreement."""
    norms: dict[str, list[float]] = {}
    cosines: dict[str, list[float]] = {}
    sums: dict[str, Tensor] = {}
    for found in batches:
        for name, gradient in found.items():
            norms.setdefault(name, []).append(float(gradient.norm()))
            cosines.setdefault(name, []).append(float(torch.cosine_similarity(gradient, found["voxel"], dim=0)))
            sums[name] = sums.get(name, torch.zeros_like(gradient)) + gradient
    return {name: _summary(name, norms, cosines, sums) for name in norms}


def _summary(name: str, norms: dict[str, list[float]], cosines: dict[str, list[float]], sums: dict) -> dict[str, Any]:
    found = {"norm": _quartiles(norms[name]), "agreement": float(sums[name].norm()) / sum(norms[name])}
    if name == "voxel":
        return found
    ratios = [own / voxel for own, voxel in zip(norms[name], norms["voxel"], strict=True)]
    # a batch whose decisions are all right has no dose gradient, and a cosine of nothing
    reached = [cosine for cosine, norm in zip(cosines[name], norms[name], strict=True) if norm > 0]
    of_means = float(torch.cosine_similarity(sums[name], sums["voxel"], dim=0))
    against = {"ratio": _quartiles(ratios), "cosine": _quartiles(reached), "cosine of the means": of_means}
    return found | against | {"batches without": len(ratios) - len(reached)}


def _quartiles(values: list[float]) -> list[float]:
    return [float(quartile) for quartile in np.percentile(values, QUARTILES)] if values else []


def main(
    dataset: int,
    configuration: str,
    trainer: Annotated[str, typer.Argument(help="Whose two terms: nnUNetTrainerDOSELO or nnUNetTrainerDOSELO_DiceCE.")],
    checkpoint: Annotated[Path | None, typer.Option(help="Weights, of any trainer (default: the first ones).")] = None,
    fold: int = 0,
    batches: int = 100,
    plans: str = "nnUNetPlans",
    seed: int = 0,
    device: Annotated[str, typer.Option(help="Default: the GPU, if there is one.")] = "",
) -> None:
    """Print quartiles over batches as JSON."""
    used = device or default_device()
    with redirect_stdout(sys.stderr):  # nnU-Net prints
        task = planned_by(dataset, plans, configuration, None, 0.0)
        from nnunet_doselo.trainer.seeds import set_seeds

        set_seeds(seed)
        learner = started(task, trainer, used, fold)
        if checkpoint:
            learner.network.load_state_dict(torch.load(checkpoint, used, weights_only=False)["network_weights"])
        learner.network.train()
        loader = learner.dataloader_train
        found = compare(gradients(learner, next(loader)) for _ in range(batches))
        finish(learner)
    about = {"command": command(), "hardware": hardware(used), "torch": torch.__version__, "quartiles": QUARTILES}
    print(json.dumps(about | found, indent=2))


if __name__ == "__main__":
    typer.run(main)
