"""How one structure is recognised by the names that people give it."""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

Role = Literal["target", "organ", "body"]

# words that tell the side in real structure sets: English, German, Latin, French; before or after the organ
SIDES = {
    side: tuple(text.split())
    for side, text in {
        "L": "l lt li lft left links linke linker linkes sin sinistra sinister gauche",
        "R": "r rt re rgt right rechts rechte rechter rechtes dex dextra dexter droite",
    }.items()
}
SIDE_FIELD = "{side}"
UMLAUT = re.compile(r"([aou])e")


def words(name: str) -> str:
    """The name in lower case, without accents, its words joined by single underscores: "N. opticus (LI)" ->
    "n_opticus_li".

    A leading underscore and every tilde stay: TG-263 marks helper structures and parts of organs with them.
    """
    plain = unicodedata.normalize("NFKD", name.strip().casefold())
    kept = "".join(c if c.isalnum() or c == "~" else "_" for c in plain if not unicodedata.combining(c))
    return ("_" if kept.startswith("_") else "") + re.sub("_+", "_", kept).strip("_")


def squeezed(name: str) -> str:
    """The name without case, separators and umlauts, however these are spelt: Rückenmark, Rueckenmark, RUCKENMARK.

    Two names are the same to a name map if they are the same here.
    """
    plain = words(name)
    marker = "_" if plain.startswith("_") else ""
    return marker + UMLAUT.sub(r"\1", plain.replace("_", ""))


def sided(names: Iterable[str], side: str) -> tuple[str, ...]:
    """Each name with each word for the side ("L" or "R"), after it and before it."""
    return tuple(text for name in names for word in SIDES[side] for text in (f"{name}_{word}", f"{word}_{name}"))


def side_pattern(side: str) -> str:
    """Regular expression of a word that tells the side, a word of its own: the l of "superficial" is none."""
    return f"(?<![a-z0-9])(?:{'|'.join(SIDES[side])})(?![a-z0-9])"


@dataclass(frozen=True)
class NameRule:
    """One structure of a name map.

    name: after TG-263. gy: prescribed dose of a target, else None. synonyms: names that mean the same.
    patterns: regular expressions of whole names. preferred: of several, the first of these groups that is there.
    """

    name: str
    role: Role
    gy: float | None = None
    mandatory: bool = False
    synonyms: tuple[str, ...] = ()
    patterns: tuple[str, ...] = ()
    preferred: tuple[tuple[str, ...], ...] = field(default=())

    @cached_property
    def keys(self) -> frozenset[str]:
        """All listed names, squeezed."""
        listed = (self.name, *self.synonyms, *(name for group in self.preferred for name in group))
        return frozenset(squeezed(name) for name in listed)

    @cached_property
    def _compiled(self) -> tuple[re.Pattern[str], ...]:
        return tuple(re.compile(pattern, re.IGNORECASE) for pattern in self.patterns)

    def matches_pattern(self, name: str) -> bool:
        """True if a pattern fits the whole name: as written, in words, or without separators."""
        forms = (name.strip(), words(name), squeezed(name))
        return any(pattern.fullmatch(form) for pattern in self._compiled for form in forms)

    def best(self, names: Sequence[str]) -> list[str]:
        """Those of `names` that come first: written as TG-263 does, then the same but for case and separators, then by
        the order of `preferred`, then all that are left; more than one means that the choice is not ours."""
        for chosen in (self._as_written(names), self._as_named(names), self._as_preferred(names)):
            if chosen:
                return chosen
        return list(names)

    def _as_written(self, names: Sequence[str]) -> list[str]:
        return [name for name in names if name == self.name]

    def _as_named(self, names: Sequence[str]) -> list[str]:
        return [name for name in names if squeezed(name) == squeezed(self.name)]

    def _as_preferred(self, names: Sequence[str]) -> list[str]:
        for group in self.preferred:
            of_group = [name for name in names if squeezed(name) in {squeezed(wanted) for wanted in group}]
            if of_group:
                return of_group
        return []
