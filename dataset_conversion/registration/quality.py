"""Whether a registration can be right: impossible ones are refused, doubtful ones named."""

from collections.abc import Mapping

from nnunet_doselo.common.errors import DoseloError

LEAST_OVERLAP, LITTLE_OVERLAP = 0.3, 0.6
LITTLE_INFORMATION, LARGE_TURN_DEG = 0.15, 30.0
STARTS, FEW_STARTS = 9, 3
WORSE = 0.01
"""Mutual information that a result may lack of its start's: the start may have been right."""


def check(quality: Mapping[str, float]) -> None:
    """`quality` is that of `rigid.Registered`.

    Raises
    ------
    DoseloError: less than 30 % of the content is seen by both; the result matches worse than its start.
    """
    overlap = quality["overlap"]
    after, before = quality["mutual_information"], quality["mutual_information_start"]
    if overlap < LEAST_OVERLAP:
        raise DoseloError(
            f"registration failed: the images must show the same part of the patient, found {overlap:.0%} in common; "
            "check that both are of one patient, or align them beforehand"
        )
    if after < before - WORSE:
        raise DoseloError(
            "registration failed: its result must not match worse than its start, mutual information fell from "
            f"{before:.3f} to {after:.3f}; align the images beforehand"
        )


def doubts(quality: Mapping[str, float]) -> tuple[str, ...]:
    """Why a person should look at this registration first, in words; none as a rule."""
    agreeing, overlap, turn_deg = quality["agreeing_starts"], quality["overlap"], quality["rotation_deg"]
    information = quality["mutual_information"]
    found = (
        (agreeing < FEW_STARTS, f"only {agreeing:.0f} of {STARTS} starts led there"),
        (overlap < LITTLE_OVERLAP, f"only {overlap:.0%} of the content is in both"),
        (turn_deg > LARGE_TURN_DEG, f"turned by {turn_deg:.0f} degrees"),
        (information < LITTLE_INFORMATION, f"mutual information of only {information:.2f}"),
    )
    return tuple(doubt for holds, doubt in found if holds)
