"""What a planning system should take a structure for, and how it looks there, from its name alone."""

import colorsys
import re
from collections.abc import Collection, Sequence

TARGET = re.compile(r"I?(GTV|CTV|PTV)", re.IGNORECASE)
INTERNAL_TARGET = re.compile(r"ITV", re.IGNORECASE)
BODY = ("external", "body")

TARGET_HUES_DEG = (0, 30, 330, 55, 305, 15)
ORGAN_HUES_DEG = (80, 290)
GOLDEN_SHARE = 0.618


def interpreted_type(name: str, targets: Collection[str] = ()) -> str:
    """RTROIInterpretedType (DICOM PS3.3 C.8.8.8.1) of a structure named after TG-263.

    PTV..., CTV..., GTV... also with a leading I (internal), are what they say; ITV... is a CTV, for DICOM has no ITV.
    Other names in `targets`, those with a prescribed dose, are PTVs. External is EXTERNAL, and the rest are ORGANs.
    """
    if found := TARGET.match(name):
        return found[1].upper()
    if INTERNAL_TARGET.match(name):
        return "CTV"
    if name in targets:
        return "PTV"
    return "EXTERNAL" if name.lower() in BODY else "ORGAN"


def colours(types: Sequence[str]) -> list[tuple[int, int, int]]:
    """A colour (red, green, blue; 0 to 255) for each structure, by its type: targets warm, others green to blue."""
    found, targets, others = [], 0, 0
    for kind in types:
        if kind in ("GTV", "CTV", "PTV"):
            hue_deg, targets = float(TARGET_HUES_DEG[targets % len(TARGET_HUES_DEG)]), targets + 1
        else:
            low, high = ORGAN_HUES_DEG
            hue_deg, others = low + (high - low) * (others * GOLDEN_SHARE % 1), others + 1
        red, green, blue = colorsys.hsv_to_rgb(hue_deg / 360, 1.0, 1.0)
        found.append((round(255 * red), round(255 * green), round(255 * blue)))
    return found
