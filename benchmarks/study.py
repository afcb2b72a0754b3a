"""Does dose guidance help? Trainers against each other on five folds, their contours planned anew, and lambda swept.

python benchmarks/study.py gbm work/gbm --predictor dose_predictor.ts --epochs 20 --iterations 100 \\
    --features 16,32,64,64,64 --batch-size 2 --device cpu
python benchmarks/study.py openkbp work/openkbp --dataset 504 --tested 15 --folds 0 --swept-folds "" --epochs 20 \\
    --iterations 100 --features 16,32,64,64,64 --batch-size 2 --device cpu

Without --epochs, --iterations and --features networks are trained at the size that nnU-Net plans. `gbm` makes 50
phantom patients: 35 to train on, 5 left out and 10 tested in each fold, as many as in the paper. Its predictor is one
that `doselo train-predictor` made of another cohort, planned by the fluence engine. Doses are planned anew by an
engine that did not train the predictor: PyDoseRT's for `gbm`; for `openkbp`, whose predictor learned clinical plans,
the built-in one, which is faster. A run that was stopped goes on where it was.
"""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from machine import command
from study_tables import by_run, headline

from nnunet_doselo.dataset.folder import environment_folder, find_dataset_name
from nnunet_doselo.demo.small_plans import (
    CONFIGURATION,
    add_small_configuration,
    ground_truth_cases,
    write_folds,
)
from nnunet_doselo.evaluation.comparison_file import read_comparison

FOLDS = 5
PATIENTS = 50
LEFT_OUT = 5
TRAINERS = (
    "nnUNetTrainer,nnUNetTrainerBCE_domain,nnUNetTrainerDOSELO,nnUNetTrainerDOSELO_DiceCE,nnUNetTrainerDOSELO_soft"
)
SWEPT = ("nnUNetTrainerBCE_domain", "nnUNetTrainerDOSELO", "nnUNetTrainerDOSELO_soft")
LAMBDAS = ("0.1", "0.3", "1", "3", "10")

app = typer.Typer(pretty_exceptions_enable=False)


@dataclass(frozen=True)
class Size:
    """How long and how wide networks are trained; None is nnU-Net's own."""

    epochs: int | None
    iterations: int | None
    features: tuple[int, ...]
    batch_size: int

    @classmethod
    def read(cls, epochs: int | None, iterations: int | None, features: str, batch_size: int) -> "Size":
        """As the command line has it: features separated by commas, "" for nnU-Net's."""
        return cls(epochs, iterations, tuple(int(number) for number in features.split(",") if number), batch_size)

    @property
    def configuration(self) -> str:
        return CONFIGURATION if self.features else "2d"

    def trainer(self, base: str) -> str:
        epochs = f"_{self.epochs}epochs" if self.epochs else ""
        return base + epochs + (f"_{self.iterations}iterations" if self.iterations else "")


def run(*arguments: str, **variables: str) -> None:
    print("$", *arguments, file=sys.stderr)
    subprocess.run(arguments, check=True, stdout=sys.stderr, env={**os.environ, **variables})


