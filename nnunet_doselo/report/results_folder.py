"""What a folder of results holds: the comparison, its evaluations, and what a benchmark leaves beside them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from nnunet_doselo.common.errors import DoseloError
from nnunet_doselo.common.files import read_json
from nnunet_doselo.evaluation.comparison import Comparison
from nnunet_doselo.evaluation.comparison_file import read_comparison
from nnunet_doselo.evaluation.evaluation_file import CaseResult, Evaluation, read_evaluation
from nnunet_doselo.evaluation.fold_seed import FoldSeed
from nnunet_doselo.evaluation.result_files import (
    COMPARED_BY,
    CURVES_FILE,
    MANIFEST_FILE,
    MANIFEST_FORMAT,
    PREDICTOR_CARD_FILE,
)


@dataclass(frozen=True)
class ContourPlan:
    """One contour of a case and its dose: what one run's network made of it."""

    run: FoldSeed
    case: CaseResult


@dataclass(frozen=True)
class Results:
    """evaluations, curves: by trainer, by run, as far as they can be read. remarks: what could not be."""

    folder: Path
    comparison: Comparison
    evaluations: Mapping[str, Mapping[FoldSeed, Evaluation]]
    curves: Mapping[str, Mapping[FoldSeed, Mapping[str, Any]]]
    manifest: Mapping[str, Any] | None
    predictor_card: Mapping[str, Any] | None
    remarks: Sequence[str]

    @property
    def trainers(self) -> dict[str, str]:
        """Titles by name, the baseline first."""
        titles = {contours.name: contours.title for contours in self.comparison.contours}
        baseline = self.comparison.baseline
        return {baseline: titles[baseline]} | titles

    @property
    def plans(self) -> dict[str, list[ContourPlan]]:
        """By trainer, the cases in the comparison's order, of each its runs."""
        place = {case: number for number, case in enumerate(self.comparison.order)}
        return {
            name: sorted(
                (
                    ContourPlan(run, case)
                    for run, evaluation in self.evaluations.get(name, {}).items()
                    for case in evaluation.cases
                ),
                key=lambda plan: place.get(plan.case.case, len(place)),
            )
            for name in self.trainers
        }

    def shown_plans(self, case: str) -> dict[str, ContourPlan]:
        """One plan of the case by trainer, for pictures: of the baseline's first run, or else of the trainer's own."""
        several = {name: [plan for plan in plans if plan.case.case == case] for name, plans in self.plans.items()}
        several = {name: plans for name, plans in several.items() if plans}
        run = next((plans[0].run for plans in several.values()), FoldSeed())
        return {name: next((plan for plan in plans if plan.run == run), plans[0]) for name, plans in several.items()}


def read_results(folder: Path) -> Results:
    """Read a folder that `doselo benchmark` or `doselo evaluate` wrote.

    Raises
    ------
    DoseloError: comparison.json is missing or damaged. Of everything else, what cannot be read is a remark.
    """
    comparison = read_comparison(folder)
    evaluations: dict[str, dict[FoldSeed, Evaluation]] = {}
    curves: dict[str, dict[FoldSeed, Any]] = {}
    remarks: list[str] = []
    for contours in comparison.contours:
        for run, relative in contours.evaluations.items():
            if evaluation := _or_remark(remarks, read_evaluation, folder / relative):
                evaluations.setdefault(contours.name, {})[run] = evaluation
            if run_curves := _optional(remarks, folder / relative / CURVES_FILE):
                curves.setdefault(contours.name, {})[run] = run_curves
    manifest = _optional(remarks, folder / MANIFEST_FILE, MANIFEST_FORMAT)
    card = _optional(remarks, folder / PREDICTOR_CARD_FILE)
    return Results(folder, comparison, evaluations, curves, manifest, card, remarks)


def _or_remark(remarks: list[str], read: Callable[..., Any], *arguments: Any) -> Any:
    try:
        return read(*arguments)
    except DoseloError as error:
        remarks.append(f"left out of this report: {error}")
        return None


def _optional(remarks: list[str], file: Path, file_format: str | None = None) -> Any:
    """None if the file is not there; a remark if it cannot be read."""
    if not file.exists():
        return None
    return _or_remark(remarks, partial(read_json, file_format=file_format), file, COMPARED_BY)
