"""Operations of a step, counted and not timed: they are the same on every machine."""

from typing import Any

import torch
from step_task import Task
from step_variants import network
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

GIGA = 1e9


def gflop_per_image(task: Task, width: float, coarser: float) -> dict[str, Any]:
    """Of nnU-Net's step, of the dose term at the network's resolution and at the predictor's, and their ratios."""
    nnunet = nnunets_gflop(task)
    fine, coarse = (predictors_gflop(task.size, width, factor) for factor in (1.0, coarser))
    return {
        "nnU-Net": nnunet,
        "predictor at the network's resolution": fine,
        "predictor at its own": coarse,
        "step over nnU-Net's": {
            "naive": 1 + _term(fine) / nnunet["step"],
            "coarser": 1 + _term(coarse) / nnunet["step"],
            "both at once": 1 + 2 * (coarse["forward"] + coarse["to the contour"]) / nnunet["step"],
            "paper's loop": 1 + 2 * (fine["forward"] + fine["to the contour and the weights"]) / nnunet["step"],
        },
    }


def nnunets_gflop(task: Task) -> dict[str, float]:
    from nnunetv2.utilities.get_network_from_plans import get_network_from_plans

    planned = task.planned["architecture"]
    built = get_network_from_plans(
        planned["network_class_name"],
        planned["arch_kwargs"],
        planned["_kw_requires_import"],
        len(task.dataset_json["channel_names"]),
        len(task.dataset_json["labels"]),
        deep_supervision=True,
    )
    image = torch.zeros(1, len(task.dataset_json["channel_names"]), *task.size, device="meta")
    return _counted(built.to("meta"), image)


def predictors_gflop(size: tuple[int, ...], width: float, coarser: float) -> dict[str, float]:
    shape = (1, 1, *(round(n / coarser) for n in size))
    frozen, trained = network(width).to("meta").requires_grad_(False), network(width).to("meta")
    target = torch.zeros(shape, device="meta", requires_grad=True)
    context = (torch.zeros(shape, device="meta", dtype=torch.int16), torch.zeros(shape, device="meta"))
    to_contour, to_weights = _counted(frozen, target, *context), _counted(trained, target, *context)
    return {
        "forward": to_contour["forward"],
        "to the contour": to_contour["step"] - to_contour["forward"],
        "to the contour and the weights": to_weights["step"] - to_weights["forward"],
    }


def _term(predictor: dict[str, float]) -> float:
    """Two predictions, and the gradient of one on its contour."""
    return 2 * predictor["forward"] + predictor["to the contour"]


def _counted(module: nn.Module, *inputs: torch.Tensor) -> dict[str, float]:
    with FlopCounterMode(display=False) as forward:
        output = module(*inputs)
    outputs = output if isinstance(output, (list, tuple)) else [output]
    with FlopCounterMode(display=False) as backward:
        sum(x.sum() for x in outputs).backward()
    flop = forward.get_total_flops()
    return {"forward": flop / GIGA, "step": (flop + backward.get_total_flops()) / GIGA}
