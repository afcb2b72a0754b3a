"""Batch normalisation over the batch of all processes together, without a GPU.

torch's own `SyncBatchNorm` needs one, and is faster there. Here the same is done in plain operations, so that several
CPUs can train together, and that they train as one can be shown on any machine.
"""

from typing import Any

import torch
from lightning.pytorch.plugins.layer_sync import LayerSync
from torch import Tensor, distributed, nn
from torch.nn.modules.batchnorm import _BatchNorm

from nnunet_doselo.predictor.inputs import at_least_single

KEPT = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked", "training")


class SumOverProcesses(torch.autograd.Function):
    """Sum of every process' tensor, the same in each; so is the gradient, of the sum of every process' loss."""

    @staticmethod
    def forward(ctx: Any, summand: Tensor) -> Tensor:
        """Any shape, but the same shape in each process."""
        total = summand.clone(memory_format=torch.contiguous_format)
        distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        """Of the same shape as the sum."""
        return SumOverProcesses.apply(gradient)


def whole_batch_statistics(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Mean and variance (divided by n) of each channel of (B, C, *S), over all processes, and n.

    B and S may differ between processes.
    """
    axes = [0, *range(2, x.dim())]
    number = SumOverProcesses.apply(x.new_tensor(x.numel() // x.shape[1]))
    mean = SumOverProcesses.apply(x.sum(axes)) / number
    variance = SumOverProcesses.apply((x - _by_channel(mean, x)).square().sum(axes)) / number
    return mean, variance, number


class SynchronisedBatchNorm(_BatchNorm):
    """`nn.BatchNorm2d` or `3d` of the batch of all processes; its parameters and buffers have the same names.

    It needs two values a channel, as ever. In evaluation, and without other processes, it is the layer it stands for.
    """

    @classmethod
    def like(cls, norm: _BatchNorm) -> "SynchronisedBatchNorm":
        """With the very parameters and buffers of `norm`, and its momentum, which must be a number."""
        new = cls(norm.num_features, norm.eps, norm.momentum)
        for name in KEPT:
            setattr(new, name, getattr(norm, name))
        return new

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, *S) to the same shape and type; B and S may differ between processes."""
        if not self.training or not distributed.is_initialized():
            return super().forward(x)
        values = at_least_single(x)
        mean, variance, number = whole_batch_statistics(values)
        self._remember(mean.detach(), (variance * number / (number - 1)).detach())
        scale = self.weight * (variance + self.eps).rsqrt()
        return ((values - _by_channel(mean, x)) * _by_channel(scale, x) + _by_channel(self.bias, x)).to(x.dtype)

    def _check_input_dim(self, x: Tensor) -> None:
        """Any number of axes: one class stands for 2D and 3D."""

    @torch.no_grad()
    def _remember(self, mean: Tensor, unbiased_variance: Tensor) -> None:
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        assert self.momentum is not None
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(unbiased_variance, self.momentum)
        self.num_batches_tracked.add_(1)


class SynchronisedNorms(LayerSync):
    """Has Lightning put a `SynchronisedBatchNorm` in the place of each batch normalisation."""

    def apply(self, model: nn.Module) -> nn.Module:
        for name, child in model.named_children():
            if isinstance(child, _BatchNorm):
                model.add_module(name, SynchronisedBatchNorm.like(child))
            else:
                self.apply(child)
        return model

    def revert(self, model: nn.Module) -> nn.Module:
        """Nothing to do: once the processes have parted these layers are plain ones."""
        return model


def _by_channel(values: Tensor, x: Tensor) -> Tensor:
    """(C,) to (1, C, 1, ...), with as many axes as `x`."""
    return values.view(1, -1, *[1] * (x.dim() - 2))
