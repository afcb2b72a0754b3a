"""Which of a patient's doses make up the dose of the plan: chosen where that is obvious, refused where not."""

from collections.abc import Sequence

from nnunet_doselo.common.errors import DoseloError

from .dose_file import DoseHeader

TOTALS = ("PLAN", "MULTI_PLAN")
PARTS = ("FRACTION", "BEAM")


def choose_doses(headers: Sequence[DoseHeader]) -> tuple[list[DoseHeader], tuple[str, ...]]:
    """The total, or else all parts that add up to it; and what was left out or summed, in words.

    Raises
    ------
    DoseloError: no doses; several totals; parts of different plans, or a part twice; parts of other kinds alone.
    """
    unique = list({header.instance: header for header in headers}.values())
    notes = [f"{len(headers) - len(unique)} copies of a dose left out"] if len(unique) < len(headers) else []
    for kind in (*TOTALS, *PARTS):
        chosen = [header for header in unique if header.summation == kind]
        if not chosen:
            continue
        if kind in TOTALS:
            _require_one(chosen)
        elif len(chosen) > 1:
            _require_parts_of_one_plan(chosen)
        return chosen, tuple(notes + _notes(kind, chosen, unique))
    found = ", ".join(str(header.file) for header in headers) or "none"
    raise DoseloError(
        f"expected a dose of summation type {', '.join((*TOTALS, *PARTS))}; none of these is: {found}; "
        "export the dose of the plan"
    )


def _notes(kind: str, chosen: list[DoseHeader], unique: list[DoseHeader]) -> list[str]:
    notes = []
    if kind in PARTS:
        notes.append(f"dose is the sum of {len(chosen)} {kind} doses; whether these are all is not known")
    if kind == "MULTI_PLAN":
        notes.append("dose is the sum of several plans (MULTI_PLAN)")
    if others := len(unique) - len(chosen):
        notes.append(f"{others} other doses of the patient not used, the {kind} dose is the total")
    return notes


def _require_one(chosen: list[DoseHeader]) -> None:
    if len(chosen) > 1:
        files = ", ".join(str(header.file) for header in chosen)
        plans = "different plans" if len({header.plan for header in chosen}) > 1 else "one plan"
        raise DoseloError(f"expected one {chosen[0].summation} dose, found {len(chosen)} of {plans}: {files}; keep one")


def _require_parts_of_one_plan(chosen: list[DoseHeader]) -> None:
    kind, files = chosen[0].summation, ", ".join(str(header.file) for header in chosen)
    if None in (plans := {header.plan for header in chosen}) or len(plans) > 1:
        raise DoseloError(f"{kind} doses can be summed if all refer to one plan, these do not: {files}")
    parts = [part for header in chosen for part in header.parts]
    if len(set(parts)) < len(parts):
        raise DoseloError(f"{kind} doses can be summed if none holds a part of another, these do: {files}")
