"""Clinical goals: what a plan has to reach, read from YAML, and the scorecard of two doses.

    GTV: D95 >= 57 Gy
    Brainstem: [D0.1cc <= 54 Gy, Dmean <= 30 Gy]
    Lung_L: V20Gy <= 30 %

Metrics are those of `dvh.DVH`: Dmean; D95, D2, D98... (minimum dose to the hottest so many per cent); D0.1cc (to the
hottest so many cc); V20Gy (volume that receives at least so much, in % or cc). Structures are named as in the dataset.
"""

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import yaml

from nnunet_doselo.common.errors import DoseloError

from .dvh import DVH

FOLDER = Path(__file__).resolve().parent / "goals"

Relation = Literal["<=", ">=", "<", ">"]
Verdict = Literal["met", "not met", "not assessable"]

# a plateau of 57 Gy in single precision has not missed 57 Gy
ROUNDING = 1e-6
NUMBER = r"\d+(?:\.\d+)?"
GOAL = re.compile(
    rf"(?P<metric>Dmean|D(?P<percent>{NUMBER})%?|D(?P<cc>{NUMBER})cc|V(?P<gy>{NUMBER})Gy)"
    rf"\s*(?P<relation><=|>=|<|>|≤|≥)\s*(?P<limit>{NUMBER})\s*(?P<unit>Gy|%|cc)"
)
FORMS = "Dmean <= 45 Gy, D95 >= 57 Gy, D0.1cc <= 54 Gy, V20Gy <= 30 % or V60Gy <= 3 cc"


@dataclass(frozen=True)
class Goal:
    """metric, as written: what `kind` and `at` (per cent, cc or Gy) mean; limit in `unit`."""

    structure: str
    metric: str
    kind: Literal["mean", "dose to per cent", "dose to cc", "volume at dose"]
    at: float
    relation: Relation
    limit: float
    unit: Literal["Gy", "%", "cc"]

    @property
    def text(self) -> str:
        return f"{self.metric} {self.relation} {self.limit:g} {self.unit}"

    def value(self, dvh: DVH) -> float:
        """The metric in `unit`; NaN for a structure without voxels."""
        if self.kind == "mean":
            return dvh.mean_gy
        if self.kind == "dose to per cent":
            return dvh.dose_at_volume(self.at / 100)
        if self.kind == "dose to cc":
            return dvh.dose_at_volume_cc(self.at)
        return dvh.volume_at_dose(self.at) * (100 if self.unit == "%" else dvh.volume_cc)

    def verdict(self, value: float) -> Verdict:
        """Differences below a millionth of the limit are rounding."""
        if math.isnan(value):
            return "not assessable"
        same = math.isclose(value, self.limit, rel_tol=ROUNDING, abs_tol=ROUNDING)
        better = value < self.limit if self.relation.startswith("<") else value > self.limit
        return "met" if (self.relation.endswith("=") if same else better) else "not met"


@dataclass(frozen=True)
class ScorecardRow:
    """A goal and what both doses make of it; values in `unit`, NaN where not assessable, and `note` says why."""

    structure: str
    goal: str
    unit: str
    reference_value: float
    reference_verdict: Verdict
    evaluated_value: float
    evaluated_verdict: Verdict
    note: str = ""

    @property
    def lost(self) -> bool:
        """The reference dose meets the goal, the evaluated one does not."""
        return (self.reference_verdict, self.evaluated_verdict) == ("met", "not met")


def scorecard(goals: Iterable[Goal], reference: Mapping[str, DVH], evaluated: Mapping[str, DVH]) -> list[ScorecardRow]:
    """One row a goal, in the order of the goals.

    Parameters
    ----------
    reference, evaluated: by structure, the same contour read in two doses. A structure that is empty or not there is
        not assessable: starter files name more organs than most patients have.
    """
    return [_row(goal, reference.get(goal.structure), evaluated.get(goal.structure)) for goal in goals]


def starter_goals() -> list[str]:
    """Names of the goals that come with the package, for `read_goals`."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def read_goals(source: str | Path) -> list[Goal]:
    """Goals of a file, or of a starter by its name.

    Raises
    ------
    DoseloError: no such file or starter, or what `parse_goals` refuses.
    """
    path = FOLDER / f"{source}.yaml" if str(source) in starter_goals() else Path(source)
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
    return [goal for several in goals.values() for goal in several]


def parse_goal(structure: str, text: str, where: str) -> Goal:
    """One goal.

    Raises
    ------
    DoseloError: another form, a unit that does not fit, a D of 0 or more than 100 per cent or of 0 cc, or a volume of
        more than 100 per cent.
    """
    found = GOAL.fullmatch(text.strip())
    if not found:
        raise DoseloError(
            f"{where}: {structure}: a goal must look like {FORMS}; found {text!r}. Doses are in Gy; for Dmax write "
            "D0.03cc, for a share of the prescription its Gy"
        )
    kind, at = _kind(found)
    units = ("%", "cc") if kind == "volume at dose" else ("Gy",)
    limit, unit = float(found["limit"]), found["unit"]
    if unit not in units:
        raise DoseloError(f"{where}: {structure}: {found['metric']} must be in {' or '.join(units)}, found {unit}")
    if (kind.startswith("dose") and not at > 0) or (kind == "dose to per cent" and at > 100):
        raise DoseloError(f"{where}: {structure}: {found['metric']} must be of more than 0 cc, or of 0 to 100 per cent")
    if unit == "%" and limit > 100:
        raise DoseloError(f"{where}: {structure}: a volume must be up to 100 %, found {limit:g} %")
    relation = found["relation"].replace("≤", "<=").replace("≥", ">=")
    return Goal(structure, found["metric"], kind, at, relation, limit, unit)  # type: ignore[arg-type]


def _kind(found: re.Match[str]) -> tuple[Literal["mean", "dose to per cent", "dose to cc", "volume at dose"], float]:
    if found["percent"]:
        return "dose to per cent", float(found["percent"])
    if found["cc"]:
        return "dose to cc", float(found["cc"])
    if found["gy"]:
        return "volume at dose", float(found["gy"])
    return "mean", math.nan


def _row(goal: Goal, reference: DVH | None, evaluated: DVH | None) -> ScorecardRow:
    values = [math.nan if dvh is None else goal.value(dvh) for dvh in (reference, evaluated)]
    verdicts = [goal.verdict(value) for value in values]
    missing = reference is None or evaluated is None
    note = ("no such structure" if missing else "empty") if "not assessable" in verdicts else ""
    return ScorecardRow(goal.structure, goal.text, goal.unit, values[0], verdicts[0], values[1], verdicts[1], note)
