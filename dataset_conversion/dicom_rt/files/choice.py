"""Which of a patient's objects make the case, by fixed rules that are printed where they decided.

A rule keeps the best candidates and hands them to the next; where all are passed, the first path wins.

structure set: its CT is here, has most of the mandatory structures, approved before unapproved before rejected, has a
    dose planned on it, newest.
CT: the one that the structure set was drawn on. Only where a structure set names no images, any CT in its frame.
dose: in Gy, planned on this structure set, sum over several plans, approved plan, newest plan, newest dose. A dose in
    the CT's frame that was planned on another structure set is taken if there is no other, with a note.
image of a channel: its earliest pattern in the mapping file, registered or in the CT's frame, nearest in time to the
    CT, most slices.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from nnunet_doselo.common.errors import DoseloError

from .headers import Header
from .patients import DicomPatient, Series

Candidate = TypeVar("Candidate")
Rules = Sequence[tuple[str, Callable[[Any], Any]]]
APPROVAL = {"APPROVED": 2, "REJECTED": 0}
UNSTATED = 1


class NoCase(DoseloError):
    """The patient has no structure set, or no CT for one: there is nothing to convert, and nothing went wrong."""


@dataclass(frozen=True)
class ChosenObjects:
    """What a case is made of. `images`: by channel; `why`: one line for each choice among several."""

    ct: Series
    structure_set: Header
    doses: tuple[Header, ...]
    images: dict[str, Series]
    registrations: tuple[Path, ...]
    why: tuple[str, ...]


def choose_objects(
    patient: DicomPatient, missing: Callable[[Sequence[str]], int], channels: Mapping[str, Sequence[str]]
) -> ChosenObjects:
    """The patient's case.

    Parameters
    ----------
    missing: how many mandatory structures a list of ROI names lacks.
    channels: regular expressions for series descriptions, by network channel; empty: the network sees the CT.

    Raises
    ------
    NoCase: no structure set, or none whose CT is here.
    DoseloError: a file of the patient is damaged; slices are missing; no series for a channel.
    """
    _check_readable(patient)
    structure_set, ct, why = _structure_set(patient, missing)
    _check_complete(patient, structure_set, ct)
    doses, why_dose = _doses(patient, structure_set, ct)
    images, why_images = {}, []
    for channel, patterns in channels.items():
        images[channel], reason = _image(patient, ct, channel, patterns)
        why_images.append(reason)
    registrations = tuple(header.path for header in patient.of_kind("REG"))
    return ChosenObjects(
        ct, structure_set, doses, images, registrations, tuple(filter(None, [why, why_dose, *why_images]))
    )


def link(patient: DicomPatient, ct: Series, moving: Series) -> str:
    """How an image finds its place on the CT: "same frame", "registration object" or "" (to be registered)."""
    if moving.frame and moving.frame == ct.frame:
        return "same frame"
    reached, known = {ct.frame} - {""}, set[str]()
    while reached != known:
        known = reached
        reached = reached.union(*(reg.frames for reg in patient.of_kind("REG") if reg.frames & reached))
    return "registration object" if moving.frame in reached else ""


def _structure_set(patient: DicomPatient, missing: Callable[[Sequence[str]], int]) -> tuple[Header, Series, str]:
    structure_sets = patient.of_kind("RTSTRUCT")
    cts = {header.instance: ct for header in structure_sets if (ct := _ct_of(patient, header))}
    if not structure_sets:
        raise NoCase("no structure set")
    if not cts:
        others = f"{len(patient.images('CT'))} other CT series" if patient.images("CT") else "no CT"
        raise NoCase(f"the CT that the structure set was drawn on is not here ({others})")
    planned = {uid for dose in patient.of_kind("RTDOSE") for uid in _structures_of(patient, dose)}
    rules: Rules = [
        ("its mandatory structures", lambda header: -missing(header.roi_names)),
        ("approved", lambda header: _approval(header)),
        ("has a dose planned on it", lambda header: header.instance in planned),
        ("newest", lambda header: header.date),
    ]
    best, why = _pick("structure set", [header for header in structure_sets if header.instance in cts], rules)
    return best, cts[best.instance], why


def _ct_of(patient: DicomPatient, structure_set: Header) -> Series | None:
    """The CT that a structure set was drawn on, if it is here."""
    drawn_on = structure_set.drawn_on
    if drawn_on:
        cts = [ct for ct in patient.images("CT") if _images_on(structure_set, ct) is not None]
    else:
        cts = [ct for ct in patient.images("CT") if ct.frame in structure_set.frames]
    return max(
        cts, key=lambda ct: (len(ct.instances & (_images_on(structure_set, ct) or set())), ct.date), default=None
    )


def _images_on(structure_set: Header, ct: Series) -> frozenset[str] | None:
    """The images of a CT that a structure set refers to (it may name the series alone); None: another series."""
    for uid, images in structure_set.drawn_on:
        if uid == ct.uid or images & ct.instances:
            return images
    return None


def _check_readable(patient: DicomPatient) -> None:
    """A damaged file must not end in a case with fewer slices, or without a dose."""
    if patient.unreadable:
        more = f" (and {len(patient.unreadable) - 1} more of this patient)" if patient.unreadable[1:] else ""
        raise DoseloError(patient.unreadable[0].message + more)


def _check_complete(patient: DicomPatient, structure_set: Header, ct: Series) -> None:
    """Slices that are missing at an end leave no gap: the structure set tells."""
    drawn_on = _images_on(structure_set, ct) or frozenset()
    absent = len(drawn_on - patient.instances)
    if absent:
        raise DoseloError(
            f"{structure_set.path}: was drawn on {len(drawn_on)} images, of which {absent} are not here; export the "
            "whole CT again"
        )


def _doses(patient: DicomPatient, structure_set: Header, ct: Series) -> tuple[tuple[Header, ...], str]:
    """The files of one plan's dose, or of one sum of plans: one total, or its beams or fractions. () without any."""

    def on_it(doses: list[Header]) -> bool:
        return any(structure_set.instance in _structures_of(patient, dose) for dose in doses)

    groups: dict[frozenset[str], list[Header]] = defaultdict(list)
    for dose in patient.of_kind("RTDOSE"):
        groups[dose.plans or frozenset({dose.series})].append(dose)
    candidates = [doses for doses in groups.values() if on_it(doses) or (ct.frame and ct.frame in doses[0].frames)]
    if not candidates:
        return (), ""
    rules: Rules = [
        ("in Gy", lambda doses: all(dose.is_absolute for dose in doses)),
        ("planned on this structure set", on_it),
        ("sum of several plans", lambda doses: doses[0].summation == "MULTI_PLAN"),
        ("approved plan", lambda doses: min(map(_approval, _plans_of(patient, doses[0])), default=UNSTATED)),
        ("newest plan", lambda doses: max((plan.date for plan in _plans_of(patient, doses[0])), default="")),
        ("newest", lambda doses: max(dose.date for dose in doses)),
    ]
    best, why = _pick("dose", candidates, rules, path=lambda doses: doses[0].path)
    if any(_structures_of(patient, dose) for dose in best) and not on_it(best):
        why = f"{why or f'dose: {best[0].path}'}; it was planned on another structure set"
    return _one_total(best, why)


