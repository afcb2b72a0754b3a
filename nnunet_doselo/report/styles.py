"""How trainers and structures look, told apart with any colour vision and in black and white.

Colours are those of Okabe and Ito; trainers differ in dash and pattern
too, structures in marker.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from matplotlib import colormaps
from matplotlib.colors import to_hex

from nnunet_doselo.dataset.structures import StructureKind
from nnunet_doselo.evaluation.pictures import OKABE_ITO, ORGAN_COLOURS

PLOTLY_DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
BAR_PATTERNS = ("", "/", "x", ".", "\\", "-", "+", "|")
TARGET_COLOURS = ("#D81B9A", "#8E0E62", "#F06FC8")
PLOTLY_SYMBOLS = ("", "circle", "square", "triangle-up", "diamond", "cross")
DOSE_MAP = "viridis"
DIFFERENCE_MAP = "PuOr_r"
"""Violet where the mistake takes dose away, orange where it brings dose."""


@dataclass(frozen=True)
class TrainerStyle:
    """dash and pattern: names of plotly; pattern is also matplotlib's hatch."""

    colour: str
    dash: str
    pattern: str


@dataclass(frozen=True)
class StructureStyle:
    """marker: a symbol of plotly, or "" for a plain line."""

    name: str
    kind: StructureKind
    colour: str
    marker: str


def trainer_style(index: int) -> TrainerStyle:
    """Of the trainer at that place in the comparison; no two of the first 42 are the same."""
    return TrainerStyle(
        OKABE_ITO[index % len(OKABE_ITO)],
        PLOTLY_DASHES[index % len(PLOTLY_DASHES)],
        BAR_PATTERNS[index % len(BAR_PATTERNS)],
    )


def structure_styles(targets: Iterable[str], organs: Iterable[str]) -> list[StructureStyle]:
    """Targets, then organs; a colour that comes again comes with the next marker."""
    return [*_styles("target", targets, TARGET_COLOURS), *_styles("organ", organs, ORGAN_COLOURS)]


def _styles(kind: StructureKind, names: Iterable[str], colours: Sequence[str]) -> list[StructureStyle]:
    count = len(colours)
    return [
        StructureStyle(name, kind, colours[i % count], PLOTLY_SYMBOLS[i // count % len(PLOTLY_SYMBOLS)])
        for i, name in enumerate(names)
    ]


def colour_scale(name: str, stops: int = 17) -> list[tuple[float, str]]:
    """A colour map of matplotlib as plotly wants it: (position in [0, 1], colour)."""
    return [(i / (stops - 1), to_hex(colormaps[name](i / (stops - 1)))) for i in range(stops)]
