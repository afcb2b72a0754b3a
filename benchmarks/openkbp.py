"""The whole path on OpenKBP: 169 training patients, three losses, 33 validation patients nobody has trained on.

    python benchmarks/openkbp.py ../shared/data/openkbp work/openkbp

Runs the commands that a user types, one after another, each shown before it starts. A stage that has finished is
skipped when the script is run again. Prints one JSON object and writes it to results.json in the working folder.
"""

import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import openkbp_compact
import torch
import typer
from openkbp_native import on_native_grid
from rich.progress import track

from nnunet_doselo.dataset.folder import ExtendedDataset
from nnunet_doselo.dataset.patient import load_patient
from nnunet_doselo.evaluation.dose_metrics import dose_score
from nnunet_doselo.evaluation.patient_pictures import picture_of
from nnunet_doselo.predictor.artifact import FILE_NAME, load_predictor
from nnunet_doselo.predictor.patient_dose import predict_patient

DATASET_ID, NAME = 504, "Dataset504_OpenKBP4mm"
SPACING_MM = 4
PREDICTOR = ("--width", "0.5", "--epochs", "12", "--precision", "bf16-mixed")
BATCH, WIDTHS = 12, (16, 32, 64, 128, 128)
HELD_OUT = 9
TRAINERS = {
    "BCE": "nnUNetTrainerBCE_domain_5epochs_100iterations",
    "BCE + dose (DOSELO)": "nnUNetTrainerDOSELO_5epochs_100iterations",
    "Dice + CE + dose": "nnUNetTrainerDOSELO_DiceCE_5epochs_100iterations",
}


class Stages:
    """Runs commands once each and remembers how long they took."""

    def __init__(self, work: Path) -> None:
        self.work = work
        self.file = work / "stages.json"
        self.seconds: dict[str, float] = json.loads(self.file.read_text()) if self.file.exists() else {}
        folders = {f"nnUNet_{f}": str(work / "nnunet" / f) for f in ("raw", "preprocessed", "results")}
        for folder in folders.values():
            Path(folder).mkdir(parents=True, exist_ok=True)
        ext = Path(__file__).parents[1] / "nnunet_doselo" / "nnunet_ext"
        cores = str(os.cpu_count())
        more = {"nnUNet_extTrainer": str(ext), "nnUNet_def_n_proc": cores, "nnUNet_n_proc_DA": cores}
        self.environment = {**os.environ, **folders, **more}

    def path(self, kind: str) -> Path:
        return self.work / "nnunet" / kind / NAME

    def run(self, stage: str, *command: str) -> None:
        if stage in self.seconds:
            return
        print(f"\n[{stage}] {' '.join(command)}", flush=True)
        start = time.monotonic()
        program = str(Path(sys.executable).parent / command[0])
        subprocess.run([program, *command[1:]], env=self.environment, check=True)
        self.done(stage, time.monotonic() - start)

    def done(self, stage: str, seconds: float) -> None:
        self.seconds[stage] = round(seconds, 1)
        self.file.write_text(json.dumps(self.seconds, indent=2))


def prepare(stages: Stages, compact: Path) -> None:
    """Unpack, convert, verify, plan; a small configuration and a split with few validation cases for two cores."""
    csv = stages.work / "csv"
    if "unpack" not in stages.seconds:
        openkbp_compact.main(compact, csv)
        stages.done("unpack", 0)
    spacing = ("--spacing", str(SPACING_MM), "--name", NAME.partition("_")[2])
    stages.run("convert", "doselo", "convert", "openkbp", str(csv), str(DATASET_ID), *spacing)
    stages.run("verify", "doselo", "verify", str(DATASET_ID))
    stages.run("plan", "nnUNetv2_plan_and_preprocess", "-d", str(DATASET_ID), "-c", "2d", "-npfp", "2", "-np", "2")
    file = stages.path("preprocessed") / "nnUNetPlans.json"
    plans = json.loads(file.read_text())
    architecture = plans["configurations"]["2d"]["architecture"]
    widths = {**architecture["arch_kwargs"], "features_per_stage": list(WIDTHS)}
    small = {"inherits_from": "2d", "batch_size": BATCH, "architecture": {**architecture, "arch_kwargs": widths}}
    plans["configurations"]["2d_small"] = small
    file.write_text(json.dumps(plans, indent=4))
    cases = ExtendedDataset(stages.path("raw")).cases()
    split = [{"train": cases[:-HELD_OUT], "val": cases[-HELD_OUT:]}]
    (stages.path("preprocessed") / "splits_final.json").write_text(json.dumps(split))


