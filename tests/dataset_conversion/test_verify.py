"""A good dataset has no findings; each fault, made alone, gives exactly its own."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import phantoms
import pytest

from nnunet_doselo.dataset.folder import ExtendedDataset
from nnunet_doselo.dataset.geometry import Grid
from nnunet_doselo.dataset.images import read_array, write_array
from nnunet_doselo.dataset_conversion.verify import Finding, verify_dataset

CASE = "Phantom_001"
SAGITTAL = (0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0)


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("good")
    phantoms.write_extended_dataset(folder, cases=2, test_cases=1, mr=True)
    return folder


@pytest.fixture
def folder(good: Path, tmp_path: Path) -> Path:
    return shutil.copytree(good, tmp_path / "Dataset001_Head")


def file(folder: Path, kind: str) -> Path:
    return folder / kind / (f"{CASE}_0000.nii.gz" if kind == "imagesTr" else f"{CASE}.nii.gz")


def change(folder: Path, kind: str, array: Callable[[np.ndarray], np.ndarray] = np.asarray, **grid: Any) -> None:
    """Write one of the case's files again, with other voxels or another grid."""
    before, old = read_array(file(folder, kind))
    write_array(file(folder, kind), array(before), Grid(**vars(old) | grid))


def change_all(folder: Path, **grid: Any) -> None:
    for kind in ("imagesTr", "labelsTr", "ctTr", "oarsTr", "doseTr"):
        change(folder, kind, **grid)


def edit_json(folder: Path, **changes: Any) -> None:
    content = json.loads((folder / "dataset.json").read_text()) | changes
    (folder / "dataset.json").write_text(json.dumps({k: v for k, v in content.items() if v is not None}))


def with_one(value: float) -> Callable[[np.ndarray], np.ndarray]:
    """A change of the first voxel."""

    def changed(array: np.ndarray) -> np.ndarray:
        array.flat[0] = value
        return array

    return changed


