"""Cohorts of NIfTI files: layouts, who is found, what becomes of them."""

import csv
import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import phantoms
import pytest
import SimpleITK as sitk
from typer.testing import CliRunner

from nnunet_doselo.cli import app
from nnunet_doselo.common.errors import DoseloError
from nnunet_doselo.dataset.folder import ExtendedDataset
from nnunet_doselo.dataset.geometry import Grid
from nnunet_doselo.dataset.images import grid_of, read_array, write_array
from nnunet_doselo.dataset_conversion.cases.conversion import ConversionSettings, convert_patients
from nnunet_doselo.dataset_conversion.cases.ids import CaseIds, key_file_for
from nnunet_doselo.dataset_conversion.grids.common_grid import GridSettings
from nnunet_doselo.dataset_conversion.names.structure_names import read_name_map
from nnunet_doselo.dataset_conversion.nifti.layout import BUILTIN_LAYOUTS, LabelMap, Layout, read_layout
from nnunet_doselo.dataset_conversion.nifti.patients import find_nifti_patients
from nnunet_doselo.dataset_conversion.nifti.source import NiftiSource
from nnunet_doselo.dataset_conversion.verify import verify_dataset

GRID = phantoms.grid_for()
OWN = ConversionSettings(GridSettings(spacing_mm=None, crop_to_body=False))
PAPER, PAPER_DOSE = (read_layout(name) for name in ("paper", "paper_dose"))
BRAIN = read_name_map("brain")
OARS = {name: BRAIN.oars[name] for name in ("Brainstem", "OpticChiasm", "Eye_L")}


def write_patient(folder: Path, seed: int = 0, grid: Grid = GRID) -> None:
    """One folder in the layout paper_dose, with names as people give them."""
    organs = phantoms.organs()
    arrays = {
        "CT": phantoms.head_ct(),
        "Dose": phantoms.dose_for(phantoms.target(seed)),
        "Target": phantoms.target(seed),
        "BrainStem": organs["Brainstem"],
        "Chiasma": organs["OpticChiasm"],
        "Auge li": organs["Eye_L"],
        "BrainStem_PRV3": organs["Brainstem"],
        "Dose_Mask": phantoms.head(),
    }
    for name, array in arrays.items():
        write_array(folder / f"{name}.nii.gz", array, grid)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    for seed, name in enumerate(("Doe_Jane", "Mueller_Hans")):
        write_patient(tmp_path / "source" / name, seed)
    return tmp_path / "source"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "nnUNet_raw" / "Dataset501_GBM"


def convert(
    source: Path, folder: Path, layout: Layout = PAPER_DOSE, settings: ConversionSettings = OWN, **more: bool
) -> bool:
    cases = CaseIds(key_file_for(folder), "GBM")
    return convert_patients(NiftiSource(source, BRAIN, layout), folder, cases, settings, **more)


def overwrite(file: Path, array: np.ndarray, grid: Grid = GRID) -> None:
    write_array(file, array, grid)


def states(folder: Path) -> dict[str, int]:
    return {str(path.relative_to(folder)): path.stat().st_mtime_ns for path in folder.rglob("*.nii.gz")}


def test_the_dose_layout_becomes_a_dataset_that_verifies(source: Path, folder: Path) -> None:
    assert convert(source, folder)
    dataset = ExtendedDataset(folder)
    assert dataset.cases() == ["GBM_001", "GBM_002"]
    assert verify_dataset(dataset) == []
    for case, seed in (("GBM_001", 0), ("GBM_002", 1)):
        labels, grid = read_array(dataset.path("labels", case))
        assert grid.differences(GRID) == []
        assert np.array_equal(labels, phantoms.target(seed))
        assert np.array_equal(read_array(dataset.path("dose", case))[0], phantoms.dose_for(phantoms.target(seed)))
        oars = read_array(dataset.path("oars", case))[0]
        organs = phantoms.organs()
        assert np.array_equal(oars, sum(organs[name] * value for name, value in OARS.items()))
    assert np.array_equal(read_array(dataset.image_paths("GBM_001")[0])[0], phantoms.head_ct())


