"""Evaluations of a few cases, written by hand."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nnunet_doselo.evaluation.clinical_goals import ScorecardRow
from nnunet_doselo.evaluation.evaluation_file import CaseResult, EvaluatedDataset, Evaluation, write_evaluation
from nnunet_doselo.evaluation.islands import Island
from nnunet_doselo.evaluation.structure_metrics import StructureFigures

NAN = float("nan")
DATASET = EvaluatedDataset("Dataset501_Head", "Ts", 60.0, {"GTV": 60.0}, {"Eye_L": 3}, {"GTV": [1]})


def result(case: str, union_rmae: float, dice: float = 0.5, **more: float) -> CaseResult:
    """A case with one target and an eye that is missing; the target's D95 falls by 10 Gy for each 0.1 of union RMAE."""
    structures = {
        "GTV": StructureFigures(
            {"d95_gy": 57.0, "dmean_gy": 60.0}, {"d95_gy": 57 - 100 * union_rmae, "dmean_gy": 60.0}
        ),
        "Eye_L": StructureFigures({"dmean_gy": NAN}, {"dmean_gy": NAN}),
    }
    goals = (
        ScorecardRow(
            "GTV", "D95 >= 57 Gy", "Gy", 57.0, "met", 57 - 100 * union_rmae, "met" if union_rmae == 0 else "not met"
        ),
        ScorecardRow("Eye_L", "Dmean <= 45 Gy", "Gy", NAN, "not assessable", NAN, "not assessable", "empty"),
    )
    return CaseResult(
        case,
        {"union_rmae": union_rmae, "target_dice": dice, **more},
        structures,
        goals,
        (Island(0.3, 25.0, 0.2, 40.0, 61.0),) if union_rmae else (),
        {"ct": f"/data/{case}.nii.gz", "images": []},
        {"labels": f"labels of {case}", "dose": f"dose of {case}"},
    )


def evaluation(name: str, *cases: CaseResult, **provenance: Any) -> Evaluation:
    said: dict[str, Any] = {
        "cases": f"{len(cases)} of {len(cases)} in the split",
        "predictions": f"/predictions/{name}",
        "dose": {"kind": "files", "says": "from files"},
        "evaluated_dose": f"files of {name}",
        "rmae_threshold_of_rx": 0.1,
        "gamma": "3 %/2 mm",
        "goals": {"from": "a file", "goals": []},
        "surface_distances": "a library 1.0",
    }
    return Evaluation(name, said | provenance, DATASET, cases)


def written(folder: Path, name: str, union_rmae: Mapping[str, float], **provenance: Any) -> Path:
    """The folder of an evaluation with these union RMAEs by case."""
    write_evaluation(
        folder / name, evaluation(name, *(result(case, value) for case, value in union_rmae.items()), **provenance)
    )
    return folder / name
