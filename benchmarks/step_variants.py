"""The steps that `step_cost.py` compares: nnU-Net's own, dose guidance as it is, and every way that led there."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from predictor_formats import scripted
from step_task import ORGANS, Task
from torch import Tensor, nn

from nnunet_doselo.losses.dose_guidance import AGREE_TO, DoseSegmentationLoss, dose_segmentation_loss
from nnunet_doselo.losses.heads import Heads
from nnunet_doselo.losses.voxel import BinaryCrossEntropy
from nnunet_doselo.predictor.network import DosePredictor, NetworkSettings
from nnunet_doselo.predictor.resampling import resample_dose, resample_inputs, size_on

SURE = 20.0
"""Added to the background's logit: a network that sees no target, as one does that knows a slice without."""
RX_GY = 60.0


@dataclass(frozen=True)
class Form:
    """How the dose term is worked out.

    weight_gradients: also for the predictor's weights, which nobody uses.
    channels_last: in memory, in the predictor.
    frozen: TorchScript, as the trainers load it. compiled: `torch.compile` instead.
    coarser: on the predictor's own grid, not on the network's.
    together: truth and contour in one call of the predictor.
    in_parts: a few samples at a time, with their gradient at once.
    sure: the network says background everywhere, and slices whose truth does so too are left out.
    """

    weight_gradients: bool = False
    channels_last: bool = True
    frozen: bool = True
    compiled: bool = False
    coarser: bool = True
    together: bool = False
    in_parts: bool = True
    sure: bool = False


DOSELO = Form()
WHOLE = replace(DOSELO, in_parts=False)
NAIVE = replace(WHOLE, channels_last=False, frozen=False, coarser=False)
FORMS = {
    "naive, with weight gradients": replace(NAIVE, weight_gradients=True),
    "naive": NAIVE,
    "channels last": replace(NAIVE, channels_last=True),
    "frozen": replace(NAIVE, channels_last=True, frozen=True),
    "coarser": WHOLE,
    "coarser, both at once": replace(WHOLE, together=True),
    "coarser, compiled": replace(WHOLE, frozen=False, compiled=True),
    "DOSELO": DOSELO,
    "DOSELO, sure of empty slices": replace(DOSELO, sure=True),
}
"""Each adds one thing to the one before, but for the two alternatives to `coarser`."""
PLAIN = {"nnU-Net": "nnUNetTrainer", "BCE": "nnUNetTrainerBCE"}
PAPER = "paper's loop"
NAMES = (*PLAIN, *FORMS, PAPER)


class WholeBatch(nn.Module):
    """L_DSL as it is written: predictions of the whole batch, then the mean square."""

    def __init__(self, predictor: Callable, heads: Heads, predictor_spacing: tuple[float, ...], together: bool) -> None:
        super().__init__()
        self.predictor, self.heads, self.together = predictor, heads, together
        self.predictor_spacing = predictor_spacing

    def forward(self, output: Tensor, truth: Tensor, oars: Tensor, ct_hu: Tensor) -> Tensor:
        evaluated = self.heads.prescription(self.heads.probabilities(output))
        reference = self.heads.prescription(self.heads.truth(truth))
        size = size_on(self.predictor_spacing, output.shape[2:], (1.0, 1.0))
        reference, oars, ct_hu = resample_inputs(reference, oars, ct_hu, size)
        evaluated = resample_dose(evaluated, size)
        if self.together:
            twice = [torch.cat([x, x]) for x in (oars, ct_hu)]
            doses = self.predictor(torch.cat([reference, evaluated]), *twice).chunk(2)
            return dose_segmentation_loss(doses[0], doses[1], RX_GY)
        with torch.no_grad():
            reference_gy = self.predictor(reference, oars, ct_hu)
        return dose_segmentation_loss(reference_gy, self.predictor(evaluated, oars, ct_hu), RX_GY)


class PaperLoop:
    """The loop that the paper describes, written straight down: two predictions at the network's resolution, single
    precision, Adam; nobody thought of the predictor's weights. The network is nnU-Net's, without deep supervision."""

    def __init__(self, task: Task, width: float, device: str) -> None:
        from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

        trainer = task.trainer(nnUNetTrainer, device)
        trainer.set_deep_supervision_enabled(False)
        self.network, self.device = trainer.network, device
        self.predictor = network(width).to(device)
        self.heads = Heads((1.0,) * (trainer.label_manager.num_segmentation_heads - 1))
        self.voxel = BinaryCrossEntropy(self.heads)
        self.optimizer = torch.optim.Adam(self.network.parameters(), lr=0.0)
        self.batch = task.batch([[1.0, 1.0]], context=True)

    def __call__(self) -> float:
        data, truth = self.batch["data"].to(self.device), self.batch["target"][0].to(self.device)
        image, ct_hu, oars = data[:, :-2], data[:, -2:-1], data[:, -1:]
        self.optimizer.zero_grad()
        output = self.network(image)
        contour = self.heads.prescription(self.heads.probabilities(output))
        target = self.heads.prescription(self.heads.truth(truth))
        dose, predicted = self.predictor(target, oars, ct_hu), self.predictor(contour, oars, ct_hu)
        loss = self.voxel(output, truth) + dose_segmentation_loss(dose, predicted, RX_GY)
        loss.backward()
        self.optimizer.step()
        return loss.item()


def step_of(name: str, task: Task, width: float, coarser: float, device: str) -> Callable[[], Any]:
    """One training step of that name, on a batch that never changes."""
    from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

    from nnunet_doselo.trainer.classes import trainer_class

    if name == PAPER:
        return PaperLoop(task, width, device)
    if name in PLAIN:
        trainer = task.trainer(trainer_class(PLAIN[name]) or nnUNetTrainer, device)
    else:
        trainer = task.trainer(trainer_class("nnUNetTrainerDOSELO"), device)
        trainer.loss.dose_loss = dose_term(FORMS[name], trainer._heads(), width, coarser, device)
    if name in FORMS and FORMS[name].sure:
        make_sure(trainer)
    batch = task.batch(trainer._get_deep_supervision_scales(), context=name not in PLAIN)
    return lambda: trainer.train_step(batch)


def dose_term(form: Form, heads: Heads, width: float, coarser: float, device: str) -> nn.Module:
    spacing = (coarser, coarser) if form.coarser else (1.0, 1.0)
    predictor = predictor_of(form, width, device)
    if form.in_parts:
        agree_to = AGREE_TO if form.sure else "auto"
        return DoseSegmentationLoss(predictor, heads, RX_GY, (1.0, 1.0), spacing, agree_to=agree_to)
    return WholeBatch(predictor, heads, spacing, form.together)


def predictor_of(form: Form, width: float, device: str) -> Callable:
    built = network(width).requires_grad_(form.weight_gradients)
    if form.frozen:
        return scripted(built, device, folded=False)
    if not form.channels_last:
        built.cascade.register_forward_pre_hook(lambda _, inputs: tuple(x.contiguous() for x in inputs))
    built = built.to(device)
    return torch.compile(built) if form.compiled else built


def network(width: float) -> DosePredictor:
    """Random weights: time does not depend on them."""
    torch.manual_seed(0)
    return DosePredictor(NetworkSettings(tuple(ORGANS.values()), RX_GY).scaled(width)).eval()


def make_sure(trainer: Any) -> None:
    network = getattr(trainer.network, "_orig_mod", trainer.network)
    for layer in network.decoder.seg_layers:
        nn.init.zeros_(layer.weight)
        with torch.no_grad():
            layer.bias[0] += SURE