def test_nothing_in_the_dataset_tells_who_it_is(source: Path, folder: Path) -> None:
    convert(source, folder)
    written = [path for path in folder.rglob("*") if path.is_file()]
    assert not [path for path in written if "Jane" in str(path) or b"Jane" in path.read_bytes()]
    table = folder.parent.parent / "doselo_keys" / "Dataset501_GBM.csv"
    with table.open(newline="") as file:
        rows = {row["case"]: (row["patient_id"], row["source"], row["split"]) for row in csv.DictReader(file)}
    assert rows == {"GBM_001": ("Doe_Jane", "Doe_Jane", "Tr"), "GBM_002": ("Mueller_Hans", "Mueller_Hans", "Tr")}


def write_paper_patient(folder: Path, seed: int) -> None:
    """The files that the released code reads (dataset_construction.py)."""
    name, organs = folder.name, phantoms.organs()
    for number, sequence in enumerate(("T1c", "T1w", "T2w", "FLAIR")):
        image = phantoms.mr_image(10 * seed + number)
        write_array(folder / f"img_{name}_masked-{sequence}-normalized.nii.gz", image, GRID)
    write_array(folder / f"img_{name}_CT.nii.gz", phantoms.head_ct(), GRID)
    write_array(folder / f"seg_{name}_NA_masked-GTVp.nii.gz", phantoms.target(seed), GRID)
    write_array(folder / f"seg_{name}_NA_Brain.nii.gz", phantoms.head(), GRID)
    values = organs["Brainstem"] * 1 + organs["OpticChiasm"] * 2 + organs["Eye_L"] * 5
    write_array(folder / f"seg_{name}_OAR_all.nii.gz", values.astype(np.uint8), GRID)


