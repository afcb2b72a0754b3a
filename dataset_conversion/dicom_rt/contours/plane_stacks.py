"""Which contour planes belong together, and which slices they fill. Positions and steps are in slices.

A contour stands for the slab around its plane, half a step to both sides; between two planes of a stack the shape is
interpolated. The step is the distance that planes keep: that of the slices, or of every second one, or of the series
on which the structure was drawn. Neighbouring planes belong together if they are

- at most one slice apart, or
- at most one step apart (contours on every second slice), or
- at most two steps apart, one contour being forgotten: the structure goes on to both sides for a plane at least, and
  does not close towards the gap as two balls do, one above the other.

All others keep parts apart: two parts of a target are not joined over more than one missing contour.
"""

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

LONGEST_STEP_MM, LONGEST_STEP_SLICES = 6.0, 2.0
"""Planes farther apart than both are no stack, but parts of their own."""
CLOSING = 0.6
"""A stack whose last contour has less than this share of the area of the one before comes to an end there."""
SHY = 1e-6


def step_of(positions: Sequence[float], spacing_mm: float, near: float) -> float:
    """The distance that most neighbouring planes have; of equally frequent ones the smallest.

    At most 1 if no distance occurs twice (too few planes to know), or if it is too long for a stack.

    Parameters
    ----------
    positions: of the planes, ascending. spacing_mm: of the slices. near: distances that differ by it are one.
    """
    gaps = np.diff(positions)
    if not len(gaps):
        return 1.0
    alike = (np.abs(gaps[:, None] - gaps) <= near).sum(axis=1)
    step = float(gaps[alike == alike.max()].min())
    is_a_stack = alike.max() > 1 and (step <= LONGEST_STEP_SLICES + near or step * spacing_mm <= LONGEST_STEP_MM)
    return step if is_a_stack else min(1.0, step)


def stacks(
    positions: Sequence[float], areas: Sequence[int], step: float, near: float, *, fill_gaps: bool = True
) -> list[range]:
    """Planes that belong together, as ranges of their numbers; none without planes.

    Parameters
    ----------
    positions: of the planes, ascending. areas: their voxels. near: tolerance of a distance.
    fill_gaps: whether a single contour may have been forgotten.
    """
    gaps = np.diff(positions)
    joined = gaps <= max(1.0, step) + near
    if fill_gaps:
        forgotten = [_is_forgotten(i, gaps, areas, 2 * step + near) for i in range(len(gaps))]
        joined = joined | np.array(forgotten, bool)
    limits = [0, *(np.flatnonzero(~joined) + 1).tolist(), len(positions)]
    return [range(first, past) for first, past in pairwise(limits) if past > first]


def _is_forgotten(i: int, gaps: np.ndarray, areas: Sequence[int], two_steps: float) -> bool:
    """Whether a single contour is missing between planes i and i + 1."""
    if not 0 < i < len(gaps) - 1 or max(gaps[i - 1 : i + 2]) > two_steps:
        return False
    return not (areas[i] < CLOSING * areas[i - 1] and areas[i + 1] < CLOSING * areas[i + 2])


def reach(step: float) -> float:
    """Half a step. Beyond a slice a little less, so that contours on every second slice end where they end."""
    return step / 2 if step <= 1 else step / 2 - SHY


def slices_of(first: float, last: float, step: float) -> range:
    """Slices whose centres lie in the slab of a stack from plane `first` to `last` (half-open, as edges in a slice).

    A stack between two slices that holds no centre fills the nearest slice.
    """
    filled = range(math.ceil(first - reach(step)), math.ceil(last + reach(step)))
    nearest = math.floor((first + last) / 2 + 0.5)
    return filled or range(nearest, nearest + 1)


def gap_notes(positions: Sequence[float], filled: Sequence[range], slices: int, step: float, near: float) -> list[str]:
    """What a reader has to know of slices without a contour: which were filled, which were left empty.

    Parameters
    ----------
    positions: of the planes, ascending. filled: the slices of each stack. slices: how many the image has.
    """
    planes = np.asarray(positions)
    within = [k for stack in filled for k in stack if 0 <= k < slices and np.abs(planes - k).min() > 0.5]
    forgotten = [k for k in within if _gap_around(k, planes) > max(1.0, step) + near]
    empty = [k for lower, upper in pairwise(filled) for k in range(lower.stop, upper.start) if 0 <= k < slices]
    notes = []
    if any(position != round(position) for position in positions):
        notes.append("contour planes lie between the slices: shapes were interpolated")
    if len(within) > len(forgotten):
        notes.append(
            f"contours on every {step:.3g} slices: {len(within) - len(forgotten)} filled from those beside them"
        )
    if forgotten:
        notes.append(f"slices without a contour, filled from those beside them: {_listed(forgotten)} (the first is 0)")
    if empty:
        notes.append(f"slices without a contour, left empty between separate parts: {_listed(empty)} (the first is 0)")
    return notes


def _gap_around(index: int, planes: np.ndarray) -> float:
    """Distance of the planes below and above a slice; 0 beyond the ends."""
    above = int(np.searchsorted(planes, index))
    return float(planes[above] - planes[above - 1]) if 0 < above < len(planes) else 0.0


def _listed(slices: Sequence[int]) -> str:
    """[3, 4, 5, 9] -> "3-5, 9"."""
    ordered = np.unique(slices)
    runs = np.split(ordered, np.flatnonzero(np.diff(ordered) > 1) + 1)
    return ", ".join(f"{run[0]}" if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs)
