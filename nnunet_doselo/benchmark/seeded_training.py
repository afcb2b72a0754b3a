"""nnUNetv2_train with a seed, which nnU-Net itself does not set, and a record of what the training took.

    python -m nnunet_doselo.benchmark.seeded_training SEED DATASET CONFIGURATION FOLD -tr TRAINER [-device cpu] [--c]

The same seed gives every trainer the same first weights; also the same batches where nnU-Net loads its data inside the
training's process (nnUNet_n_proc_DA=0): its loader processes seed themselves. A continued training (--c) is seeded
anew. No two trainings write into one folder: the second waits a little, in case the first is about to end.
"""

import os
import platform
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import torch
from filelock import FileLock, Timeout

from nnunet_doselo.benchmark.training_facts import TrainingRun, append_run
from nnunet_doselo.common.errors import DoseloError
from nnunet_doselo.trainer.seeds import set_seeds

LOCK_FILE = ".doselo_training.lock"
LOCK_S = 60.0


def hardware(device: str) -> str:
    """In words: the GPU's name, or the processor's kind with its cores and torch's threads."""
    if device == "cuda" and torch.cuda.is_available():
        return torch.cuda.get_device_name()
    return f"{platform.machine()}, {os.cpu_count()} cores, {torch.get_num_threads()} threads"


def train_with_seed(seed: int, arguments: Sequence[str]) -> None:
    """nnU-Net's own entry point with these arguments; the record is written whether it ends well or not.

    Raises
    ------
    DoseloError: another training writes into the same folder.
    """
    from nnunetv2.run.run_training import run_training_entry

    folder = _fold_folder(arguments)
    with _alone_in(folder):
        started = time.time()
        sys.argv = ["nnUNetv2_train", *arguments]
        set_seeds(seed)
        finished = False
        try:
            run_training_entry()
            finished = True
        finally:
            if _begun(folder):
                append_run(folder, _run(seed, arguments, started, finished=finished))


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """The operating system lets go of the lock when a process dies, whatever killed it."""
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / LOCK_FILE)
    try:
        lock.acquire(timeout=LOCK_S)
    except Timeout as error:
        raise DoseloError(f"{folder}: another training writes into this folder; wait for its end, or end it") from error
    try:
        yield
    finally:
        lock.release()
        if not _begun(folder):  # refused before it began: as if it had never been asked for
            (folder / LOCK_FILE).unlink(missing_ok=True)
            with suppress(OSError):
                folder.rmdir()
                folder.parent.rmdir()


def _begun(folder: Path) -> bool:
    return any(file.name != LOCK_FILE for file in folder.iterdir())


def _run(seed: int, arguments: Sequence[str], started: float, *, finished: bool) -> TrainingRun:
    return TrainingRun(
        seed,
        "--c" in arguments,
        started,
        time.time() - started,
        hardware(_option(arguments, "-device", "cuda")),
        os.environ.get("nnUNet_n_proc_DA", "nnU-Net's default"),  # noqa: SIM112, nnU-Net's name
        finished,
    )


def _fold_folder(arguments: Sequence[str]) -> Path:
    from nnunetv2.utilities.file_path_utilities import get_output_folder

    dataset, configuration, fold = arguments[:3]
    trainer, plans = _option(arguments, "-tr", "nnUNetTrainer"), _option(arguments, "-p", "nnUNetPlans")
    return Path(get_output_folder(dataset, trainer, plans, configuration, fold=fold))


def _option(arguments: Sequence[str], name: str, default: str) -> str:
    return arguments[arguments.index(name) + 1] if name in arguments else default


if __name__ == "__main__":
    train_with_seed(int(sys.argv[1]), sys.argv[2:])
