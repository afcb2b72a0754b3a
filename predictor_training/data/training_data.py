"""The cached cases as Lightning wants them: written by one process, read by all."""

from pathlib import Path

import lightning as L
from torch.utils.data import DataLoader

from ..training.plan import TrainingPlan
from ..training.processes import Rank
from .cache import CachedCase, build_cache
from .loaders import training_loader, validation_loader
from .samples import Sample

CACHE_FOLDERS = {2: "dose_predictor_slices", 3: "dose_predictor_volumes"}


class TrainingData(L.LightningDataModule):
    """Random patches of a plan's training cases, and its validation cases, for whichever process asks.

    The first process writes the cache below `preprocessed`, which all nodes must see; the others wait for it.
    processes: workers of one node, which its devices share. epoch: the first that will be trained.
    """

    def __init__(self, plan: TrainingPlan, preprocessed: Path, *, processes: int, epoch: int = 0) -> None:
        super().__init__()
        self.prepare_data_per_node = False
        self.plan, self.processes, self.epoch = plan, processes, epoch
        self.folder = preprocessed / CACHE_FOLDERS[plan.settings.dim]

    def prepare_data(self) -> None:
        cases = [*self.plan.training, *self.plan.validation]
        build_cache(self.plan.dataset, cases, self.plan.spacing_mm, self.folder, processes=self.processes)

    def train_dataloader(self) -> DataLoader[Sample]:
        workers = -(-self.processes // self._trainer().num_devices)
        return training_loader(self.plan, self._cached(self.plan.training), workers, self.epoch, self._rank())

    def val_dataloader(self) -> DataLoader[Sample]:
        return validation_loader(self.plan, self._cached(self.plan.validation), self._rank())

    def _cached(self, names: list[str]) -> list[CachedCase]:
        return [CachedCase(name, self.folder) for name in names]

    def _trainer(self) -> L.Trainer:
        assert self.trainer is not None
        return self.trainer

    def _rank(self) -> Rank:
        return Rank(self._trainer().global_rank, self._trainer().world_size)