def half_covered(dose_gy: np.ndarray) -> np.ndarray:
    dose_gy[dose_gy.shape[0] // 2 :] = 0
    return dose_gy


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def surplus_channel(folder: Path) -> None:
    shutil.copy(file(folder, "imagesTr"), folder / "imagesTr" / f"{CASE}_0001.nii.gz")


FAULTS: dict[str, tuple[Callable[[Path], Any], str]] = {
    "no block": (lambda d: edit_json(d, dose_guidance=None), r"dataset.json: .*dose guidance needs"),
    "no labels": (lambda d: edit_json(d, labels=None), r"dataset.json: .*missing \['labels'\]"),
    "no dataset.json": (lambda d: (d / "dataset.json").unlink(), "dataset.json: .*no such file"),
    "count": (lambda d: edit_json(d, numTraining=3), "dataset.json: numTraining .* says 3, found 2"),
    "label": (lambda d: file(d, "labelsTr").unlink(), f"{CASE}: missing labelsTr/{CASE}.nii.gz"),
    "ct": (lambda d: file(d, "ctTr").unlink(), f"{CASE}: missing ctTr/{CASE}.nii.gz"),
    "oars": (lambda d: file(d, "oarsTr").unlink(), f"{CASE}: missing oarsTr/{CASE}.nii.gz"),
    "dose": (lambda d: file(d, "doseTr").unlink(), f"{CASE}: missing doseTr/{CASE}.nii.gz"),
    "image": (lambda d: file(d, "imagesTr").unlink(), f"{CASE}: missing imagesTr/{CASE}_0000.nii.gz"),
    "surplus channel": (surplus_channel, f"imagesTr: files that are no channel .*: {CASE}_0001.nii.gz"),
    "hidden file": (
        lambda d: (d / "imagesTr/.1.nii.gz").touch(),
        r"imagesTr: .* nnU-Net reads them: \.1\.nii\.gz",
    ),
    "broken": (lambda d: file(d, "oarsTr").write_text("no"), f"{CASE}: .*oarsTr.* is not an image"),
    "cut short": (lambda d: truncate(file(d, "doseTr")), f"{CASE}: .*doseTr.* is cut short"),
    "image cut short": (lambda d: truncate(file(d, "imagesTr")), f"{CASE}: .*imagesTr.* is cut short"),
    "spacing": (
        lambda d: change(d, "ctTr", spacing=(2.0, 3.0, 3.0)),
        rf"{CASE}: ct must lie on the grid .*: spacing \(2.0, 3.0, 3.0\) against \(3.0, 3.0, 3.0\)",
    ),
    "origin": (lambda d: change(d, "labelsTr", origin=(0.0, 0.0, 0.0)), f"{CASE}: labels must .*: origin"),
    "size": (
        lambda d: change(d, "doseTr", lambda a: a[1:], size=(32, 32, 15)),
        rf"{CASE}: dose must lie on the grid .*: size \(32, 32, 15\) against \(32, 32, 16\)",
    ),
    "sagittal": (lambda d: change_all(d, direction=SAGITTAL), f"{CASE}: the third axis must run along"),
    "thin slices": (
        lambda d: change_all(d, spacing=(3.0, 3.0, 2.5)),
        rf"{CASE}: slice spacing must not be below .* \(2.5, 3, 3\) mm",
    ),
    "label value": (lambda d: change(d, "labelsTr", with_one(9)), f"{CASE}: labels holds .* declare: 9$"),
    "organ value": (lambda d: change(d, "oarsTr", with_one(4)), f"{CASE}: oars holds .* declare: 4$"),
    "offset lost": (
        lambda d: change(d, "ctTr", lambda a: a + 1024),
        f"{CASE}: ct .* the offset .* seems lost",
    ),
    "no HU": (
        lambda d: change(d, "ctTr", with_one(-30000)),
        f"{CASE}: ct must be in HU, found -30000 to 900",
    ),
    "cGy": (lambda d: change(d, "doseTr", lambda a: a * 100), f"{CASE}: dose .* is 6000 .* looks like cGy"),
    "relative": (
        lambda d: change(d, "doseTr", lambda a: a / 60),
        f"{CASE}: dose .* is 1 .*: looks like relative",
    ),
    "no unit": (lambda d: change(d, "doseTr", lambda a: a * 3), f"{CASE}: .* is 180 for 60 Gy prescribed$"),
    "negative": (lambda d: change(d, "doseTr", with_one(-1)), f"{CASE}: dose must not be negative, .* -1$"),
    "coverage": (lambda d: change(d, "doseTr", half_covered), f"{CASE}: the dose grid must cover .* 50.0 %"),
    "no target": (lambda d: change(d, "labelsTr", np.zeros_like), f"{CASE}: the target is empty"),
}


def test_a_good_dataset_has_no_findings(good: Path) -> None:
    assert verify_dataset(ExtendedDataset(good)) == []


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_is_found_alone(folder: Path, fault: str) -> None:
    make, expected = FAULTS[fault]
    make(folder)
    (finding,) = verify_dataset(ExtendedDataset(folder))
    assert re.match(expected, str(finding))


@pytest.mark.parametrize(
    ("kind", "expected"),
    [("imagesTr", f"{CASE}_0000.nrrd holds 1 voxels"), ("doseTr", "dose holds 1 voxels")],
)
def test_values_that_are_not_finite_are_found(tmp_path: Path, kind: str, expected: str) -> None:
    """In NRRD: SimpleITK reads NaN and infinity from NIfTI files as 0, so that nnU-Net never sees them."""
    dataset = phantoms.write_extended_dataset(tmp_path, mr=True, ending=".nrrd")
    assert verify_dataset(dataset) == []
    path = dataset.image_paths(CASE)[0] if kind == "imagesTr" else dataset.path("dose", CASE)
    array, grid = read_array(path)
    write_array(path, with_one(np.nan)(array), grid)
    (finding,) = verify_dataset(dataset)
    assert str(finding) == f"{CASE}: {expected} that are not finite"


def test_findings_of_another_process_are_the_same(folder: Path) -> None:
    FAULTS["cGy"][0](folder)
    dataset = ExtendedDataset(folder)
    assert verify_dataset(dataset, processes=2) == verify_dataset(dataset)


def test_doses_and_the_test_split_may_be_left_out(folder: Path) -> None:
    for name in ("doseTr", "imagesTs", "labelsTs", "ctTs", "oarsTs", "doseTs"):
        shutil.rmtree(folder / name)
    assert verify_dataset(ExtendedDataset(folder)) == []


def test_test_images_alone_are_enough_but_must_be_readable(folder: Path) -> None:
    for name in ("labelsTs", "ctTs", "oarsTs", "doseTs"):
        shutil.rmtree(folder / name)
    assert verify_dataset(ExtendedDataset(folder)) == []
    (folder / "imagesTs" / "Phantom_002_0000.nii.gz").write_bytes(b"")
    (finding,) = verify_dataset(ExtendedDataset(folder))
    assert finding.where == "Phantom_002"


def test_a_label_map_of_many_values_is_not_listed_in_full(folder: Path) -> None:
    shutil.copy(file(folder, "imagesTr"), file(folder, "labelsTr"))
    findings = verify_dataset(ExtendedDataset(folder))
    assert [f for f in findings if "labels holds values" in f.what]
    assert all(len(f.what) < 200 for f in findings)


def test_an_empty_dataset_is_no_dataset(folder: Path) -> None:
    for name in folder.glob("*T[rs]"):
        shutil.rmtree(name)
    edit_json(folder, numTraining=0)
    assert verify_dataset(ExtendedDataset(folder)) == [
        Finding("dataset.json", "numTraining must be the number of training cases, says 0, found 0")
    ]
