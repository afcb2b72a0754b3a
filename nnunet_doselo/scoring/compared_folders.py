"""`doselo evaluate`: several folders of contours on the same cases, each evaluated by itself, then compared."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from nnunet_doselo.common.errors import DoseloError
from nnunet_doselo.dataset.folder import ExtendedDataset
from nnunet_doselo.evaluation.comparison import Comparison, compare_evaluations
from nnunet_doselo.evaluation.fold_seed import FoldSeed
from nnunet_doselo.evaluation.gamma import GammaCriterion
from nnunet_doselo.evaluation.result_files import NOISE_FLOOR, REFERENCE
from nnunet_doselo.scoring.contour_folder import evaluate_folder, predicted_cases
from nnunet_doselo.scoring.dose_origins import REFERENCE_DOSES, ContourSet, DoseOrigin
from nnunet_doselo.scoring.dose_sources import DoseSource

CONTOUR_NAME = re.compile(r"\w[\w.+-]*")
RESERVED = (REFERENCE, NOISE_FLOOR, REFERENCE_DOSES)


@dataclass(frozen=True)
class EvaluationSettings:
    """What all sets share; arguments of `contour_folder.evaluate_folder`."""

    split: str = "Ts"
    goals: str | Path | None = None
    gamma: GammaCriterion | None = None
    processes: int = 1
    all_pictures: bool = False


def name_sets(folders: Sequence[Path], names: Sequence[str] = ()) -> list[ContourSet]:
    """Folders of contours with their names, by default the last part of each path; they name folders of output, too.

    Raises
    ------
    DoseloError: not one name a folder, two that are the same, or one that is reserved or no name of a folder.
    """
    names = list(names) or [folder.absolute().name for folder in folders]
    if len(names) != len(folders) or len(set(names)) < len(names):
        raise DoseloError(
            f"contours must have different names, one for each of {len(folders)} folders, found {', '.join(names)}; "
            "give all of them with --name"
        )
    if wrong := [name for name in names if not CONTOUR_NAME.fullmatch(name) or name in RESERVED]:
        raise DoseloError(
            f"contours must have names of letters, digits and .+-_ that are none of {', '.join(RESERVED)}, found "
            f"{wrong[0]!r}; give others with --name"
        )
    return [ContourSet(name, folder) for name, folder in zip(names, folders, strict=True)]


def evaluate_contours(
    dataset: ExtendedDataset,
    sets: Sequence[ContourSet],
    origin: DoseOrigin,
    output: Path,
    *,
    settings: EvaluationSettings,
    baseline: str | None = None,
    common_cases: bool = False,
) -> Comparison:
    """Evaluate each set into OUTPUT/NAME, the noise floor if there is one, and write the comparison into OUTPUT.

    Parameters
    ----------
    baseline: name of a set; the first one if None.
    common_cases: take the cases that all sets have, and say which are left out.

    Raises
    ------
    DoseloError: an unknown baseline; sets of different cases; what `evaluate_folder` and `compare_evaluations` refuse.
    """
    names = [contours.name for contours in sets]
    if baseline is not None and baseline not in names:
        raise DoseloError(f"the baseline must be one of {', '.join(names)}, found {baseline}")
    cases, remarks = shared_cases(dataset, sets, settings.split, common_cases=common_cases)

    def run(contours: ContourSet, source: DoseSource) -> Path:
        folder, given = output / contours.name, vars(settings)
        evaluate_folder(dataset, contours.folder, source, folder, cases=cases, name=contours.name, **given)
        return folder

    origin.prepare(cases)
    folders = {contours.name: {FoldSeed(): run(contours, origin.source(contours, cases))} for contours in sets}
    floor = origin.noise_floor(cases)
    references = ContourSet(NOISE_FLOOR, dataset.folder / f"labels{settings.split}")
    return compare_evaluations(
        output,
        folders,
        baseline=baseline or names[0],
        noise_floor=run(references, floor) if floor else None,
        remarks=remarks,
    )


def shared_cases(
    dataset: ExtendedDataset, sets: Sequence[ContourSet], split: str, *, common_cases: bool = False
) -> tuple[list[str], list[str]]:
    """The cases of all sets, and remarks on those that not all have.

    Raises
    ------
    DoseloError: a set has none, they have different ones (unless `common_cases`), or none in common.
    """
    of_set = {contours.name: set(predicted_cases(dataset, contours.folder, split)) for contours in sets}
    shared, known = set.intersection(*of_set.values()), set.union(*of_set.values())
    lacking = {name: sorted(known - cases) for name, cases in of_set.items() if known - cases}
    if lacking and (not common_cases or not shared):
        raise DoseloError(
            f"contours must have the same cases to be compared; missing are {_lacking(lacking)}; predict them too, or "
            "pass --common-cases to leave them out"
        )
    remarks = [f"left out, because not all contours have them: {_lacking(lacking)}"] if lacking else []
    return sorted(shared), remarks


def _lacking(lacking: dict[str, list[str]]) -> str:
    return "; ".join(f"in {name} {', '.join(cases)}" for name, cases in lacking.items())