def test_the_papers_released_layout_becomes_a_dataset_of_four_channels(
    tmp_path: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_paper_patient(tmp_path / "source" / "ISAS_GBM_001", 3)
    write_array(tmp_path / "source" / "other" / "img_other_CT.nii.gz", phantoms.head_ct(), GRID)
    assert convert(tmp_path / "source", folder, PAPER)
    dataset = ExtendedDataset(folder)
    assert dataset.dataset_json["channel_names"] == {"0": "T1c", "1": "T1", "2": "T2", "3": "FLAIR"}
    images = [read_array(path)[0] for path in dataset.image_paths("GBM_001")]
    assert all(np.array_equal(image, phantoms.mr_image(30 + number)) for number, image in enumerate(images))
    assert np.array_equal(read_array(dataset.path("labels", "GBM_001"))[0], phantoms.target(3))
    oars, organs = read_array(dataset.path("oars", "GBM_001"))[0], phantoms.organs()
    on_top = sum(organs[name] * value for name, value in OARS.items())
    assert np.array_equal(oars, np.where(on_top, on_top, phantoms.head() * BRAIN.oars["Brain"]))
    assert verify_dataset(dataset) == []
    assert "which value is which organ in seg_*_OAR_all.nii.gz is assumed here" in capsys.readouterr().out


def test_the_papers_layout_goes_on_without_the_dose_folder_and_is_complete(tmp_path: Path, folder: Path) -> None:
    write_paper_patient(tmp_path / "source" / "ISAS_GBM_001", 0)
    convert(tmp_path / "source", folder, PAPER)
    before = states(folder)
    assert not (folder / "doseTr").exists()
    convert(tmp_path / "source", folder, PAPER)
    assert states(folder) == before


def test_a_dry_run_tells_all_and_writes_nothing(source: Path, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (source / "Mueller_Hans" / "Target.nii.gz").unlink()
    write_array(source / "Doe_Jane" / "BrainStemm.nii.gz", phantoms.head(), GRID)
    assert not convert(source, folder, dry_run=True)
    said, errors = capsys.readouterr()
    assert errors == ""
    assert "GBM_001 (training), patient Doe_Jane" in said
    assert "dose: Doe_Jane/Dose.nii.gz" in said
    assert "GTV (Target), Brainstem (BrainStem), OpticChiasm (Chiasma), Eye_L (Auge li)" in said
    assert "excluded: BrainStem_PRV3" in said
    assert "would fail: mandatory structure GTV is missing" in said
    assert "1 would be converted, 1 would fail; nothing was written" in said
    assert ["BrainStemm", "1", "Brainstem"] in [line.split() for line in said.splitlines()]
    assert not folder.parent.exists()
    assert not (folder.parent.parent / "doselo_keys").exists()


def test_a_second_run_converts_who_is_new_or_incomplete(
    source: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    convert(source, folder)
    before = states(folder)
    (folder / "doseTr" / "GBM_002.nii.gz").unlink()
    write_patient(source / "Adams_Ann", 5)
    assert convert(source, folder)
    after = states(folder)
    assert {name for name in before if "GBM_001" in name and after[name] != before[name]} == set()
    assert after["labelsTr/GBM_002.nii.gz"] > before["labelsTr/GBM_002.nii.gz"]
    assert np.array_equal(read_array(folder / "labelsTr" / "GBM_003.nii.gz")[0], phantoms.target(5))
    assert json.loads((folder / "dataset.json").read_text())["numTraining"] == 3
    assert "2 converted, 1 there already, 0 failed" in capsys.readouterr().err


def test_other_settings_need_another_dataset(source: Path, folder: Path) -> None:
    convert(source, folder)
    other = ConversionSettings(GridSettings(spacing_mm=4.0))
    with pytest.raises(DoseloError, match="choose another dataset number, or pass --overwrite"):
        convert(source, folder, settings=other)
    assert convert(source, folder, settings=other, overwrite=True)
    assert read_array(folder / "ctTr" / "GBM_001.nii.gz")[1].spacing == (4, 4, 4)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda f: (f / "CT.nii.gz").unlink(), "no ct ({patient}/CT.nii.gz)"),
        (lambda f: (f / "Dose.nii.gz").unlink(), "no dose ({patient}/Dose.nii.gz)"),
        (lambda f: (f / "CT.nii.gz").write_bytes(b"no image"), "Doe_Jane/CT.nii.gz: is not an image that SimpleITK"),
        (lambda f: (f / "CT.nii.gz").write_bytes((f / "CT.nii.gz").read_bytes()[:-99]), "cut short or damaged"),
        (lambda f: overwrite(f / "Target.nii.gz", phantoms.mr_image()), "Target.nii.gz: a mask must be 0 outside and"),
        (lambda f: overwrite(f / "Target.nii.gz", 1 + phantoms.target() * 1), "a mask must be 0 outside and one value"),
        (lambda f: overwrite(f / "Target.nii.gz", 0 * phantoms.target()), "mandatory structures are missing or empty"),
        (lambda f: overwrite(f / "Dose.nii.gz", np.full(GRID.size[::-1], np.nan)), "Dose.nii.gz: all voxels must be"),
        (lambda f: overwrite(f / "Dose.nii.gz", phantoms.head_ct(), far()), "Dose.nii.gz: must lie where the CT lies"),
        (lambda f: overwrite(f / "Target.nii.gz", phantoms.target(), far()), "Target.nii.gz: must lie within the CT"),
        (lambda f: write_colour(f / "CT.nii.gz"), "must be a 3-D image with one number a voxel, found 3 dim"),
    ],
)  # fmt: skip
def test_one_broken_patient_is_told_and_the_others_go_on(
    source: Path, folder: Path, capsys: pytest.CaptureFixture[str], damage: Callable[[Path], None], message: str
) -> None:
    damage(source / "Doe_Jane")
    assert not convert(source, folder)
    said = capsys.readouterr().err
    assert message in " ".join(said.split())
    assert "Traceback" not in said
    assert str(source) not in said
    assert ExtendedDataset(folder).cases() == ["GBM_002"]
    assert not [path for path in folder.rglob("*") if "GBM_001" in path.name]


