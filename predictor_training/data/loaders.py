"""Batches for Lightning: random patches to train on, whole cases to validate on."""

import os
from collections.abc import Sequence
from math import prod

import blosc2
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from nnunet_doselo.predictor.slabs import FEWEST_SLICES

from ..training.plan import TrainingPlan
from ..training.processes import Rank
from .cache import CachedCase
from .numbered import EpochNumbers
from .samples import RandomPatches, Sample, TargetCodes, whole_slices, whole_volume

VALIDATION_EVERY = 4
"""During training every n-th slice is validated, or whole volumes; the exported predictor is validated on all."""
MULTIPLE = 16
"""Patches are multiples of the network's stride, so that nothing is padded on the way down."""
NOTHING: list[Sample] = [{}]


def training_loader(
    plan: TrainingPlan, cases: list[CachedCase], workers: int, epoch: int = 0, rank: Rank | None = None
) -> DataLoader[Sample]:
    """This process' part of each batch, with so many workers at most.

    epoch: the first that will be trained, more than 0 for a run that is resumed.
    """
    settings, rank = plan.settings, rank or Rank()
    shapes = [case.context().shape[1:] for case in cases]
    patch = slice_patch(shapes) if settings.dim == 2 else volume_patch(shapes, settings.patch_voxels)
    length = settings.iterations_per_epoch * settings.batch_size
    workers = min(workers, max(1, (os.cpu_count() or 1) - 1))
    return DataLoader(
        RandomPatches(
            cases,
            plan.codes,
            patch,
            length,
            plan.domain,
            soft_masks=settings.soft_masks,
            seed=settings.seed,
        ),
        settings.batch_size // rank.processes,
        sampler=EpochNumbers(length, settings.batch_size, epoch, rank),
        num_workers=workers,
        worker_init_fn=_one_thread,
        persistent_workers=workers > 0,
        pin_memory=torch.cuda.is_available(),
        drop_last=True,
    )


def validation_loader(plan: TrainingPlan, cases: list[CachedCase], rank: Rank | None = None) -> DataLoader[Sample]:
    """A case a batch: every fourth of its slices, (slices, 1, Y, X), or the volume, (1, 1, Z, Y, X).

    Processes take turns with the cases. One that gets none gets one batch with nothing in it: without any, Lightning
    would leave out the hooks in which all processes meet.
    """
    rank = rank or Rank()
    cases = cases[rank.number :: rank.processes]
    dataset = _WholeCases(cases, plan.codes, plan.settings.dim) if cases else NOTHING
    return DataLoader(dataset, batch_size=None)  # type: ignore[arg-type]


def _one_thread(worker: int) -> None:
    """Of each worker: what it reads is one slice, and too small to share out."""
    blosc2.set_nthreads(1)


class _WholeCases(Dataset[Sample]):
    def __init__(self, cases: list[CachedCase], codes: TargetCodes, dim: int) -> None:
        self.cases, self.codes, self.dim = cases, codes, dim

    def __len__(self) -> int:
        return len(self.cases)

    def __getitem__(self, index: int) -> Sample:
        if self.dim == 3:
            return whole_volume(self.cases[index], self.codes)
        return whole_slices(self.cases[index], self.codes, every=VALIDATION_EVERY)


def slice_patch(shapes: Sequence[Sequence[int]]) -> tuple[int, ...]:
    """(y, x) in voxels that holds the largest slice of cases (Z, Y, X), rounded up."""
    return _rounded_up(np.array(shapes)[:, 1:].max(axis=0))


def volume_patch(shapes: Sequence[Sequence[int]], voxels: int) -> tuple[int, ...]:
    """(z, y, x) in voxels that holds the median case, rounded up, or what of it the budget of voxels allows.

    Slices are kept whole as long as 32 of them fit, because coplanar beams run within them; from there on the longest
    axis is shortened. No axis is shorter than 16 voxels, whatever the budget.
    """
    patch = list(_rounded_up(np.median(np.array(shapes), axis=0)))
    while prod(patch) > voxels and max(patch) > MULTIPLE:
        longest = max((2, 1, 0), key=lambda axis: patch[axis])
        patch[0 if patch[0] > FEWEST_SLICES else longest] -= MULTIPLE
    return tuple(patch)


def _rounded_up(size: np.ndarray) -> tuple[int, ...]:
    return tuple(int(-(-n // MULTIPLE) * MULTIPLE) for n in size)
