"""Name maps on disk: YAML, read strictly. The structure is told at the head of name_maps/brain.yaml."""

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nnunet_doselo.common.errors import DoseloError
from nnunet_doselo.dataset.guidance import NO_STRUCTURES

from .rules import SIDE_FIELD, SIDES, NameRule, Role, side_pattern, sided, squeezed
from .yaml_files import mapping, read_yaml, texts

NAME_MAP_FOLDER = Path(__file__).resolve().parent / "name_maps"
BUILTIN_NAME_MAPS = tuple(sorted(path.stem for path in NAME_MAP_FOLDER.glob("*.yaml")))
SECTIONS: dict[str, Role] = {"targets": "target", "organs": "organ", "body": "body"}
STRUCTURE_KEYS = ("synonyms", "patterns", "priority", "mandatory")
KEYS_OF_ROLE: dict[Role, tuple[str, ...]] = {"target": ("gy",), "organ": ("paired",), "body": ()}
STRUCTURE_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_^+~-]*")
LOOKS_LIKE_TARGET = re.compile(r"(gtv|ctv|ptv|itv)", re.IGNORECASE)
CT_INPUT = "CT"
MOST_LABELS = 255


def name_map_path(path_or_builtin: str | Path) -> Path:
    """Raises DoseloError if there is neither such a file nor such a name."""
    path = Path(path_or_builtin)
    if str(path_or_builtin) in BUILTIN_NAME_MAPS:
        return NAME_MAP_FOLDER / f"{path_or_builtin}.yaml"
    if not path.is_file():
        raise DoseloError(f"{path}: no such name map; give a YAML file, or one of {', '.join(BUILTIN_NAME_MAPS)}")
    return path


def read_rules(path: Path) -> tuple[tuple[NameRule, ...], tuple[str, ...]]:
    """The structures of a file in its order, and its `exclude` as globs of names in words (`rules.words`).

    Raises
    ------
    DoseloError: see `structure_names.read_name_map`.
    """
    content = mapping(read_yaml(path), str(path), (*SECTIONS, "exclude", "images"))
    rules = [
        rule
        for section, role in SECTIONS.items()
        for name, entry in mapping(content.get(section), f"{path}, {section}").items()
        for rule in _rules_of(name, role, entry, f"{path}, {section}, {name}")
    ]
    _check_together(rules, path)
    exclude = texts(content.get("exclude"), f"{path}, exclude")
    return tuple(rules), tuple(re.sub(r"[\s_.-]+", "_", glob.casefold()) for glob in exclude)


def read_images(path: Path) -> dict[str, tuple[str, ...]]:
    """The network's inputs by name, each with regular expressions for descriptions of DICOM series; {}: the CT alone.

    "CT" has no patterns: it is the planning CT.

    Raises
    ------
    DoseloError: not a list of regular expressions for each input.
    """
    section = mapping(read_yaml(path).get("images"), f"{path}, images")
    images = {name: texts(patterns, f"{path}, images, {name}") for name, patterns in section.items()}
    for name, patterns in images.items():
        where = f"{path}, images, {name}"
        _check_patterns(patterns, where)
        if not STRUCTURE_NAME.fullmatch(name) or bool(patterns) is (name == CT_INPUT):
            raise DoseloError(f"{where}: needs a plain name and patterns, or none if it is called {CT_INPUT}")
    return images


def _rules_of(name: str, role: Role, entry: Any, where: str) -> list[NameRule]:
    """One structure, or both sides of a paired one."""
    entry = mapping(entry, where, (*STRUCTURE_KEYS, *KEYS_OF_ROLE[role]))
    _check_name(name, role, where)
    for key in ("mandatory", "paired"):
        if not isinstance(entry.get(key, False), bool):
            raise DoseloError(f"{where}: {key} is true or false, found {entry[key]!r}")
    names = {key: texts(entry.get(key), f"{where}, {key}") for key in ("synonyms", "patterns", "priority")}
    gy = _gy(entry, where) if role == "target" else None
    if entry.get("paired"):
        return [_one_side(name, side, entry, names, where) for side in SIDES]
    _check_patterns(names["patterns"], where)
    preferred = tuple((wanted,) for wanted in names["priority"])
    mandatory = entry.get("mandatory", False)
    return [NameRule(name, role, gy, mandatory, names["synonyms"], names["patterns"], preferred)]


def _one_side(
    name: str, side: str, entry: Mapping[str, Any], names: Mapping[str, tuple[str, ...]], where: str
) -> NameRule:
    sideless = [pattern for pattern in names["patterns"] if SIDE_FIELD not in pattern]
    if sideless:
        raise DoseloError(f"{where}: patterns of paired organs must tell the side by {SIDE_FIELD}, found {sideless}")
    patterns = tuple(pattern.replace(SIDE_FIELD, side_pattern(side)) for pattern in names["patterns"])
    _check_patterns(patterns, where)
    return NameRule(
        f"{name}_{side}",
        "organ",
        mandatory=entry.get("mandatory", False),
        synonyms=sided((name, *names["synonyms"]), side),
        patterns=patterns,
        preferred=tuple(sided([wanted], side) for wanted in names["priority"]),
    )


def _check_name(name: str, role: Role, where: str) -> None:
    if not STRUCTURE_NAME.fullmatch(name) or name in NO_STRUCTURES:
        raise DoseloError(f"{where}: names are letters, digits and _ ^ + ~ - and start with a letter, found {name!r}")
    if role != "target" and LOOKS_LIKE_TARGET.match(name):
        raise DoseloError(f"{where}: is a target by its name; move it to `targets` and give its dose as gy")


def _gy(entry: Mapping[str, Any], where: str) -> float:
    gy = entry.get("gy")
    if isinstance(gy, bool) or not isinstance(gy, (int, float)) or not math.isfinite(gy) or gy <= 0:
        raise DoseloError(f"{where}: a target needs its prescribed dose in Gy, like `gy: 60`, found {gy!r}")
    return float(gy)


def _check_patterns(patterns: tuple[str, ...], where: str) -> None:
    for pattern in patterns:
        try:
            re.compile(pattern)
        except re.error as error:
            raise DoseloError(f"{where}: {pattern!r} is no regular expression: {error}") from error


def _check_together(rules: list[NameRule], path: Path) -> None:
    """What one structure alone cannot show."""
    if not any(rule.role == "target" for rule in rules):
        raise DoseloError(f"{path}: needs at least one target, like `targets: {{GTV: {{gy: 60}}}}`")
    if sum(rule.role == "body" for rule in rules) > 1:
        raise DoseloError(f"{path}: there is one body, found {[rule.name for rule in rules if rule.role == 'body']}")
    for role in ("target", "organ"):
        if (count := sum(rule.role == role for rule in rules)) > MOST_LABELS:
            raise DoseloError(f"{path}: a label map holds {MOST_LABELS} structures, found {count} {role}s")
    owner: dict[str, NameRule] = {}
    for rule in rules:
        for listed in sorted(rule.keys):
            other = owner.setdefault(listed, rule)
            if other is not rule:
                raise DoseloError(f"{path}: {_spelling(rule, listed)!r} stands for {other.name} and for {rule.name}")


def _spelling(rule: NameRule, key: str) -> str:
    """How the file writes a name that is known squeezed."""
    listed = (rule.name, *rule.synonyms, *(name for group in rule.preferred for name in group))
    return next(name for name in listed if squeezed(name) == key)