def folds_of(cases: list[str], tested: int, left_out: int) -> list[dict[str, list[str]]]:
    """Every fold tests other cases, and leaves some of the rest out of training."""
    folds = []
    for fold in range(FOLDS):
        test = cases[fold::FOLDS][:tested]
        rest = [case for case in cases if case not in test]
        unused = rest[fold :: len(rest) // left_out][:left_out] if left_out else []
        folds.append({"train": [case for case in rest if case not in unused], "val": test})
    return folds


def prepare(dataset: str, size: Size, tested: int, left_out: int) -> Path:
    """Plan and preprocess once, and write the folds; the dataset's folder below nnUNet_preprocessed."""
    preprocessed = environment_folder("nnUNet_preprocessed") / dataset
    if not (preprocessed / "nnUNetPlans.json").exists():
        run("nnUNetv2_plan_and_preprocess", "-d", dataset[7:10], "-c", "2d")
    if size.features:
        add_small_configuration(preprocessed / "nnUNetPlans.json", size.features, size.batch_size)
    write_folds(preprocessed, folds_of(ground_truth_cases(preprocessed), tested, left_out))
    return preprocessed


@dataclass(frozen=True)
class Study:
    """What both benchmarks of a study share."""

    work: Path
    dataset: str
    size: Size
    engine: str
    device: str

    def benchmark(self, part: str, folds: str, trainers: list[str], *more: str) -> str:
        """Tables of one `doselo benchmark`."""
        work, named = self.work / part, [self.size.trainer(name) for name in trainers]
        which = ("--folds", folds, "--split", "Tr", "--engine", self.engine, "--device", self.device, "-o", str(work))
        # on a CPU loading inside the training costs nothing, and gives every trainer the same batches
        same_batches = {"nnUNet_n_proc_DA": "0"} if self.device == "cpu" else {}
        data = (self.dataset[7:10], self.size.configuration)
        run("doselo", "benchmark", *data, "--trainers", *named, *more, *which, **same_batches)
        run("doselo", "report", str(work))
        comparison = read_comparison(work)
        return headline(comparison) + "\n" + by_run(comparison, work)

    def run(self, folds: str, seeds: str, trainers: str, swept_folds: str) -> None:
        """Both benchmarks, the second where folds are named for it, and their tables on standard output."""
        found = [self.benchmark("trainers", folds, trainers.split(","), "--seeds", seeds)]
        if swept_folds:
            found.append(self.benchmark("lambdas", swept_folds, list(SWEPT), "--lambdas", *LAMBDAS))
        print(command(), *found, sep="\n\n")


Trainers = Annotated[str, typer.Option(help="Separated by commas, the baseline first.")]
SweptFolds = Annotated[str, typer.Option(help='Of the sweep of lambda; "" for none.')]
Seeds = Annotated[str, typer.Option(help="Every trainer is trained from each, for example 0-2; lambdas from 0 alone.")]
Epochs = Annotated[int | None, typer.Option(help="Of every training (default: nnU-Net's 1000).")]
Iterations = Annotated[int | None, typer.Option(help="An epoch (default: nnU-Net's 250).")]
Features = Annotated[str, typer.Option(help="Of a smaller network, one number a stage (default: as planned).")]
BatchSize = Annotated[int, typer.Option(help="Of the smaller network.")]


@app.command()
def gbm(
    work: Path,
    predictor: Annotated[Path, typer.Option(help="dose_predictor.ts of another phantom cohort.")],
    number: int = 512,
    seed: int = 3,
    folds: str = "0-4",
    seeds: Seeds = "0",
    trainers: Trainers = TRAINERS,
    swept_folds: SweptFolds = "0-4",
    epochs: Epochs = None,
    iterations: Iterations = None,
    features: Features = "",
    batch_size: BatchSize = 2,
    device: str = "cuda",
) -> None:
    """Phantom patients after resection of a glioblastoma."""
    dataset = f"Dataset{number:03d}_GBM50"
    size = Size.read(epochs, iterations, features, batch_size)
    if not (environment_folder("nnUNet_raw") / dataset / "dataset.json").exists():
        run("doselo", "phantom", str(number), "--name", "GBM50", "--cases", str(PATIENTS), "--seed", str(seed))
    preprocessed = prepare(dataset, size, PATIENTS // FOLDS, LEFT_OUT)
    shutil.copy(predictor, preprocessed / "dose_predictor.ts")
    Study(work, dataset, size, "pydosert", device).run(folds, seeds, trainers, swept_folds)


@app.command()
def openkbp(
    work: Path,
    dataset: Annotated[str, typer.Option(help="Made by `doselo convert openkbp`, with a trained dose predictor.")],
    tested: Annotated[int, typer.Option(help="Patients that each fold tests.")] = 15,
    folds: str = "0-4",
    seeds: Seeds = "0",
    trainers: Trainers = TRAINERS,
    swept_folds: SweptFolds = "0-4",
    epochs: Epochs = None,
    iterations: Iterations = None,
    features: Features = "",
    batch_size: BatchSize = 2,
    device: str = "cuda",
) -> None:
    """Head and neck: targets from CT alone."""
    name = find_dataset_name(dataset, environment_folder("nnUNet_raw"))
    size = Size.read(epochs, iterations, features, batch_size)
    prepare(name, size, tested, 0)
    Study(work, name, size, "fluence", device).run(folds, seeds, trainers, swept_folds)


if __name__ == "__main__":
    app()
