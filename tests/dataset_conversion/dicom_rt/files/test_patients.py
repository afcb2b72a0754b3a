"""Headers become patients, and of a patient's objects the right ones are chosen, for reasons that are told."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from nnunet_doselo.common.errors import DoseloError
from nnunet_doselo.dataset_conversion.dicom_rt.files.choice import ChosenObjects, NoCase, choose_objects, link
from nnunet_doselo.dataset_conversion.dicom_rt.files.headers import Header, Scan, Unreadable
from nnunet_doselo.dataset_conversion.dicom_rt.files.patients import DicomPatient, patients_of

CHANNELS = {"T1c": [r"t1.*(gd|km)", "mprage"]}


def header(kind: str, name: str, **more: object) -> Header:
    """An object whose UIDs are short words; images are slices of the series they are named after."""
    values: dict[str, Any] = {"patient_id": "A", "issuer": "", "study": "study", "date": "20200101"}
    values |= {"series": name, "instance": name}
    if kind in ("CT", "MR", "RTDOSE"):
        values |= {"frames": frozenset({"frame"})}
    return Header(path=Path("source", name), kind=kind, **(values | more))


def ct(series: str = "ct", slices: int = 3, **more: object) -> list[Header]:
    return [header("CT", f"{series}{i}", series=series, **more) for i in range(slices)]


def rtss(name: str = "rtss", on: Sequence[Header] = (), **more: object) -> Header:
    images = on or ct()
    drawn_on = ((images[0].series, frozenset(image.instance for image in images)),)
    return header("RTSTRUCT", name, **({"drawn_on": drawn_on, "roi_names": ("GTV",)} | more))


def dose(name: str, **more: object) -> Header:
    return header("RTDOSE", name, **({"summation": "PLAN"} | more))


def plan(name: str, of: str, **more: object) -> Header:
    return header("RTPLAN", name, of_structures=frozenset({of}), **more)


def mr(series: str, description: str, slices: int = 3, **more: object) -> list[Header]:
    return [header("MR", f"{series}{i}", series=series, description=description, **more) for i in range(slices)]


def scanned(*headers: Header, unreadable: Sequence[Unreadable] = ()) -> Scan:
    return Scan(headers, tuple(unreadable), 0, Counter(), 0)


def patient_of(*headers: Header) -> DicomPatient:
    (patient,), _ = patients_of(scanned(*headers))
    return patient


def chosen_of(*headers: Header, channels: dict[str, list[str]] | None = None) -> ChosenObjects:
    return choose_objects(patient_of(*headers), lambda names: int("GTV" not in names), channels or {})


def test_a_patient_is_an_id_over_all_studies() -> None:
    patients, _ = patients_of(
        scanned(*ct(), rtss(study="other"), header("REG", "reg", patient_id="B"), *mr("mr", "t1", study="third"))
    )
    assert [(p.key, len(p.series), len(p.objects)) for p in patients] == [("A", 2, 1), ("B", 0, 1)]


def test_the_same_id_of_two_issuers_is_two_patients() -> None:
    one = header("CT", "ct1", issuer="X", study="s1")
    two = header("CT", "ct2", issuer="Y", study="s2")
    without = header("RTSTRUCT", "rtss", study="s2")
    patients, _ = patients_of(scanned(one, two, without))
    assert {p.key: len(p.objects) for p in patients} == {"A (X)": 0, "A (Y)": 1}


def test_an_object_without_issuer_joins_the_only_one() -> None:
    patients, _ = patients_of(scanned(header("CT", "ct", issuer="X"), header("RTSTRUCT", "rtss", study="other")))
    assert [p.key for p in patients] == ["A (X)"]


def test_without_ids_a_study_is_a_patient() -> None:
    patients, _ = patients_of(
        scanned(*(header("CT", f"ct{i}", patient_id="", study=study) for i, study in enumerate("112")))
    )
    assert [len(p.series) for p in patients] == [2, 1]


def test_a_damaged_file_belongs_to_its_id_or_to_the_only_patient_of_its_folder() -> None:
    lost = [
        Unreadable(Path("elsewhere", "x"), "x: is damaged", "B"),
        Unreadable(Path("source", "y"), "y: is damaged", ""),
        Unreadable(Path("elsewhere", "z"), "z: is damaged", ""),
    ]
    of_b = header("RTSTRUCT", "b/rtss", patient_id="B")
    patients, nobodys = patients_of(scanned(header("CT", "ct"), of_b, unreadable=lost))
    assert {p.key: [file.path.name for file in p.unreadable] for p in patients} == {"A": ["y"], "B": ["x"]}
    assert [file.path.name for file in nobodys] == ["z"]


def test_one_of_each_needs_no_choice() -> None:
    chosen = chosen_of(*ct(), rtss(), dose("rd"))
    assert (chosen.ct.uid, chosen.structure_set.instance) == ("ct", "rtss")
    assert [d.instance for d in chosen.doses] == ["rd"]
    assert chosen.why == ()


def test_the_ct_is_the_one_that_the_structure_set_was_drawn_on() -> None:
    other = ct("a_ct", 9)
    assert chosen_of(*other, *ct(), rtss()).ct.uid == "ct"
    assert chosen_of(*other, *ct(), rtss(drawn_on=(("ct", frozenset()),))).ct.uid == "ct"


def test_a_structure_set_without_references_takes_the_ct_of_its_frame() -> None:
    other = ct("a_ct", 9, frames=frozenset({"another"}))
    assert chosen_of(*other, *ct(), rtss(drawn_on=(), frames=frozenset({"frame"}))).ct.uid == "ct"


@pytest.mark.parametrize(
    ("first", "second", "reason"),
    [
        ({"roi_names": ("GTV",)}, {"roi_names": ("Brain",), "approval": "APPROVED"}, "its mandatory structures"),
        ({"approval": "APPROVED"}, {"date": "20210101"}, "approved"),
        ({"approval": "UNAPPROVED"}, {"date": "20210101", "approval": "REJECTED"}, "approved"),
        ({"date": "20200103"}, {"date": "20200102235959"}, "newest"),
        ({}, {}, "first path"),
    ],
)
def test_of_two_structure_sets_one_is_chosen_and_the_reason_told(first: dict, second: dict, reason: str) -> None:
    """The better one has the first path only where nothing else decides."""
    names = ("a", "b") if reason == "first path" else ("b", "a")
    chosen = chosen_of(*ct(), rtss(names[0], **first), rtss(names[1], **second))
    assert chosen.structure_set.instance == names[0]
    assert chosen.why == (f"structure set: source/{names[0]} of 2 ({reason})",)


def test_of_two_structure_sets_the_planned_one_is_before_the_newest() -> None:
    objects = [*ct(), rtss("old"), rtss("new", date="20210101"), plan("rp", of="old")]
    chosen = chosen_of(*objects, dose("rd", plans=frozenset({"rp"})))
    assert chosen.why == ("structure set: source/old of 2 (has a dose planned on it)",)


def test_a_structure_set_of_a_ct_that_is_not_here_is_no_candidate() -> None:
    chosen = chosen_of(*ct(), rtss("old"), rtss("new", on=ct("elsewhere"), date="20210101"))
    assert (chosen.structure_set.instance, chosen.why) == ("old", ())


def test_patients_without_structure_set_or_ct_are_no_cases() -> None:
    with pytest.raises(NoCase, match="no structure set"):
        chosen_of(*ct())
    with pytest.raises(NoCase, match=r"CT that the structure set was drawn on is not here \(no CT\)"):
        chosen_of(rtss())
    with pytest.raises(NoCase, match=r"is not here \(1 other CT series\)"):
        chosen_of(*ct("elsewhere"), rtss())


def test_a_ct_that_lacks_slices_is_refused_and_scouts_count() -> None:
    with pytest.raises(DoseloError, match=r"source/rtss: was drawn on 3 images, of which 1 are not here"):
        chosen_of(*ct(slices=2), rtss())
    scout = header("localiser", "ct2", series="ct")
    assert len(chosen_of(*ct(slices=2), scout, rtss()).ct.files) == 2


def test_a_damaged_file_fails_its_patient() -> None:
    lost = [Unreadable(Path("source", name), f"source/{name}: is damaged", "A") for name in "xy"]
    (patient,), _ = patients_of(scanned(*ct(), rtss(), unreadable=lost))
    with pytest.raises(DoseloError, match=r"source/x: is damaged \(and 1 more of this patient\)"):
        choose_objects(patient, lambda names: 0, {})


def test_doses_elsewhere_are_not_taken() -> None:
    assert chosen_of(*ct(), rtss(), dose("rd", frames=frozenset({"another"}))).doses == ()


@pytest.mark.parametrize(
    ("best", "other", "reason"),
    [
        ({"plans": {"on_it"}}, {"plans": {"on_other"}}, "planned on this structure set"),
        ({"of_structures": {"rtss"}}, {}, "planned on this structure set"),
        ({"plans": {"on_it", "x"}, "summation": "MULTI_PLAN"}, {"plans": {"approved"}}, "sum of several plans"),
        ({"plans": {"approved"}}, {"plans": {"on_it"}}, "approved plan"),
        ({"plans": {"new"}}, {"plans": {"on_it"}}, "newest plan"),
        ({"is_absolute": True}, {"is_absolute": False, "date": "20210101"}, "in Gy"),
        ({"date": "20210101"}, {}, "newest"),
    ],
)
def test_of_several_doses_one_is_chosen_and_the_reason_told(best: dict, other: dict, reason: str) -> None:
    plans = [
        plan("on_it", of="rtss"),
        plan("on_other", of="old"),
        plan("approved", of="rtss", approval="APPROVED"),
        plan("new", of="rtss", date="20210101"),
    ]
    frozen = [{k: frozenset(v) if isinstance(v, set) else v for k, v in d.items()} for d in (best, other)]
    chosen = chosen_of(*ct(), rtss(), *plans, dose("b", **frozen[0]), dose("a", **frozen[1]))
    assert [d.instance for d in chosen.doses] == ["b"]
    assert chosen.why == (f"dose: source/b of 2 ({reason})",)


def test_a_dose_of_another_structure_set_is_taken_with_a_note() -> None:
    chosen = chosen_of(*ct(), rtss(), plan("rp", of="old"), dose("rd", plans=frozenset({"rp"})))
    assert chosen.why == ("dose: source/rd; it was planned on another structure set",)


def test_the_beams_of_a_plan_stay_together_and_of_two_totals_the_newest_is_taken() -> None:
    plans = frozenset({"rp"})
    beams = [dose(name, plans=plans, summation="BEAM") for name in ("b1", "b2")]
    assert [d.instance for d in chosen_of(*ct(), rtss(), *beams).doses] == ["b1", "b2"]
    chosen = chosen_of(*ct(), rtss(), *beams, dose("p1", plans=plans, date="20200103"), dose("p2", plans=plans))
    assert [d.instance for d in chosen.doses] == ["p1"]
    assert chosen.why == ("dose of the plan: source/p1 of 2 (newest)",)


def test_images_are_found_by_their_description() -> None:
    scans = [*mr("a", "T2 tra"), *mr("b", "T1 KM tra"), *mr("c", "MPRAGE")]
    chosen = chosen_of(*ct(), rtss(), *scans, channels=CHANNELS)
    assert chosen.images["T1c"].uid == "b"
    assert chosen.why == ("image T1c: source/b0 of 2 (earliest pattern)",)
    with pytest.raises(DoseloError, match=r"no MR series for the image FLAIR: none of 3 series descriptions matches"):
        chosen_of(*ct(), rtss(), *scans, channels={"FLAIR": ["flair"]})


@pytest.mark.parametrize(
    ("best", "other", "reason"),
    [
        ({}, {"frames": frozenset({"another"}), "slices": 9}, "linked to the CT"),
        ({"date": "20191230"}, {"date": "20200301", "slices": 9}, "nearest in time to the CT"),
        ({"slices": 4}, {}, "most slices"),
    ],
)
def test_of_several_images_one_is_chosen_and_the_reason_told(best: dict, other: dict, reason: str) -> None:
    chosen = chosen_of(*ct(), rtss(), *mr("b", "mprage", **best), *mr("a", "mprage", **other), channels=CHANNELS)
    assert chosen.images["T1c"].uid == "b"
    assert chosen.why == (f"image T1c: source/b0 of 2 ({reason})",)


def test_images_are_linked_by_frames_and_by_chains_of_registrations() -> None:
    far, lost = (mr(name, "mprage", frames=frozenset({name})) for name in ("far", "lost"))
    regs = [
        header("REG", "r1", frames=frozenset({"frame", "between"})),
        header("REG", "r2", frames=frozenset({"between", "far"})),
    ]
    patient = patient_of(*ct(), *mr("near", "mprage"), *far, *lost, *regs)
    planning = patient.images("CT")[0]
    links = {series.uid: link(patient, planning, series) for series in patient.images("MR")}
    assert links == {"near": "same frame", "far": "registration object", "lost": ""}