def train_and_predict(stages: Stages) -> None:
    dataset, images = str(DATASET_ID), str(stages.path("raw") / "imagesTs")
    stages.run("predictor", "doselo", "train-predictor", dataset, *PREDICTOR)
    for name, trainer in TRAINERS.items():
        what = ("2d_small", "0", "-tr", trainer, "-device", "cpu")
        stages.run(f"train {name}", "nnUNetv2_train", dataset, *what)
        output = stages.work / "predictions" / trainer
        where = ("-i", images, "-o", str(output), "-d", dataset, "-c", "2d_small", "-f", "0", "-tr", trainer)
        stages.run(f"predict {name}", "nnUNetv2_predict", *where, "-device", "cpu", "--disable_tta")
        stages.run(f"evaluate {name}", "doselo", "evaluate", str(output), dataset, "-o", str(stages.work / "scores"))


def score_predictor(stages: Stages, compact: Path) -> dict[str, float]:
    """OpenKBP's dose score on its own voxels: predicted dose taken back to them, 0 outside the possible dose.

    Beside it what resampling alone costs (the planned dose, there and back), and a picture of the median patient.
    """
    dataset = ExtendedDataset(stages.path("raw"))
    predictor = load_predictor(stages.path("preprocessed") / FILE_NAME)
    reader = openkbp_compact.load_reader(compact)
    scores, floors = {}, []
    for file in track(sorted((compact / "validation").glob("*.npz")), "Scoring the predictor"):
        case = f"OpenKBP_{int(file.stem[3:]):03d}"
        patient, original = load_patient(dataset, case, "Ts"), reader.load(file)
        possible = original.possible_dose
        doses = (predict_patient(predictor, dataset, patient), patient.dose_gy)
        predicted, planned = (on_native_grid(dose, patient.grid, original.voxel_mm) * possible for dose in doses)
        scores[case] = dose_score(original.dose_gy, predicted, possible)
        floors.append(dose_score(original.dose_gy, planned, possible))
    median = sorted(scores, key=lambda case: scores[case])[len(scores) // 2]
    patient = load_patient(dataset, median, "Ts")
    picture_of(
        stages.work / "predicted_dose.png",
        patient,
        patient.dose_gy,
        predict_patient(predictor, dataset, patient),
        dataset,
    )
    values = list(scores.values())
    return {
        "patients": len(values),
        "dose_score_gy": float(np.mean(values)),
        "worst_gy": max(values),
        "resampling_alone_gy": float(np.mean(floors)),
    }


def main(compact: Path, work: Path) -> None:
    """Run every stage that has not run yet, then print what was measured."""
    work.mkdir(parents=True, exist_ok=True)
    stages = Stages(work)
    prepare(stages, compact)
    train_and_predict(stages)
    summaries = {
        name: json.loads((work / "scores" / trainer / "summary.json").read_text())["metrics"]
        for name, trainer in TRAINERS.items()
    }
    result = {
        "command": f"python benchmarks/openkbp.py {compact} {work}",
        "hardware": f"{platform.machine()}, {os.cpu_count()} cores, CUDA {torch.cuda.is_available()}",
        "seconds": stages.seconds,
        "predictor": score_predictor(stages, compact),
        "trainers": {name: {m: v["mean"] for m, v in metrics.items()} for name, metrics in summaries.items()},
    }
    (work / "results.json").write_text(json.dumps(result, indent=2))
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    typer.run(main)
