"""A small folder of results, numbers by hand: three trainers, five phantom patients of 8 x 24 x 24 voxels, one fold.

Union RMAE in per cent of the cases P0 to P4, and the difference of BEST to BASELINE:

    BASELINE     40  30  20  15  10    mean 23
    MIDDLE       38  30  20  15  12    mean 23
    BEST         20  20  15  13  20    mean 17.6
    difference  -20 -10  -5  -2 +10    best P0, median P2, worst P4
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import phantoms

from nnunet_doselo.dataset.images import write_array

SHAPE = (8, 24, 24)
BASELINE, MIDDLE, BEST = "nnUNetTrainer", "nnUNetTrainerBCE", "nnUNetTrainerDOSELO"
TITLES = {BASELINE: "Dice + CE", MIDDLE: "BCE", BEST: "DOSELO"}
CASES = [f"P{number}" for number in range(5)]
UNION_RMAE = {
    BASELINE: [0.40, 0.30, 0.20, 0.15, 0.10],
    MIDDLE: [0.38, 0.30, 0.20, 0.15, 0.12],
    BEST: [0.20, 0.20, 0.15, 0.13, 0.20],
}
DICE = {name: [0.9, 0.8, 0.7, 0.6, 0.5] for name in UNION_RMAE}
DATASET = {
    "name": "Dataset999_Small",
    "split": "Ts",
    "prescription_gy": 60.0,
    "target_gy": {"GTV": 60.0},
    "oars": dict(phantoms.OARS),
    "target_labels": {"GTV": [1]},
}
SAYS = "the built-in planner (fluence optimisation, not a deliverable plan); /plans"
METRICS = {
    "union_rmae": {
        "key": "union_rmae",
        "title": "union RMAE",
        "unit": "%",
        "better": "lower",
        "meaning": "what the mistake costs",
        "digits": 1,
        "scale": 100.0,
    },
    "target_dice": {
        "key": "target_dice",
        "title": "Dice",
        "unit": "",
        "better": "higher",
        "meaning": "overlap",
        "digits": 3,
        "scale": 1.0,
    },
}


def write_results(folder: Path, cases: Sequence[str] = CASES, names: Mapping[str, str] | None = None) -> Path:
    """The whole folder; more than five cases share the files of five patients. `names`: others of the trainers."""
    called = names or {name: name for name in UNION_RMAE}
    for number, patient in enumerate(CASES):
        _write_references(folder / "data", patient, number)
    for name in UNION_RMAE:
        _write_evaluation(folder, name, called[name], cases)
    _write_json(folder / "comparison.json", comparison(cases, called))
    return folder


def comparison(cases: Sequence[str], called: Mapping[str, str]) -> dict[str, Any]:
    values = {"union_rmae": UNION_RMAE, "target_dice": DICE}
    by_name = {
        key: {called[name]: {case: of[name][n % 5] for n, case in enumerate(cases)} for name in UNION_RMAE}
        for key, of in values.items()
    }
    by_name["target_dice"][called[BEST]][cases[-1]] = None
    return {
        "format": "doselo-comparison/2",
        "dataset": DATASET,
        "dose": {"kind": "open planner", "says": SAYS},
        "baseline": called[BASELINE],
        "contours": [
            {"name": called[name], "title": TITLES[name], "evaluations": {"fold 0": f"evaluations/{name}/fold_0"}}
            for name in UNION_RMAE
        ],
        "intervals_cover": "patients only: one training",
        "order": list(cases),
        "metrics": METRICS,
        "values": by_name,
        "summary": {
            "union_rmae": {
                called[BASELINE]: summary(0.23, 0.14, 0.33),
                called[MIDDLE]: summary(0.23, 0.15, 0.32),
                called[BEST]: summary(0.176, 0.151, 0.196),
            },
            "target_dice": {called[name]: summary(0.7, 0.58, 0.82) for name in UNION_RMAE},
        },
        "tests": {
            "union_rmae": {
                called[MIDDLE]: paired(0.0, -0.012, 0.012, p=1.0, better=1, worse=1),
                called[BEST]: paired(-0.054, -0.128, 0.034, p=0.04, better=4, worse=1),
            },
            "target_dice": {called[name]: paired(0.0, 0.0, 0.0, p=None, better=0, worse=0) for name in (MIDDLE, BEST)},
        },
        "structures": {"metrics": {}, "values": {}, "summary": {}, "tests": {}},
        "noise_floor": {
            "union_rmae": {"mean": 0.004, "max": 0.006, "cases": 5},
            "target_dice": {"mean": 1.0, "max": 1.0, "cases": 5},
        },
        "remarks": ["with 5 cases no test can reach p = 0.05, whatever the differences"],
        "provenance": {"gamma": "3 %/2 mm", "versions": {"python": "3.11"}, "contours": {}},
    }


def summary(mean: float, low: float, high: float) -> dict[str, Any]:
    interval = {"ci_low": low, "ci_high": high, "ci_method": "BCa bootstrap", "ci_over": "patients"}
    return {"mean": mean, "median": mean, "std": 0.1, "run_std": None, "cases": 5, **interval}


def paired(mean: float, low: float, high: float, *, p: float | None, better: int, worse: int) -> dict[str, Any]:
    return {
        "cases": 5,
        "dropped": [],
        "dropped_pairs": 0,
        "better": better,
        "worse": worse,
        "equal": 5 - better - worse,
        "mean_difference": mean,
        "median_difference": mean,
        "ci_low": low,
        "ci_high": high,
        "ci_confidence": 0.95,
        "ci_method": "BCa bootstrap",
        "ci_over": "patients",
        "rank_biserial": 0.6 if p else None,
        "p_value": p and p / 2,
        "p_holm": p,
        "p_method": "exact",
    }


def drawn(name: str, number: int) -> np.ndarray:
    """What a trainer draws: BASELINE misses the slices from 4 on, BEST adds an island of 2 x 2 voxels in P4."""
    mask = phantoms.target(number, SHAPE)
    if name == BASELINE:
        mask[4:] = False
    if name == BEST and number == 4:
        mask[2, 5:7, 12:14] = True
    return mask


def _write_references(folder: Path, patient: str, number: int) -> None:
    grid, mask = phantoms.grid_for(SHAPE), phantoms.target(number, SHAPE)
    arrays = {
        "ct": phantoms.head_ct(SHAPE),
        "oars": phantoms.organ_labels(SHAPE),
        "image": phantoms.mr_image(number, SHAPE),
        "labels": mask,
        "dose": phantoms.dose_for(mask),
    }
    for kind, array in arrays.items():
        write_array(folder / kind / f"{patient}.nii.gz", array, grid)


def _write_evaluation(folder: Path, name: str, called: str, cases: Sequence[str]) -> None:
    place, grid = folder / "evaluations" / name / "fold_0", phantoms.grid_for(SHAPE)
    for number, patient in enumerate(CASES):
        mask = drawn(name, number)
        write_array(place / "predictions" / f"{patient}.nii.gz", mask, grid)
        write_array(place / "plans" / f"{patient}.nii.gz", phantoms.dose_for(mask), grid)
    content = {
        "format": "doselo-evaluation/2",
        "name": called,
        "provenance": {"dose": {"kind": "open planner", "says": SAYS}, "cases": "5 of 5 in the split"},
        "dataset": DATASET,
        "cases": [_case(folder, place, name, case, n % 5) for n, case in enumerate(cases)],
    }
    _write_json(place / "evaluation.json", content)
    # the trainer with a dose term has a panel more
    curves: dict[str, Any] = {"epochs": 2, "train_loss": [1.0, 0.5], "val_loss": [1.1, 0.7], "ema_dice": [0.1, 0.6]}
    guided = {"train_dose_term": [0.02, 0.01], "val_dose_term": [None, 0.02]} if name == BEST else {}
    _write_json(place / "curves.json", curves | guided)


def _case(folder: Path, place: Path, name: str, case: str, number: int) -> dict[str, Any]:
    file = f"{CASES[number]}.nii.gz"
    data = {kind: str(folder / "data" / kind / file) for kind in ("ct", "oars", "image", "labels", "dose")}
    island = {"volume_cc": 0.108, "distance_mm": 21.0, "beyond_cc": 0.054, "mean_gy": 58.0, "max_gy": 60.0}
    return {
        "case": case,
        "scores": {"union_rmae": UNION_RMAE[name][number], "target_dice": DICE[name][number]},
        "structures": {
            "GTV": {"reference": {"d95_gy": 59.0, "dmean_gy": 60.0}, "evaluated": {"d95_gy": 41.0, "dmean_gy": 50.0}},
            "Eye_L": {"reference": {"d95_gy": 1.0, "dmean_gy": 2.0}, "evaluated": {"d95_gy": 3.0, "dmean_gy": 4.0}},
        },
        "goals": [goal("GTV", "D95 >= 57 Gy", 59.0, 41.0), goal("Eye_L", "D2 <= 45 Gy", 2.0, 4.0), NO_GOAL],
        "islands": [island] if name == BEST and number == 4 else [],
        "files": {
            "ct": data["ct"],
            "oars": data["oars"],
            "images": [data["image"]],
            "reference_labels": data["labels"],
            "reference_dose": data["dose"],
            "evaluated_labels": str(place / "predictions" / file),
            "evaluated_dose": str(place / "plans" / file),
        },
        "reference_sha256": {"labels": "1" * 64, "dose": "2" * 64},
    }


def goal(structure: str, text: str, reference: float, evaluated: float) -> dict[str, Any]:
    """Verdicts by the goal's own relation and limit."""
    _, relation, limit, unit = text.split()
    verdicts = [
        "met" if (value >= float(limit)) == (relation == ">=") else "not met" for value in (reference, evaluated)
    ]
    return {
        "structure": structure,
        "goal": text,
        "unit": unit,
        "reference_value": reference,
        "reference_verdict": verdicts[0],
        "evaluated_value": evaluated,
        "evaluated_verdict": verdicts[1],
        "note": "",
    }


