"""What must be the same in evaluations that are compared: asserted, not assumed."""

from collections.abc import Mapping
from typing import Any

from nnunet_doselo.common.errors import DoseloError

from .evaluation_file import Evaluation
from .fold_seed import FoldSeed

SAME_PROVENANCE = ("rmae_threshold_of_rx", "gamma", "goals", "surface_distances")
PREDICTED = "predicted"


def require_same(
    loaded: Mapping[str, Mapping[FoldSeed, Evaluation]], baseline: str, noise_floor: Evaluation | None = None
) -> None:
    """That all were measured alike, on the same references. Cases and runs are `paired_tests`' own concern.

    Raises
    ------
    DoseloError: naming the first evaluation that differs from the baseline's first one, and in what.
    """
    first = next(iter(loaded[baseline].values()))
    references = {case.case: case.reference_sha256 for of in loaded[baseline].values() for case in of.cases}
    others = [
        (", ".join(filter(None, [name, str(run)])), evaluation)
        for name, of in loaded.items()
        for run, evaluation in of.items()
    ]
    for where, other in [*others, *([("noise floor", noise_floor)] if noise_floor else [])]:
        for what, value in _measured(other).items():
            if value != (expected := _measured(first)[what]):
                raise DoseloError(
                    f"{where}: must be evaluated like {baseline} to be compared with it, but {what} is {value} "
                    f"against {expected}; evaluate both again, alike"
                )
        _require_same_references(where, other, references, baseline)


def _measured(evaluation: Evaluation) -> dict[str, Any]:
    provenance = evaluation.provenance
    return {
        "the dataset": evaluation.dataset,
        "the kind of dose": provenance["dose"]["kind"],
        "the dose predictor": provenance.get("dose_predictor", {}).get("sha256"),
        **{key: provenance.get(key) for key in SAME_PROVENANCE},
    }


def _require_same_references(
    where: str, evaluation: Evaluation, references: Mapping[str, Mapping[str, str]], baseline: str
) -> None:
    """Predicted doses may differ in their last digits from run to run: there the predictor is held to be the same."""
    kinds = ("labels",) if evaluation.provenance["dose"]["kind"] == PREDICTED else ("labels", "dose")
    for case in evaluation.cases:
        expected = references.get(case.case, case.reference_sha256)
        for kind in kinds:
            if case.reference_sha256[kind] != expected[kind]:
                raise DoseloError(
                    f"{where}, case {case.case}: must have the reference {kind} of {baseline} to be compared with it, "
                    f"found another file (SHA-256 {case.reference_sha256[kind][:12]}… against {expected[kind][:12]}…)"
                )