def far() -> Grid:
    return replace(GRID, origin=(5000.0, 0.0, 0.0))


def write_colour(file: Path) -> None:
    colour = sitk.Compose([sitk.GetImageFromArray(phantoms.mr_image())] * 3)
    sitk.WriteImage(colour, str(file))


def test_two_names_for_one_structure_are_told_with_both(
    source: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (source / "Doe_Jane" / "BrainStem.nii.gz").rename(source / "Doe_Jane" / "Hirnstamm.nii.gz")
    write_array(source / "Doe_Jane" / "Stem.nii.gz", phantoms.head(), GRID)
    assert not convert(source, folder)
    assert "Brainstem is claimed by 'Hirnstamm' and 'Stem'" in " ".join(capsys.readouterr().err.split())


def test_without_any_good_patient_there_is_no_dataset_json(source: Path, folder: Path) -> None:
    for file in source.glob("*/Target.nii.gz"):
        file.unlink()
    assert not convert(source, folder)
    assert not (folder / "dataset.json").exists()


def test_images_and_masks_on_other_grids_come_by_their_coordinates(source: Path, folder: Path) -> None:
    """A finer grid over part of the head; the mask is a box of 30 x 30 x 27 mm."""
    fine = Grid((60, 60, 30), (1.0, 1.0, 1.0), (-29.0, -29.0, -14.0), GRID.direction)
    box = np.zeros((30, 60, 60), bool)
    box[1:28, 16:46, 16:46] = True
    write_array(source / "Doe_Jane" / "Target.nii.gz", box, fine)
    layout = replace(PAPER_DOSE, images={"T1": "{patient}/MR.nii.gz"})
    for patient in source.iterdir():
        write_array(patient / "MR.nii.gz", np.full((30, 60, 60), 5, np.float32), fine)
    assert convert(source, folder, layout)
    labels, grid = read_array(folder / "labelsTr" / "GBM_001.nii.gz")
    image = read_array(folder / "imagesTr" / "GBM_001_0000.nii.gz")[0]
    assert np.count_nonzero(labels) * 27 == pytest.approx(27 * 30 * 30, rel=0.03)
    x, y, z = (np.flatnonzero(labels.any(axis=axes)).mean() for axes in ((0, 1), (0, 2), (1, 2)))
    at = [o + s * i for o, s, i in zip(grid.origin, grid.spacing, (x, y, z), strict=True)]
    # the middle of the box: voxels 16 to 45 from -29 mm, and 1 to 27 from -14 mm
    assert at == pytest.approx((1.5, 1.5, 0.0), abs=0.3)
    assert {*np.unique(image)} == {0, 5}
    record = json.loads((folder / "conversion_records" / "GBM_001.json").read_text())
    assert record["alignment"] == {"T1": {"how": "same coordinates, as the layout says"}}


def test_images_elsewhere_are_refused_with_what_to_do(
    source: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for patient in source.iterdir():
        write_array(patient / "MR.nii.gz", phantoms.mr_image(), far())
    assert not convert(source, folder, replace(PAPER_DOSE, images={"T1": "{patient}/MR.nii.gz"}))
    assert "write `align: rigid` into the layout" in " ".join(capsys.readouterr().err.split())


def test_a_registration_is_asked_for_recorded_and_drawn(
    source: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Registration is tested where it is made; this one finds every image where the CT is, at half its signal."""
    asked, drawn = [], []

    def align(fixed: sitk.Image, moving: sitk.Image, transform: None, same_frame: bool) -> SimpleNamespace:
        asked.append((grid_of(fixed), grid_of(moving), transform, same_frame))
        moved = sitk.Image(sitk.Cast(moving, sitk.sitkFloat32) * 0.5)
        moved.CopyInformation(fixed)
        return SimpleNamespace(image=moved, how="rigid registration", quality={"mutual_information": 0.75})

    def save_checkerboard(
        png: Path, fixed: np.ndarray, moving: np.ndarray, spacing_mm: tuple[float, ...], title: str
    ) -> None:
        drawn.append((png.relative_to(folder), fixed.shape, moving.shape, spacing_mm, title))

    package = "nnunet_doselo.dataset_conversion"
    monkeypatch.setitem(sys.modules, f"{package}.registration.mr_alignment", SimpleNamespace(align=align))
    monkeypatch.setattr(f"{package}.cases.checkerboard.save_checkerboard", save_checkerboard)
    for patient in source.iterdir():
        write_array(patient / "MR.nii.gz", phantoms.mr_image(), far())
    (source / "Mueller_Hans" / "Target.nii.gz").unlink()
    assert not convert(source, folder, replace(PAPER_DOSE, images={"T1": "{patient}/MR.nii.gz"}, align="rigid"))
    ((fixed, moving, transform, same_frame),) = asked
    assert (fixed.differences(GRID), moving.differences(far()), transform, same_frame) == ([], [], None, False)
    image = read_array(folder / "imagesTr" / "GBM_001_0000.nii.gz")[0]
    assert np.allclose(image, phantoms.mr_image() / 2, atol=1e-3)
    record = json.loads((folder / "conversion_records" / "GBM_001.json").read_text())
    assert record["alignment"] == {"T1": {"how": "rigid registration", "mutual_information": 0.75}}
    assert drawn == [
        (
            *(Path("conversion_records/GBM_001_T1.png"), phantoms.SHAPE, phantoms.SHAPE, phantoms.SPACING_MM),
            "GBM_001, T1: rigid registration",
        ),
    ]


def test_units_are_turned_into_hu_and_gy(source: Path, folder: Path) -> None:
    for patient in source.iterdir():
        overwrite(patient / "CT.nii.gz", phantoms.head_ct().astype(np.float32) / 1000)
        overwrite(patient / "Dose.nii.gz", phantoms.dose_for(phantoms.target()) * 100)
    assert convert(source, folder, replace(PAPER_DOSE, ct_to_hu=(1000.0, 0.0), dose_to_gy=0.01))
    assert np.array_equal(read_array(folder / "ctTr" / "GBM_001.nii.gz")[0], phantoms.head_ct())
    dose_gy = read_array(folder / "doseTr" / "GBM_001.nii.gz")[0]
    assert np.allclose(dose_gy, phantoms.dose_for(phantoms.target()), atol=1e-4)


def test_values_that_a_label_map_does_not_name_are_an_error(tmp_path: Path, folder: Path) -> None:
    write_paper_patient(tmp_path / "source" / "ISAS_GBM_001", 0)
    named = {1: "Brainstem", 5: "Eye_L"}
    pattern = PAPER.label_maps[0].pattern
    assert not convert(tmp_path / "source", folder, replace(PAPER, label_maps=(LabelMap(pattern, named),)))
    left_out = replace(PAPER, label_maps=(LabelMap(pattern, {**named, 2: None}),), masks=PAPER.masks)
    assert convert(tmp_path / "source", folder, left_out)
    oars = read_array(folder / "oarsTr" / "GBM_001.nii.gz")[0]
    assert {*np.unique(oars)} == {0, BRAIN.oars["Brainstem"], BRAIN.oars["Eye_L"], BRAIN.oars["Brain"]}


SPLIT_LAYOUT = Layout(
    ct="{split}/{patient}/CT.nii.gz", dose="{split}/{patient}/Dose.nii.gz", images={"CT": None},
    masks=("{split}/{patient}/{structure}.nii.gz",), splits={"train": "Tr", "held out": "Ts"},
)  # fmt: skip


def test_folders_can_say_who_is_for_testing(tmp_path: Path, folder: Path) -> None:
    for seed, name in enumerate(("train/A", "held out/B", "elsewhere/C")):
        write_patient(tmp_path / "source" / name, seed)
    assert convert(tmp_path / "source", folder, SPLIT_LAYOUT)
    dataset = ExtendedDataset(folder)
    assert (dataset.cases(), dataset.cases(split="Ts")) == (["GBM_001"], ["GBM_002"])
    with pytest.raises(DoseloError, match="the layout's folders say who is for testing"):
        convert(tmp_path / "source", folder, SPLIT_LAYOUT, replace(OWN, test_fraction=0.5))


def test_a_patient_in_both_splits_is_a_problem(tmp_path: Path) -> None:
    for name in ("train/A", "held out/A"):
        write_patient(tmp_path / name)
    (patient,) = find_nifti_patients(tmp_path, SPLIT_LAYOUT)
    assert "lies in the folders of both splits" in patient.problems


def test_test_patients_can_be_listed_and_stay_there(source: Path, folder: Path) -> None:
    listed = replace(OWN, test_patients=frozenset({"Doe_Jane"}))
    assert convert(source, folder, settings=listed)
    assert ExtendedDataset(folder).cases(split="Ts") == ["GBM_001"]
    assert convert(source, folder)
    assert ExtendedDataset(folder).cases() == ["GBM_002"]
    with pytest.raises(DoseloError, match="GBM_001 was converted to labelsTs and now belongs to labelsTr"):
        convert(source, folder, settings=replace(OWN, test_patients=frozenset({"Mueller_Hans"})))
    with pytest.raises(DoseloError, match="all test patients must be in the source folder, 1 of 2 are not"):
        convert(source, folder, settings=replace(OWN, test_patients=frozenset({"Doe_Jane", "Nobody"})))


def test_patients_can_be_parts_of_file_names(tmp_path: Path) -> None:
    for name in ("ct/ct_A.nii.gz", "ct/ct_B_1.nii.gz", "ct/ct_B_2.nii.gz", "seg/A/GTV.nii.gz", "seg/A/.hidden.nii.gz"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    layout = Layout(ct="ct/ct_{patient}*.nii.gz", images={"CT": None}, masks=("seg/{patient}/{structure}.nii.gz",))
    one, *_ = find_nifti_patients(tmp_path, layout)
    assert (one.name, one.files, one.masks) == ("A", {"ct": "ct/ct_A.nii.gz"}, {"GTV": "seg/A/GTV.nii.gz"})
    assert one.problems == []


def test_several_files_for_one_thing_are_a_problem(tmp_path: Path) -> None:
    for name in ("A/CT_1.nii.gz", "A/CT_2.nii.gz", "A/GTV.nii.gz"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (patient,) = find_nifti_patients(tmp_path, replace(PAPER_DOSE, ct="{patient}/CT_*.nii.gz", dose=None))
    assert patient.problems == ["several files fit ct: A/CT_1.nii.gz and A/CT_2.nii.gz"]


def test_a_folder_without_patients_is_told_with_what_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(DoseloError, match=r"no file fits the layout's patterns \{patient\}/CT.nii.gz"):
        find_nifti_patients(tmp_path, PAPER_DOSE)
    with pytest.raises(DoseloError, match="is no folder"):
        find_nifti_patients(tmp_path / "absent", PAPER_DOSE)


GOOD = 'ct: "{patient}/CT.nii.gz"\nmasks: "{patient}/{structure}.nii.gz"\n'


def test_a_layout_is_read_as_it_is_written(tmp_path: Path) -> None:
    file = tmp_path / "layout.yaml"
    file.write_text(
        GOOD.replace("{patient}/", "{split}/{patient}/")
        + 'images: {T1: "{split}/{patient}/t1*.nii", CT: ct}\nct_units: HU+1024\nalign: rigid\ndose_units: cGy\n'
        'label_maps: [{file: "{split}/{patient}/o.nii", values: {1: Brainstem, 2: ~}}]\n'
        "splits: {train: [a, b], test: c}\nmapping: brain\npatients: 'P*'\n"
    )
    assert read_layout(file) == Layout(
        ct="{split}/{patient}/CT.nii.gz",
        images={"T1": "{split}/{patient}/t1*.nii", "CT": None},
        masks=("{split}/{patient}/{structure}.nii.gz",),
        label_maps=(LabelMap("{split}/{patient}/o.nii", {1: "Brainstem", 2: None}),),
        patients="P*",
        ct_to_hu=(1.0, -1024.0),
        dose_to_gy=0.01,
        align="rigid",
        splits={"a": "Tr", "b": "Tr", "c": "Ts"},
        mapping="brain",
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (GOOD + "dosis: x", "unknown dosis; there are align, ct"),
        ("masks: x", "ct: must be text, found None"),
        ('ct: "{patient}/CT.nii.gz"', "needs `masks` or `label_maps`"),
        (GOOD.replace("{patient}/CT", "CT"), r"'CT.nii.gz' must hold \{patient\} and no other field"),
        (GOOD.replace("{structure}", "{organ}"), r"must hold \{patient\}, \{structure\} and no other field"),
        (GOOD.replace("{structure}.", "{structure."), r"must hold \{patient\}, \{structure\}"),
        (GOOD + "splits: {train: a}", r"must hold \{patient\}, \{split\} and no other"),
        (GOOD + "splits: {train: a, test: a}", "found in both: a"),
        (GOOD + 'dose: "/data/{patient}.nii"', "patterns are paths below the source folder"),
        (GOOD + 'dose: "../{patient}.nii"', "patterns are paths below the source folder"),
        (GOOD + "ct_units: Hounsfield", "ct_units: must be one of HU, HU"),
        (GOOD + "align: affine", "align: must be one of coordinates, rigid, found 'affine'"),
        (GOOD + "images: [T1]", "images: must hold named entries"),
        (GOOD + 'images: {"T 1": "{patient}/t1.nii"}', "an input has a plain name"),
        (GOOD + 'images: {CT: "{patient}/CT.nii.gz"}', "the CT is `CT: ct`"),
        (GOOD + 'label_maps: {file: "{patient}/o.nii"}', "must be a list of files"),
        (GOOD + 'label_maps: [{file: "{patient}/o.nii", values: {0: Brain}}]', "gives a name to each value"),
        (GOOD + 'label_maps: [{file: "{patient}/o.nii"}]', "gives a name to each value"),
    ],
)
def test_mistakes_in_a_layout_are_told(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "layout.yaml"
    file.write_text(text)
    with pytest.raises(DoseloError, match=message):
        read_layout(file)


def test_a_layout_that_is_not_there_is_told_with_those_that_are(tmp_path: Path) -> None:
    assert BUILTIN_LAYOUTS == ("paper", "paper_dose")
    with pytest.raises(DoseloError, match="no such layout; give a YAML file, or one of paper, paper_dose"):
        read_layout(tmp_path / "absent.yaml")


def test_the_command_converts_and_its_status_tells_of_failures(
    source: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("nnUNet_raw", str(folder.parent))
    (source / "Doe_Jane" / "Target.nii.gz").unlink()
    command = ["convert", "nifti", str(source), "501", "--layout", "paper_dose", "--name", "GBM", "-np", "1"]
    more = ["--spacing", "3", "--size", "40", "--ids", "hash"]
    done = CliRunner().invoke(app, [*command, *more])
    assert done.exit_code == 1
    assert "next: doselo verify 501" in done.output
    (case,) = ExtendedDataset(folder).cases()
    assert len(case) == len("GBM_") + 10
    assert read_array(folder / "ctTr" / f"{case}.nii.gz")[0].shape[1:] == (40, 40)


def test_files_to_start_from_can_be_printed(tmp_path: Path) -> None:
    for name, read in (("brain", read_name_map), ("paper", read_layout)):
        printed = CliRunner().invoke(app, ["convert", "starter", name])
        (tmp_path / name).write_text(printed.stdout)
        assert read(tmp_path / name) == read(name)
    refused = CliRunner().invoke(app, ["convert", "starter", "spleen"])
    assert refused.exit_code == 1
    assert "there are brain, head_and_neck, paper, paper_dose" in refused.output