NO_GOAL = {
    "structure": "Cochlea_L",
    "goal": "Dmean <= 45 Gy",
    "unit": "Gy",
    "reference_value": None,
    "reference_verdict": "not assessable",
    "evaluated_value": None,
    "evaluated_verdict": "not assessable",
    "note": "no such structure",
}
CARD = {
    "axes": "axial 2d",
    "spacing_mm": [3.0, 3.0],
    "validation": {"cases": 4, "mae_gy": 1.5},
    "sensitivity": {
        "edits": 12,
        "r": 0.91,
        "slope": 0.8,
        "voxel_r": 0.77,
        "kinds": {"shift": {"edits": 6, "r": None, "slope": None, "voxel_r": 0.5}},
        "island": None,
    },
}
MANIFEST = {
    "format": "doselo-benchmark/1",
    "command": "doselo benchmark 999 2d",
    "created": "2026-01-02T03:04:05+00:00",
    "hardware": ["two cores"],
    "hours": {"training": {BASELINE: 1.25}, "all": 2.5},
    "hashes": {"plans": "abc123"},
    "same": ["folds", "seeds"],
    "synthetic": True,
    "nnunets_length": {"epochs": 1000, "iterations": 250},
    "trainings": [{"trainer": BASELINE, "fold": 0, "epochs": 5, "iterations": 80}],
    "jobs": [
        {"name": "train", "kind": "training", "status": "done", "seconds": 60, "hardware": "two cores", "error": None},
        {"name": "plan P1", "kind": "plan", "status": "failed", "seconds": 1, "hardware": None, "error": "no <target>"},
    ],
}


def add_benchmark(folder: Path) -> None:
    """What `doselo benchmark` leaves beside the comparison."""
    _write_json(folder / "manifest.json", MANIFEST)
    _write_json(folder / "predictor_card.json", CARD)


def _write_json(file: Path, content: Any) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(content))
