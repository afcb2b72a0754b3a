"""From images and masks to a case: what is resampled how, what is refused, what the record says."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import phantoms
import pytest
import SimpleITK as sitk

from nnunet_doselo.common.errors import DoseloError
from nnunet_doselo.dataset.folder import ExtendedDataset
from nnunet_doselo.dataset.geometry import Grid
from nnunet_doselo.dataset.images import as_image
from nnunet_doselo.dataset_conversion.cases.assemble import PatientImages, to_case, write_case
from nnunet_doselo.dataset_conversion.cases.writer import DatasetWriter
from nnunet_doselo.dataset_conversion.grids.common_grid import GridSettings
from nnunet_doselo.dataset_conversion.names.structure_names import NameMap, read_name_map
from nnunet_doselo.dataset_conversion.verify import verify_dataset

NAMES = """
targets: {GTV: {gy: 60}, PTV: {gy: 54}}
organs: {Brain: {}, Brainstem: {mandatory: true}, Eye: {paired: true}}
body: {External: {}}
"""
OWN = GridSettings(spacing_mm=None, crop_to_body=False)
GRID = phantoms.grid_for()


@pytest.fixture
def name_map(tmp_path: Path) -> NameMap:
    file = tmp_path / "names.yaml"
    file.write_text(NAMES)
    return read_name_map(file)


def patient(**changes: object) -> PatientImages:
    """The phantom on its own grid of 3 mm: water of known place, an MR, a dose."""
    organs = phantoms.organs()
    masks = {"GTV": phantoms.target(), "Brainstem": organs["Brainstem"], "Eye_L": organs["Eye_L"]}
    whole = PatientImages(
        ct=as_image(phantoms.head_ct(), GRID),
        images={"T1": as_image(phantoms.mr_image(), GRID)},
        masks=masks,
        dose=as_image(phantoms.dose_for(phantoms.target()), GRID),
        native_dose_max_gy=61.5,
        alignment={"T1": {"how": "same frame", "metric": 0.5}},
        notes=("read with care",),
    )
    return replace(whole, **changes)  # type: ignore[arg-type]


def with_masks(**masks: np.ndarray) -> PatientImages:
    whole = patient()
    return replace(whole, masks={**whole.masks, **masks})


def test_on_the_cts_own_voxels_everything_stays_as_it_is(name_map: NameMap) -> None:
    case, _ = to_case(patient(), "GBM_001", name_map, ["T1", "CT"], OWN)
    organs = phantoms.organs()
    assert case.grid.differences(GRID) == []
    assert case.images[1] is None
    assert np.array_equal(case.images[0], phantoms.mr_image())
    assert np.array_equal(case.ct_hu, phantoms.head_ct())
    assert np.array_equal(case.dose_gy, phantoms.dose_for(phantoms.target()))
    assert np.array_equal(case.labels, phantoms.target() * 1)
    # Brain 1, Brainstem 2, Eye_L 3, Eye_R 4: the file's order, whoever is there
    assert np.array_equal(case.oars, organs["Brainstem"] * 2 + organs["Eye_L"] * 3)


def test_outside_of_images_there_is_air_and_nothing(name_map: NameMap) -> None:
    half = as_image(np.full((4, 4, 4), 7, np.float32), Grid((4, 4, 4), GRID.spacing, GRID.origin, GRID.direction))
    settings = GridSettings(None, crop_to_body=False, in_plane=40)
    case, _ = to_case(patient(images={"T1": half}, dose=half), "GBM_001", name_map, ["T1"], settings)
    image, dose_gy = case.images[0], case.dose_gy
    assert image is not None
    assert dose_gy is not None
    assert case.ct_hu.shape == image.shape == (16, 40, 40)
    assert (case.ct_hu[:, 0, 0] == -1024).all()
    assert np.count_nonzero(image == 7) == np.count_nonzero(dose_gy == 7) == 64
    assert {*np.unique(image)} == {0, 7}


def test_higher_doses_and_smaller_organs_lie_on_top_and_losses_are_recorded(name_map: NameMap) -> None:
    head, target, organs = phantoms.head(), phantoms.target(), phantoms.organs()
    case, record = to_case(with_masks(PTV=head, Brain=head), "GBM_001", name_map, ["CT"], OWN)
    assert np.array_equal(case.labels, np.where(target, 1, np.where(head, 2, 0)))
    assert np.array_equal(case.oars, np.where(organs["Eye_L"], 3, np.where(organs["Brainstem"], 2, head)))
    voxel_cc = 0.027
    assert {(one["kept"], one["lost"]): one["cc"] for one in record.overlaps_cc} == {
        ("GTV", "PTV"): pytest.approx(target.sum() * voxel_cc),
        ("Brainstem", "Brain"): pytest.approx(organs["Brainstem"].sum() * voxel_cc),
        ("Eye_L", "Brain"): pytest.approx(organs["Eye_L"].sum() * voxel_cc),
    }
    assert record.volumes_cc["PTV"] == {
        "contoured": pytest.approx(head.sum() * voxel_cc),
        "in_dataset": pytest.approx((head.sum() - target.sum()) * voxel_cc),
    }


def test_the_body_contour_sets_the_box_and_is_no_organ(name_map: NameMap) -> None:
    body = np.zeros(phantoms.SHAPE, bool)
    body[2:14, 4:28, 4:28] = True
    settings = GridSettings(None)
    case, record = to_case(with_masks(External=body), "GBM_001", name_map, ["CT"], settings)
    # a margin of 5 mm is 2 voxels
    assert case.grid.size == (28, 28, 16)
    assert 4 not in case.oars
    assert "External" not in record.volumes_cc


def test_without_dose_there_is_none(name_map: NameMap) -> None:
    case, record = to_case(patient(dose=None, native_dose_max_gy=None), "GBM_001", name_map, ["CT"], OWN)
    assert (case.dose_gy, record.native_dose_max_gy, record.dose_max_gy) == (None, None, None)


def test_what_looks_wrong_is_noted(name_map: NameMap) -> None:
    ct_hu, dose = as_image(phantoms.head_ct() + 1024, GRID), patient().dose * 100
    _, record = to_case(patient(ct=ct_hu, dose=dose), "GBM_001", name_map, ["CT"], OWN)
    assert record.notes[0] == "read with care"
    assert [note.split(",")[0] for note in record.notes[1:]] == [
        "ct must be in HU with air near -1000",
        "dose must be in Gy",
    ]


def test_a_structure_that_the_grid_cannot_show_is_noted(name_map: NameMap) -> None:
    speck = np.zeros(phantoms.SHAPE, bool)
    speck[8, 16, 20] = True
    _, record = to_case(with_masks(Eye_L=speck), "GBM_001", name_map, ["CT"], GridSettings(6.0))
    assert "Eye_L is too small for this grid and has no voxel left" in record.notes
    assert record.volumes_cc["Eye_L"] == {"contoured": pytest.approx(0.027), "in_dataset": 0.0}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"Brainstem": False}, "mandatory structures are missing or empty: Brainstem"),
        ({"GTV": False}, "at least one target of GTV, PTV must be drawn, found none"),
    ],
)
def test_a_mandatory_structure_and_a_target_must_be_drawn(
    name_map: NameMap, changes: dict[str, bool], message: str
) -> None:
    empty = {name: np.zeros(phantoms.SHAPE, bool) for name in changes}
    with pytest.raises(DoseloError, match=message):
        to_case(with_masks(**empty), "GBM_001", name_map, ["CT"], OWN)
    absent = {name: mask for name, mask in patient().masks.items() if name not in changes}
    with pytest.raises(DoseloError, match=message):
        to_case(patient(masks=absent), "GBM_001", name_map, ["CT"], OWN)


def test_all_images_must_be_there(name_map: NameMap) -> None:
    with pytest.raises(DoseloError, match="all patients need the images T1, FLAIR, CT, missing FLAIR"):
        to_case(patient(), "GBM_001", name_map, ["T1", "FLAIR", "CT"], OWN)


def test_swapped_sides_are_refused(name_map: NameMap) -> None:
    left = phantoms.organs()["Eye_L"]
    case, _ = to_case(with_masks(Eye_R=left[:, :, ::-1]), "GBM_001", name_map, ["CT"], OWN)
    assert np.count_nonzero(case.oars == 4) == left.sum()
    with pytest.raises(DoseloError, match="left and right are swapped: Eye_L and Eye_R; correct the names"):
        to_case(with_masks(Eye_R=left, Eye_L=left[:, :, ::-1]), "GBM_001", name_map, ["CT"], OWN)


def test_a_written_case_is_a_dataset_that_verifies(name_map: NameMap, tmp_path: Path) -> None:
    writer = DatasetWriter(tmp_path / "Dataset501_GBM")
    writer.begin({"converter": "test"})
    case, record = to_case(patient(), "GBM_001", name_map, ["T1"], GridSettings(2.0))
    write_case(writer, case, record, "Tr")
    writer.finish(["T1"], name_map.labels, name_map.guidance)
    assert verify_dataset(ExtendedDataset(writer.folder)) == []
    written = json.loads((writer.folder / "conversion_records" / "GBM_001.json").read_text())
    assert written["case"] == "GBM_001"
    assert written["grid"]["spacing_mm"] == [2, 2, 2]
    assert written["source_ct"] == {"size": [32, 32, 16], "spacing_mm": [3, 3, 3]}
    assert (written["native_dose_max_gy"], written["alignment"]) == (61.5, {"T1": {"how": "same frame", "metric": 0.5}})
    assert written["dose_max_gy"] == pytest.approx(60, abs=0.01)


def test_a_case_whose_writing_broke_off_is_written_again(
    name_map: NameMap, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = DatasetWriter(tmp_path / "Dataset501_GBM")
    writer.begin({})
    case, record = to_case(patient(), "GBM_001", name_map, ["CT"], OWN)
    with monkeypatch.context() as patched:
        patched.setattr(sitk, "WriteImage", lambda *_, **__: (_ for _ in ()).throw(OSError("disk full")))
        with pytest.raises(OSError, match="disk full"):
            write_case(writer, case, record, "Tr")
    assert not writer.has("GBM_001", "Tr")
    assert not list(writer.folder.rglob(".*"))
    write_case(writer, case, record, "Tr")
    assert writer.has("GBM_001", "Tr")
