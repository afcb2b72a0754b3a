"""`doselo evaluate`."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from nnunet_doselo.common.errors import DoseloError
from nnunet_doselo.common.parallel import default_processes

from .shared import Dataset, Device, PredictorFile, Processes, clear_errors, console, load_predictor_of

PREDICTOR = "predictor"
PLANNERS = {"planner": "fluence", "pydosert": "pydosert"}


@clear_errors
def evaluate(
    predictions: Annotated[Path, typer.Argument(help="Folder of predicted label maps.", show_default=False)],
    dataset: Dataset,
    versus: Annotated[
        list[Path] | None, typer.Option(help="More folders of label maps of the same cases, to be compared.")
    ] = None,
    dose_from: Annotated[
        list[str] | None,
        typer.Option(
            help="predictor (default); planner or pydosert, which plan every contour; or a folder of doses from "
            "`doselo plan` or `doselo import-dose` for each folder of label maps, in their order.",
            metavar="predictor|planner|pydosert|FOLDER",
        ),
    ] = None,
    reference_doses: Annotated[
        Path | None,
        typer.Option(help="Folder of the reference contours' doses (default: the dataset's; a planner plans them)."),
    ] = None,
    goals: Annotated[
        str | None,
        typer.Option(help="Clinical goals: a YAML file, brain, head_and_neck or none (default: the one that fits)."),
    ] = None,
    gamma: Annotated[str, typer.Option(help="Gamma criterion, of the prescription.")] = "3%/2mm",
    name: Annotated[
        list[str] | None, typer.Option(help="Names of all folders of label maps (default: their own).")
    ] = None,
    baseline: Annotated[
        str | None, typer.Option(help="Name of the contours that others are compared with (default: the first).")
    ] = None,
    common_cases: Annotated[
        bool, typer.Option("--common-cases", help="Leave out cases that not all folders have.")
    ] = False,
    split: Annotated[str, typer.Option(help="Ts, or Tr for a fold's validation folder.")] = "Ts",
    output: Annotated[Path, typer.Option("--output", "-o", help="Where all results go.")] = Path("evaluation"),
    predictor: PredictorFile = None,
    device: Device = "cpu",
    all_pictures: Annotated[bool, typer.Option("--all-pictures", help="Draw every case, not two of them.")] = False,
    processes: Processes = 0,
) -> None:
    """What mistakes of contours cost in dose, by case and structure: metrics, goals, islands, paired tests."""
    from nnunet_doselo.dataset.folder import raw_dataset
    from nnunet_doselo.evaluation.gamma import parse_gamma
    from nnunet_doselo.scoring.compared_folders import EvaluationSettings, evaluate_contours, name_sets

    from .comparison_table import print_comparison

    folders = [predictions, *(versus or [])]
    for folder in folders:
        if not folder.is_dir():
            raise DoseloError(f"{folder}: must be a folder of label maps; the order is PREDICTIONS DATASET")
    sets, workers = name_sets(folders, name or ()), processes or default_processes()
    extended = raw_dataset(dataset)
    settings = EvaluationSettings(split, goals, parse_gamma(gamma), workers, all_pictures)
    places = _Doses(tuple(dose_from or (PREDICTOR,)), reference_doses, predictor, device)
    origin = places.origin(extended, [contours.name for contours in sets], output, split, workers)
    compared = evaluate_contours(
        extended, sets, origin, output, settings=settings, baseline=baseline, common_cases=common_cases
    )
    print_comparison(compared, output)
    console.print(f"{output / 'comparison.json'}, comparison.csv, and a folder for each set of contours beside them")


@dataclass(frozen=True)
class _Doses:
    """What was said about doses: `dose_from` is one word, or a folder for each set of contours."""

    dose_from: Sequence[str]
    reference_doses: Path | None
    predictor: Path | None
    device: str

    def origin(self, dataset: Any, names: Sequence[str], output: Path, split: str, processes: int) -> Any:
        """The `dose_origins.DoseOrigin`.

        Raises
        ------
        DoseloError: options that contradict each other, or not one folder for each of `names`.
        """
        from nnunet_doselo.scoring import dose_origins

        word = self.dose_from[0]
        if (word == PREDICTOR and self.reference_doses) or (word != PREDICTOR and self.predictor):
            raise DoseloError(
                "doses come from --dose-from planner, pydosert or FOLDER (and --reference-doses), or from --predictor; "
                "give one of the two"
            )
        expected = 1 if word in (PREDICTOR, *PLANNERS) else len(names)
        if len(self.dose_from) != expected:
            raise DoseloError(
                f"--dose-from must be {PREDICTOR}, {' or '.join(PLANNERS)}, or a folder of doses for each of "
                f"{', '.join(names)}, in this order; found {', '.join(self.dose_from)}"
            )
        if word == PREDICTOR:
            return dose_origins.OneSource(self._predicted(dataset, output, split))
        if word in PLANNERS:
            plans = self.reference_doses
            return dose_origins.PlannerOrigin(dataset, output, PLANNERS[word], split, processes, plans)
        folders = dict(zip(names, map(Path, self.dose_from), strict=True))
        return dose_origins.FolderOrigin(dataset, folders, self.reference_doses, split)

    def _predicted(self, dataset: Any, output: Path, split: str) -> Any:
        from nnunet_doselo.scoring.dose_origins import REFERENCE_DOSES
        from nnunet_doselo.scoring.predicted_doses import PredictedDoses

        predictor, references = load_predictor_of(dataset, self.predictor, self.device), output / REFERENCE_DOSES
        return PredictedDoses(dataset, predictor, self.device, split=split, references=references)
