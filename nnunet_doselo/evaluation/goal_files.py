"""Clinical goals from YAML: files of one's own, and the starters that come with the package.

GTV: D95 >= 57 Gy
Brainstem: [D0.1cc <= 54 Gy, Dmean <= 30 Gy]
Lung_L: V20Gy <= 30 %
"""

import math
import re
from dataclasses import dataclass
from pathlib import Path

import yaml

from nnunet_doselo.common.errors import DoseloError
from nnunet_doselo.dataset.guidance import DoseGuidance

from .clinical_goals import Goal, GoalKind

GOALS_FOLDER = Path(__file__).resolve().parent / "goals"
NO_GOALS = "none"
STARTER_RX_GY = {"brain": 60.0, "head_and_neck": 70.0}
"""The prescriptions that the starters' limits are meant for."""
NUMBER = r"\d+(?:\.\d+)?"
GOAL = re.compile(
    rf"(?P<metric>Dmean|D(?P<percent>{NUMBER})%?|D(?P<cc>{NUMBER})cc|V(?P<gy>{NUMBER})Gy)"
    rf"\s*(?P<relation><=|>=|<|>|≤|≥)\s*(?P<limit>{NUMBER})\s*(?P<unit>Gy|%|cc)"
)
FORMS = "Dmean <= 45 Gy, D95 >= 57 Gy, D0.1cc <= 54 Gy, V20Gy <= 30 % or V60Gy <= 3 cc"


@dataclass(frozen=True)
class ChosenGoals:
    """`origin` says in words where they come from, or why there are none."""

    goals: tuple[Goal, ...]
    origin: str


def choose_goals(source: str | Path | None, guidance: DoseGuidance) -> ChosenGoals:
    """Goals of a file or starter, none for "none", and for None those of the starter that fits the dataset.

    A starter fits if it is meant for the dataset's prescription and names at least one of its organs; of it, the goals
    of structures that the dataset has are taken. Of a file all are, so that a name that is spelt otherwise is seen.

    Raises
    ------
    DoseloError: what `read_goals` refuses.
    """
    if source is not None and str(source) != NO_GOALS:
        return ChosenGoals(tuple(read_goals(source)), f"{source}")
    if source is not None:
        return ChosenGoals((), "none, as asked")
    known = {*guidance.target_gy, *guidance.oars}
    for starter, rx_gy in STARTER_RX_GY.items():
        goals = tuple(goal for goal in read_goals(starter) if goal.structure in known)
        if rx_gy == guidance.prescription_gy and any(goal.structure in guidance.oars for goal in goals):
            return ChosenGoals(goals, f"the starter {starter}, for {rx_gy:g} Gy and the organs of this dataset")
    return ChosenGoals((), "none: no starter fits the prescription and the organs of this dataset; name a file")


def starter_goals() -> list[str]:
    """Names of the goals that come with the package, for `read_goals`."""
    return sorted(path.stem for path in GOALS_FOLDER.glob("*.yaml"))


def read_goals(source: str | Path) -> list[Goal]:
    """Goals of a file, or of a starter by its name.

    Raises
    ------
    DoseloError: no such file or starter, or what `parse_goals` refuses.
    """
    path = GOALS_FOLDER / f"{source}.yaml" if str(source) in starter_goals() else Path(source)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8"
        raise DoseloError(
            f"{path}: clinical goals cannot be read ({reason}); give a YAML file or one of {', '.join(starter_goals())}"
        ) from error
    return parse_goals(text, str(path))


def parse_goals(text: str, where: str) -> list[Goal]:
    """Goals of a YAML text, in its order; `where` names it in errors.

    Raises
    ------
    DoseloError: not YAML, no structures, a structure twice, an entry that is neither a goal nor a list of goals, or a
        goal of another form.
    """
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        raise DoseloError(f"{where}: not valid YAML: {' '.join(str(error).split())}") from error
    if not isinstance(root, yaml.MappingNode) or not root.value:
        raise DoseloError(f"{where}: must hold structures and their goals, such as `GTV: D95 >= 57 Gy`; found none")
    goals: dict[str, list[Goal]] = {}
    # nodes, not values: they keep a structure that stands twice, and the line
    for key, value in root.value:
        at = f"{where}, line {key.start_mark.line + 1}"
        if not isinstance(key, yaml.ScalarNode) or key.value in goals:
            raise DoseloError(f"{at}: each structure must stand once, found {key.value}; list its goals under one name")
        entries = value.value if isinstance(value, yaml.SequenceNode) else [value]
        if not entries or not all(isinstance(entry, yaml.ScalarNode) for entry in entries):
            raise DoseloError(f"{at}: {key.value} must have a goal or a list of goals, such as {FORMS}")
        goals[key.value] = [
            parse_goal(key.value, entry.value, f"{where}, line {entry.start_mark.line + 1}") for entry in entries
        ]
    return [goal for of_structure in goals.values() for goal in of_structure]


def parse_goal(structure: str, text: str, where: str) -> Goal:
    """One goal.

    Raises
    ------
    DoseloError: another form, a unit that does not fit, a D of 0 or more than 100 per cent or of 0 cc, or a volume of
        more than 100 per cent.
    """
    written = GOAL.fullmatch(text.strip())
    if not written:
        raise DoseloError(
            f"{where}: {structure}: a goal must look like {FORMS}; found {text!r}. Doses are in Gy; for Dmax write "
            "D0.03cc, for a share of the prescription its Gy"
        )
    kind, at = _kind(written)
    units = ("%", "cc") if kind == "volume at dose" else ("Gy",)
    metric, limit, unit = written["metric"], float(written["limit"]), written["unit"]
    if unit not in units:
        raise DoseloError(f"{where}: {structure}: {metric} must be in {' or '.join(units)}, found {unit}")
    if (kind.startswith("dose") and not at > 0) or (kind == "dose to per cent" and at > 100):
        raise DoseloError(f"{where}: {structure}: {metric} must be of more than 0 cc, or of 0 to 100 per cent")
    if unit == "%" and limit > 100:
        raise DoseloError(f"{where}: {structure}: a volume must be up to 100 %, found {limit:g} %")
    relation = written["relation"].replace("≤", "<=").replace("≥", ">=")
    return Goal(structure, metric, kind, at, relation, limit, unit)  # type: ignore[arg-type]


def _kind(written: re.Match[str]) -> tuple[GoalKind, float]:
    if written["percent"]:
        return "dose to per cent", float(written["percent"])
    if written["cc"]:
        return "dose to cc", float(written["cc"])
    if written["gy"]:
        return "volume at dose", float(written["gy"])
    return "mean", math.nan