def _one_total(doses: list[Header], why: str) -> tuple[tuple[Header, ...], str]:
    """The newest total where a plan has several (calculated twice); else all of them, for the reader to add up."""
    totals = [dose for dose in doses if dose.summation in ("PLAN", "MULTI_PLAN")]
    if len(totals) < 2:
        return tuple(doses), why
    newest, reason = _pick("dose of the plan", totals, [("newest", lambda dose: dose.date)])
    return (newest,), "; ".join(filter(None, [why, reason]))


def _plans_of(patient: DicomPatient, dose: Header) -> list[Header]:
    return [plan for plan in patient.of_kind("RTPLAN") if plan.instance in dose.plans]


def _structures_of(patient: DicomPatient, dose: Header) -> frozenset[str]:
    """The structure sets that a dose was made for, by its own word and by its plans'."""
    return dose.of_structures.union(*(plan.of_structures for plan in _plans_of(patient, dose)))


def _image(patient: DicomPatient, ct: Series, channel: str, patterns: Sequence[str]) -> tuple[Series, str]:
    """The series of a channel. MR before CT is no rule: the pattern says which one is meant."""

    def first_match(series: Series) -> int | None:
        hits = [i for i, pattern in enumerate(patterns) if re.search(pattern, series.description, re.IGNORECASE)]
        return min(hits, default=None)

    candidates = [series for series in patient.images("MR") if first_match(series) is not None]
    if not candidates:
        raise DoseloError(
            f"no MR series for the image {channel}: none of {len(patient.images('MR'))} series descriptions matches "
            f"{list(patterns)}; add a pattern to the mapping file's images"
        )
    rules: Rules = [
        ("earliest pattern", lambda series: -(first_match(series) or 0)),
        ("linked to the CT", lambda series: bool(link(patient, ct, series))),
        ("nearest in time to the CT", lambda series: -_days_apart(series.date, ct.date)),
        ("most slices", lambda series: len(series.files)),
    ]
    return _pick(f"image {channel}", candidates, rules, path=lambda series: series.files[0])


def _days_apart(date: str, other: str) -> float:
    """Infinite where a date is missing or no date."""
    try:
        return abs((datetime.strptime(date[:8], "%Y%m%d") - datetime.strptime(other[:8], "%Y%m%d")).days)
    except ValueError:
        return float("inf")


def _approval(header: Header) -> int:
    return APPROVAL.get(header.approval.upper(), UNSTATED)


def _pick(
    what: str,
    candidates: Sequence[Candidate],
    rules: Rules,
    path: Callable[[Any], Path] = lambda candidate: candidate.path,
) -> tuple[Candidate, str]:
    """The best candidate, and the rules that decided ("" for the only one)."""
    left, decided = sorted(candidates, key=path), []
    for name, rank in rules:
        ranks = [rank(candidate) for candidate in left]
        kept = [candidate for candidate, rank_of_it in zip(left, ranks, strict=True) if rank_of_it == max(ranks)]
        decided += [name] if len(kept) < len(left) else []
        left = kept
    reason = ", ".join(decided + (["first path"] if len(left) > 1 else []))
    return left[0], f"{what}: {path(left[0])} of {len(candidates)} ({reason})" if len(candidates) > 1 else ""
