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

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from machine import command

from nnunet_doselo.dataset_folder import environment_folder, find_dataset_name
from nnunet_doselo.demo.small_plans import (
    CONFIGURATION,
    add_small_configuration,
    ground_truth_cases,
    write_folds,
)

FOLDS = 5
PATIENTS = 50
LEFT_OUT = 5
TRAINERS = "nnUNetTrainer,nnUNetTrainerBCE,nnUNetTrainerDOSELO,nnUNetTrainerDOSELO_DiceCE,nnUNetTrainerDOSELO_soft"
SWEPT = ("nnUNetTrainerBCE", "nnUNetTrainerDOSELO", "nnUNetTrainerDOSELO_soft")
LAMBDAS = ("0.1", "0.3", "1", "3", "10")
SHOWN = ("rmae", "dose_score_gy", "target_dice", "target_hd95_mm", "target_fp_beyond_20mm_cc")

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

    def benchmark(self, part: str, folds: str, trainers: list[str], *more: str) -> dict:
        """The comparison of one `doselo benchmark`."""
        work, named = self.work / part, [self.size.trainer(name) for name in trainers]
        which = ("--folds", folds, "--split", "Tr", "--engine", self.engine, "--device", self.device, "-o", str(work))
        # on a CPU loading inside the training costs nothing, and gives every trainer the same batches
        same_batches = {"nnUNet_n_proc_DA": "0"} if self.device == "cpu" else {}
        data = (self.dataset[7:10], self.size.configuration)
        run("doselo", "benchmark", *data, "--trainers", *named, *more, *which, **same_batches)
        run("doselo", "report", str(work))
        return json.loads((work / "comparison.json").read_text())

    def run(self, folds: str, trainers: str, swept_folds: str) -> None:
        """Both benchmarks, the second where folds are named for it, and their tables on standard output."""
        found = [self.benchmark("trainers", folds, trainers.split(","))]
        if swept_folds:
            found.append(self.benchmark("lambdas", swept_folds, list(SWEPT), "--lambdas", *LAMBDAS))
        print(command())
        for comparison in found:
            print(table(comparison))


def table(comparison: dict) -> str:
    """Markdown: mean with 95 % interval; of RMAE also the change to the baseline, its test and how many got worse."""
    metrics = comparison["metrics"]
    titles = [f"{metrics[key]['title']} {metrics[key]['unit']}".strip() for key in SHOWN]
    lines = [f"| trainer | {' | '.join(titles)} | RMAE against the first | p (Holm) | worse, better of |"]
    lines.append("|---" * (len(SHOWN) + 4) + "|")
    for contours in comparison["contours"]:
        name = contours["name"]
        cells = [_cell(comparison, key, name) for key in SHOWN]
        lines.append(f"| {name} | {' | '.join([*cells, *_against_baseline(comparison, name)])} |")
    return "\n".join(lines) + "\n"


def _cell(comparison: dict, key: str, name: str) -> str:
    found, metric = comparison["summary"][key][name], comparison["metrics"][key]
    if found["mean"] is None:
        return "–"
    digits, scale = metric["digits"], metric["scale"]
    shown = [
        f"{found[part] * scale:.{digits}f}" if found[part] is not None else "–"
        for part in ("mean", "ci_low", "ci_high")
    ]
    return f"{shown[0]} [{shown[1]}, {shown[2]}]"


def _against_baseline(comparison: dict, name: str) -> list[str]:
    if name == comparison["baseline"]:
        return ["", "", ""]
    test, means = comparison["tests"]["rmae"][name], comparison["summary"]["rmae"]
    change = means[name]["mean"] / means[comparison["baseline"]]["mean"] - 1
    return [f"{100 * change:+.1f} %", f"{test['p_holm']:.2g}", f"{test['worse']}, {test['better']} of {test['cases']}"]


Trainers = Annotated[str, typer.Option(help="Separated by commas, the baseline first.")]
SweptFolds = Annotated[str, typer.Option(help='Of the sweep of lambda; "" for none.')]
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
    Study(work, dataset, size, "pydosert", device).run(folds, trainers, swept_folds)


@app.command()
def openkbp(
    work: Path,
    dataset: Annotated[str, typer.Option(help="Made by `doselo convert openkbp`, with a trained dose predictor.")],
    tested: Annotated[int, typer.Option(help="Patients that each fold tests.")] = 15,
    folds: str = "0-4",
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
    Study(work, name, size, "fluence", device).run(folds, trainers, swept_folds)


if __name__ == "__main__":
    app()
