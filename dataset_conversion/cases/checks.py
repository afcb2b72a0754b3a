"""What can be wrong with one case's voxels: each check returns its findings in words, often none."""

from collections.abc import Collection, Mapping, Sequence

import numpy as np

from nnunet_doselo.dataset.geometry import Grid, box_around

# air is about -1000 HU: a CT without anything below this has lost its offset (or shows no air at all)
AIR_AT_MOST_HU = -500
LOWEST_PLAUSIBLE_HU, HIGHEST_PLAUSIBLE_HU = -2048, 32767
# hot spots above twice the prescription, or nothing near it, mean another unit
PLAUSIBLE_MAXIMUM = (0.5, 2.0)
CGY_PER_GY = 100
COVERED_TARGET = 0.95
SHOWN_VALUES = 5


def check_finite(kind: str, array: np.ndarray) -> list[str]:
    """`array` is of any shape and unit."""
    wrong = int(np.count_nonzero(~np.isfinite(array)))
    return [f"{kind} holds {wrong} voxels that are not finite"] if wrong else []


def check_values(kind: str, labels: np.ndarray, declared: Collection[int]) -> list[str]:
    """A label map (Z, Y, X) may hold declared values alone."""
    extra = sorted({value.item() for value in np.unique(labels)} - set(declared))
    return [f"{kind} holds values that dataset.json does not declare: {some_of(extra)}"] if extra else []


def some_of(array: Sequence[float] | np.ndarray) -> str:
    """The lowest values in an array of any shape, each once, and how many more there are; "" if it is empty."""
    values = np.unique(array)
    more = f" and {len(values) - SHOWN_VALUES} more" if len(values) > SHOWN_VALUES else ""
    return ", ".join(f"{value:g}" for value in values[:SHOWN_VALUES]) + more


def check_ct(ct_hu: np.ndarray) -> list[str]:
    """The values of a CT (Z, Y, X) must be HU, with air among them."""
    low, high = float(ct_hu.min()), float(ct_hu.max())
    if low > AIR_AT_MOST_HU:
        return [f"ct must be in HU with air near -1000, lowest value is {low:g}: the offset (1024 or 1000) seems lost"]
    if low < LOWEST_PLAUSIBLE_HU or high > HIGHEST_PLAUSIBLE_HU:
        return [f"ct must be in HU, found {low:g} to {high:g}"]
    return []


def check_dose(dose_gy: np.ndarray, prescription_gy: float) -> list[str]:
    """A dose (Z, Y, X) must be in Gy, not below 0, and its maximum of the prescription's order."""
    low, high = float(dose_gy.min()), float(dose_gy.max())
    negative = [f"dose must not be negative, lowest value is {low:g}"] if low < 0 else []
    guess = _unit_guess(high / prescription_gy)
    if guess is None:
        return negative
    return [
        *negative,
        f"dose must be in Gy, highest value is {high:g} for {prescription_gy:g} Gy prescribed{guess}",
    ]


def _unit_guess(ratio: float) -> str | None:
    """None if the highest dose may be in Gy; `ratio` is highest dose / prescription."""
    lowest, highest = PLAUSIBLE_MAXIMUM
    if lowest <= ratio <= highest:
        return None
    if lowest <= ratio / CGY_PER_GY <= highest:
        return ": looks like cGy"
    return ": looks like relative units" if 0 < ratio < lowest else ""


def check_coverage(dose_gy: np.ndarray, target: np.ndarray) -> list[str]:
    """There must be a target, and the dose must reach over it. Both are (Z, Y, X), Gy and boolean."""
    if not target.any():
        return ["the target is empty"]
    without = float((dose_gy[target] <= 0).mean())
    if without <= 1 - COVERED_TARGET:
        return []
    return [f"the dose grid must cover the target, {100 * without:.1f} % of it have no dose at all"]


def swapped_sides(masks: Mapping[str, np.ndarray], grid: Grid) -> list[str]:
    """Names of pairs (NAME_L, NAME_R) whose left one lies to the patient's right of the right one.

    Told by place, not by name: a swapped pair is the one mistake that no later number shows.

    masks: boolean (Z, Y, X) on `grid`, by TG-263 name. A pair counts if both are drawn.
    """
    pairs = [(name, f"{name[:-2]}_R") for name in masks if name.endswith("_L") and f"{name[:-2]}_R" in masks]
    drawn = [(left, right) for left, right in pairs if masks[left].any() and masks[right].any()]
    return [
        f"{left} and {right}"
        for left, right in drawn
        if _leftward_mm(masks[left], grid) < _leftward_mm(masks[right], grid)
    ]


def _leftward_mm(mask: np.ndarray, grid: Grid) -> float:
    """Patient x (to the left) of the middle of the mask's box."""
    extent = grid.extent(box_around(mask))
    return float(extent.low[0] + extent.high[0]) / 2
