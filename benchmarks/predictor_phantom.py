"""A dose predictor on the synthetic glioblastoma cohort: dose on patients held out, and answer to edited contours.

doselo phantom 506 --cases 40 --seed 1 --variants 5 --test-cases 8 --name GBMVariants
doselo train-predictor 506 ...
python benchmarks/predictor_phantom.py 506 work/phantom --edits 2
"""

import json
import time
from pathlib import Path
from typing import Annotated

import typer
from machine import command, default_device, forget_peak, hardware, peak_gb

from nnunet_doselo.dataset.folder import environment_folder, raw_dataset
from nnunet_doselo.predictor.artifact import find_predictor, load_predictor
from nnunet_doselo.predictor_training.sensitivity.edited_plans import SensitivitySettings
from nnunet_doselo.predictor_training.sensitivity.gate import measure
from nnunet_doselo.scoring.predictor_accuracy import evaluate_predictor

SPLIT = "Ts"


def main(
    dataset: str,
    output: Path,
    predictor: Path | None = None,
    edits: Annotated[int, typer.Option(help="Of each of the five kinds for each patient.")] = 1,
    seed: Annotated[int, typer.Option(help="Of the edits; training has seen variants of other patients alone.")] = 0,
    processes: int = 2,
) -> None:
    """Print scores and sensitivity as JSON; tables, pictures and planned doses go to `output`."""
    extended, device = raw_dataset(dataset), default_device()
    file = predictor or find_predictor(environment_folder("nnUNet_preprocessed") / extended.folder.name)
    loaded = load_predictor(file, device)
    forget_peak(device)
    start = time.monotonic()
    scores = evaluate_predictor(loaded, extended, output / "evaluation", split=SPLIT, device=device, command=command())
    evaluated = time.monotonic()
    settings = SensitivitySettings(edits=edits, seed=seed, split=SPLIT)
    cases = extended.cases("dose", SPLIT)
    figures = measure(loaded, extended, cases, output / "sensitivity", settings, processes=processes, device=device)
    result = {
        "command": command(),
        "hardware": hardware(device),
        "axes": loaded.card.axes,
        "predictor_sha256": loaded.sha256,
        **scores.overall(),
        "sensitivity": figures,
        "seconds": {"evaluation": evaluated - start, "edits, planned and predicted": time.monotonic() - evaluated},
        "peak_gb": peak_gb(device),
    }
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    typer.run(main)
