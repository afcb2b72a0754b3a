"""What physicians and planning systems call a structure, to AAPM TG-263 (Mayo et al., IJROBP 100:1057, 2018)."""

import difflib
from collections.abc import Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path

from nnunet_doselo.common.errors import DoseloError
from nnunet_doselo.dataset.guidance import DoseGuidance

from .map_file import BUILTIN_NAME_MAPS, name_map_path, read_images, read_rules
from .rules import NameRule, squeezed, words

__all__ = ["BUILTIN_NAME_MAPS", "MatchedNames", "NameMap", "read_name_map"]

SIMILAR = 0.75


@dataclass(frozen=True)
class MatchedNames:
    """What became of one patient's structure names.

    by_tg263: TG-263 name -> the name in the source, in the order of the name map.
    unmapped: names that nothing in the map fits -> the nearest TG-263 name, or None.
    missing: mandatory structures that are not there.
    ambiguous: TG-263 name -> the names between which the map does not decide (then absent from `by_tg263`).
    excluded: names that the map's `exclude` keeps away.
    torn: names that the patterns of several structures fit -> these structures, none of which gets them.
    """

    by_tg263: dict[str, str]
    unmapped: dict[str, str | None]
    missing: list[str]
    ambiguous: dict[str, tuple[str, ...]]
    excluded: tuple[str, ...]
    torn: dict[str, tuple[str, ...]]

    def problems(self) -> list[str]:
        """Why this patient cannot be converted, in words; empty if it can. Quotes names: for the console alone."""
        several = [_choice_needed(name, claims) for name, claims in self.ambiguous.items()]
        several += [f"{name!r} fits the patterns of {' and '.join(tg263)}" for name, tg263 in self.torn.items()]
        return several + [f"mandatory structure {name} is missing{self._hint(name)}" for name in self.missing]

    def check(self) -> None:
        """Raise DoseloError if there are problems."""
        if problems := self.problems():
            raise DoseloError("; ".join(problems))

    def _hint(self, name: str) -> str:
        near = [unknown for unknown, suggestion in self.unmapped.items() if suggestion == name]
        return f" (is it {' or '.join(map(repr, near))}? then add a synonym to the name map)" if near else ""


def _choice_needed(name: str, claims: Sequence[str]) -> str:
    if len({*claims}) < len(claims):
        return f"{name}: {len(claims)} structures are called {claims[0]!r}; rename or delete all but one"
    return (
        f"{name} is claimed by {' and '.join(map(repr, claims))}; put them into the name map's `priority` "
        "of this structure, in the order of preference"
    )


@dataclass(frozen=True)
class NameMap:
    """Structures in a fixed order, which gives the label values: they do not depend on who is converted."""

    rules: tuple[NameRule, ...]
    exclude: tuple[str, ...] = ()
    images: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Network inputs, with patterns for the descriptions of DICOM series; empty: the planning CT."""

    @property
    def target_gy(self) -> dict[str, float]:
        return {rule.name: rule.gy for rule in self.rules if rule.role == "target" and rule.gy is not None}

    @property
    def labels(self) -> dict[str, int]:
        """nnU-Net's labels: background 0, targets from 1 in the order of the file."""
        return {"background": 0} | {name: value for value, name in enumerate(self.target_gy, start=1)}

    @property
    def oars(self) -> dict[str, int]:
        """Label value by organ, from 1 in the order of the file."""
        organs = [rule.name for rule in self.rules if rule.role == "organ"]
        return {name: value for value, name in enumerate(organs, start=1)}

    @property
    def body(self) -> str | None:
        """Name of the outer contour, if the file has one."""
        return next((rule.name for rule in self.rules if rule.role == "body"), None)

    @property
    def guidance(self) -> DoseGuidance:
        return DoseGuidance(self.target_gy, self.oars)

    @cached_property
    def _rule_by_key(self) -> dict[str, NameRule]:
        return {key: rule for rule in self.rules for key in rule.keys}

    def match(self, names: Sequence[str]) -> MatchedNames:
        """Decide for all names of one patient; never raises (see `MatchedNames.check`).

        A listed name counts first (case, spaces, underscores, hyphens and umlauts do not matter), then `exclude`, then
        regular expressions. Of several names for one structure the one written as TG-263 does is taken, else the one
        that `priority` puts first. A name that occurs twice is two names.
        """
        claims: dict[str, list[str]] = {rule.name: [] for rule in self.rules}
        unmapped: dict[str, str | None] = {}
        torn: dict[str, tuple[str, ...]] = {}
        excluded = []
        for name in names:
            wanted = self._wanted_by(name)
            if len(wanted) == 1:
                claims[wanted[0].name].append(name)
            elif wanted:
                torn[name] = tuple(rule.name for rule in wanted)
            elif self._is_excluded(name):
                excluded.append(name)
            else:
                unmapped[name] = self.suggestion(name)
        best = {rule.name: rule.best(claims[rule.name]) for rule in self.rules}
        return MatchedNames(
            by_tg263={name: first[0] for name, first in best.items() if len(first) == 1},
            unmapped=unmapped,
            missing=[rule.name for rule in self.rules if rule.mandatory and not claims[rule.name]],
            ambiguous={name: tuple(first) for name, first in best.items() if len(first) > 1},
            excluded=tuple(excluded),
            torn=torn,
        )

    def _wanted_by(self, name: str) -> list[NameRule]:
        listed = self._rule_by_key.get(squeezed(name))
        if listed:
            return [listed]
        if self._is_excluded(name):
            return []
        return [rule for rule in self.rules if rule.matches_pattern(name)]

    def _is_excluded(self, name: str) -> bool:
        return any(fnmatchcase(words(name), pattern) for pattern in self.exclude)

    def suggestion(self, name: str) -> str | None:
        """The structure whose listed names come nearest, or None if none is similar."""
        near = difflib.get_close_matches(squeezed(name), self._rule_by_key, n=1, cutoff=SIMILAR)
        return self._rule_by_key[near[0]].name if near else None


def read_name_map(path_or_builtin: str | Path) -> NameMap:
    """Read a name map: a YAML file, or the name of one that comes along ("brain", "head_and_neck").

    Raises
    ------
    DoseloError: no such file; not YAML; a key, a pattern or a dose that cannot be used; a name listed twice.
    """
    path = name_map_path(path_or_builtin)
    rules, exclude = read_rules(path)
    return NameMap(rules, exclude, read_images(path))
