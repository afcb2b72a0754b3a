"""Rigid registration of two images of one patient, whatever their contrasts: Mattes mutual information.

Several starts on coarse voxels, the best go on to finer voxels. Seeded, and on one thread: the same images give the
same transform, bit for bit. Results that cannot be right are refused, doubtful ones named.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk

from nnunet_doselo.common.errors import DoseloError

from .content import binned, content, points_mm, share_inside, shifted, turned
from .matching import (
    COARSE,
    FINE,
    FINEST,
    MEDIUM,
    Match,
    Pair,
    best,
    information_at,
    on_fixed_mm,
    one_thread,
    paired,
    refined,
)

SAME_MM, FOLLOWED = 6.0, 3
"""Coarse matches nearer than this are one; as many different ones go on to finer voxels."""
LEAST_OVERLAP, LITTLE_OVERLAP = 0.3, 0.6
LITTLE_INFORMATION, LARGE_TURN_DEG = 0.15, 30.0
STARTS, FEW_STARTS = 9, 3
WORSE = 0.01
"""Mutual information that a result may lack of its start's: the start may have been right."""


@dataclass(frozen=True)
class Registered:
    """transform: maps points (x, y, z) of the fixed image to the moving one, in mm, as `sitk.Resample` wants it.

    quality: mutual_information (nats), and that of the start (mutual_information_start); overlap, the share of one
    image's content in the other's field of view, the larger of both; translation_mm of the content's centre;
    rotation_deg; agreeing_starts, how many of nine starts ended within 6 mm of the result.
    doubts: in words, why to look at this one first; none as a rule.
    """

    transform: sitk.Transform
    quality: dict[str, float]
    doubts: tuple[str, ...] = ()


def register_rigid(fixed: sitk.Image, moving: sitk.Image, *, seed: int = 0) -> Registered:
    """Find how `moving` lies on `fixed`: `sitk.Resample(moving, fixed, transform)`.

    Parameters
    ----------
    fixed: as a rule the CT in HU.
    moving: of any contrast, spacing, direction and field of view; with the skull or without.
    seed: which voxels are compared; not below 0.

    Raises
    ------
    DoseloError: an image is no volume, not finite or empty; no start leads anywhere; less than 30 % of the content is
    seen by both; the result is worse than where it began.
    """
    with one_thread():
        pair = paired(fixed, moving, seed)
        fixed_mm = points_mm(content(binned(pair.fixed, COARSE.voxel_mm)))
        coarse = _coarse(pair, fixed_mm)
        match = best(refined(pair, [candidate.transform for candidate in _different(pair, coarse)], MEDIUM))
        for level in (FINE, FINEST):
            match = best(refined(pair, [match.transform], level))
        quality = {
            "mutual_information": match.information,
            "mutual_information_start": information_at(pair, coarse[0].start, FINEST),
            "overlap": _overlap(pair, fixed_mm, match.transform),
            "agreeing_starts": float(len(_like(pair, match, coarse))),
            **_size(pair, match.transform),
        }
    require_plausible(quality)
    return Registered(match.transform, quality, doubts(quality))


def _coarse(pair: Pair, fixed_mm: np.ndarray) -> list[Match]:
    """From every shift, and from the best of them turned; the best match first."""
    straight = refined(pair, shifted(fixed_mm, pair.moving_mm), COARSE)
    askew = refined(pair, turned(best(straight).start), COARSE)
    return sorted([*straight, *askew], key=lambda match: -match.information)


def _different(pair: Pair, matches: Iterable[Match]) -> list[Match]:
    """The first few that are not all but the same."""
    kept: list[Match] = []
    for match in matches:
        if not _like(pair, match, kept):
            kept.append(match)
    return kept[:FOLLOWED]


def _like(pair: Pair, match: Match, others: Iterable[Match]) -> list[Match]:
    """Those that put the moving image's content where `match` does, to 6 mm."""
    here = on_fixed_mm(match.transform, pair.moving_mm)
    apart = ((on_fixed_mm(other.transform, pair.moving_mm) - here, other) for other in others)
    return [other for difference, other in apart if np.linalg.norm(difference, axis=1).max() < SAME_MM]


def _overlap(pair: Pair, fixed_mm: np.ndarray, transform: sitk.Transform) -> float:
    there = np.array([transform.TransformPoint(point) for point in fixed_mm.tolist()])
    here = on_fixed_mm(transform, pair.moving_mm)
    return max(share_inside(pair.fixed, here), share_inside(pair.moving, there))


def _size(pair: Pair, transform: sitk.Euler3DTransform) -> dict[str, float]:
    centre = pair.moving_mm.mean(axis=0)
    moved = centre - on_fixed_mm(transform, centre[None])[0]
    cosine = (np.trace(np.array(transform.GetMatrix()).reshape(3, 3)) - 1) / 2
    return {
        "translation_mm": float(np.linalg.norm(moved)),
        "rotation_deg": float(np.degrees(np.arccos(np.clip(cosine, -1, 1)))),
    }


def require_plausible(quality: Mapping[str, float]) -> None:
    """`quality` is that of `rigid.Registered`.

    Raises
    ------
    DoseloError: less than 30 % of the content is seen by both; the result matches worse than its start.
    """
    overlap = quality["overlap"]
    information, at_start = quality["mutual_information"], quality["mutual_information_start"]
    if overlap < LEAST_OVERLAP:
        raise DoseloError(
            f"registration failed: the images must show the same part of the patient, found {overlap:.0%} in common; "
            "check that both are of one patient, or align them beforehand"
        )
    if information < at_start - WORSE:
        raise DoseloError(
            "registration failed: its result must not match worse than its start, mutual information fell from "
            f"{at_start:.3f} to {information:.3f}; align the images beforehand"
        )


def doubts(quality: Mapping[str, float]) -> tuple[str, ...]:
    """Why a person should look at this registration first, in words; none as a rule."""
    agreeing, overlap, turn_deg = quality["agreeing_starts"], quality["overlap"], quality["rotation_deg"]
    information = quality["mutual_information"]
    reasons = (
        (agreeing < FEW_STARTS, f"only {agreeing:.0f} of {STARTS} starts led there"),
        (overlap < LITTLE_OVERLAP, f"only {overlap:.0%} of the content is in both"),
        (turn_deg > LARGE_TURN_DEG, f"turned by {turn_deg:.0f} degrees"),
        (information < LITTLE_INFORMATION, f"mutual information of only {information:.2f}"),
    )
    return tuple(doubt for holds, doubt in reasons if holds)
