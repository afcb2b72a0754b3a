import dataclasses
import json
import os
from pathlib import Path

import numpy as np
import phantoms
import pytest

from nnunet_doselo.common.errors import DoseloError
from nnunet_doselo.dataset.images import read_array
from nnunet_doselo.dataset_conversion.cases.writer import DatasetWriter, as_hu, dataset_folder, link_or_copy


def names(folder: Path) -> set[str]:
    return {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()}


def test_one_case_is_one_file_a_folder_and_the_ct_is_stored_once(tmp_path: Path) -> None:
    dataset = phantoms.write_extended_dataset(tmp_path, cases=1)
    kinds = ("labelsTr", "ctTr", "oarsTr", "doseTr")
    expected = {"dataset.json", "conversion.json", "imagesTr/Phantom_000_0000.nii.gz"}
    assert names(tmp_path) == expected | {f"{kind}/Phantom_000.nii.gz" for kind in kinds}
    assert dataset.image_paths("Phantom_000")[0].samefile(dataset.path("ct", "Phantom_000"))


def test_arrays_come_back_with_the_types_of_the_format(tmp_path: Path) -> None:
    dataset, case = phantoms.write_extended_dataset(tmp_path, cases=1), phantoms.case("Phantom_000", 0)
    assert case.dose_gy is not None
    expected = {"labels": case.labels, "ct": case.ct_hu, "oars": case.oars, "dose": case.dose_gy}
    types = {"labels": np.uint8, "ct": np.int16, "oars": np.uint8, "dose": np.float32}
    for kind, array in expected.items():
        stored, grid = read_array(dataset.path(kind, "Phantom_000"))
        assert np.array_equal(stored, array)
        assert stored.dtype == types[kind]
        assert grid.differences(case.grid) == []


def test_dataset_json_is_nnunets_with_one_block_more(tmp_path: Path) -> None:
    phantoms.write_extended_dataset(tmp_path, cases=2, test_cases=1, mr=True)
    assert json.loads((tmp_path / "dataset.json").read_text()) == {
        "channel_names": {"0": "MR"},
        "labels": {"background": 0, "GTV": 1},
        "numTraining": 2,
        "file_ending": ".nii.gz",
        "overwrite_image_reader_writer": "SimpleITKIO",
        "dose_guidance": {"target_gy": {"GTV": 60.0}, "oars": phantoms.OARS},
    }


def test_stock_nnunet_accepts_the_dataset(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from nnunetv2.experiment_planning.verify_dataset_integrity import verify_dataset_integrity

    phantoms.write_extended_dataset(tmp_path / "Dataset001_Head", cases=2)
    verify_dataset_integrity(str(tmp_path / "Dataset001_Head"), num_processes=1)
    said = capsys.readouterr().out
    assert "verify_dataset_integrity Done" in said
    assert "Warning" not in said


def test_a_case_without_dose_is_complete_without_one(tmp_path: Path) -> None:
    writer = DatasetWriter(tmp_path)
    writer.write(dataclasses.replace(phantoms.case("P"), dose_gy=None))
    assert writer.has("P", "Tr", with_dose=False)
    assert not writer.has("P", "Tr")
    assert not writer.has("P", "Ts", with_dose=False)


@pytest.mark.parametrize("lost", ["imagesTr/P_0000", "ctTr/P", "oarsTr/P", "doseTr/P", "labelsTr/P"])
def test_a_case_is_incomplete_without_any_one_of_its_files(tmp_path: Path, lost: str) -> None:
    writer = DatasetWriter(tmp_path)
    writer.write(phantoms.case("P"))
    assert writer.has("P", "Tr")
    (tmp_path / f"{lost}.nii.gz").unlink()
    assert not writer.has("P", "Tr")


def test_labels_are_written_last(tmp_path: Path) -> None:
    phantoms.write_extended_dataset(tmp_path, cases=1)
    times = {p.parent.name: p.stat().st_mtime_ns for p in tmp_path.glob("*/*.nii.gz")}
    assert max(times, key=lambda kind: times[kind]) == "labelsTr"


def test_the_same_settings_may_go_on_and_others_may_not(tmp_path: Path) -> None:
    folder, settings = tmp_path / "Dataset001_P", {"converter": "x", "oars": (5, 6), "spacing_mm": 3}
    DatasetWriter(folder).begin(settings)
    DatasetWriter(folder).begin(settings)
    with pytest.raises(DoseloError, match=r"conversion\.json says .*'spacing_mm': 3.* pass --overwrite"):
        DatasetWriter(folder).begin(settings | {"spacing_mm": 2})


def test_a_folder_of_someone_else_is_left_alone_unless_told(tmp_path: Path) -> None:
    (tmp_path / "precious.txt").write_text("mine")
    with pytest.raises(DoseloError, match=r"not empty, and its conversion\.json says nothing"):
        DatasetWriter(tmp_path).begin({"converter": "x"})
    assert names(tmp_path) == {"precious.txt"}
    DatasetWriter(tmp_path).begin({"converter": "x"}, overwrite=True)
    assert names(tmp_path) == {"conversion.json"}


def test_going_on_removes_what_a_killed_run_left(tmp_path: Path) -> None:
    dataset = phantoms.write_extended_dataset(tmp_path, cases=1)
    before = names(tmp_path)
    for folder in ("imagesTr", "doseTr"):
        (tmp_path / folder / ".4711.Phantom_001_0000.nii.gz").write_bytes(b"half")
    DatasetWriter(tmp_path).begin({"converter": "test phantom"})
    assert names(tmp_path) == before
    assert dataset.cases() == ["Phantom_000"]


def test_hu_are_rounded_and_kept_within_int16() -> None:
    assert as_hu(np.array([-1000.4, 39.6, 1e6, -1e6])).tolist() == [-1000, 40, 32767, -32768]
    with pytest.raises(DoseloError, match="found 2 voxels that are not"):
        as_hu(np.array([0.0, np.nan, np.inf]))


def test_a_link_shares_the_file_and_replaces_an_old_one(tmp_path: Path) -> None:
    source, destination = tmp_path / "a", tmp_path / "new" / "b"
    source.write_text("1")
    for _ in range(2):
        link_or_copy(source, destination)
    assert source.samefile(destination)
    assert names(tmp_path) == {"a", "new/b"}


def test_a_symbolic_link_is_followed(tmp_path: Path) -> None:
    (tmp_path / "real").write_text("1")
    (tmp_path / "symbolic").symlink_to("real")
    link_or_copy(tmp_path / "symbolic", tmp_path / "elsewhere" / "b")
    assert not (tmp_path / "elsewhere" / "b").is_symlink()
    assert (tmp_path / "elsewhere" / "b").read_text() == "1"


def test_a_file_is_copied_where_links_are_impossible(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def across_devices(source: Path, destination: Path) -> None:
        raise OSError("Invalid cross-device link")

    monkeypatch.setattr(os, "link", across_devices)
    (tmp_path / "a").write_text("1")
    link_or_copy(tmp_path / "a", tmp_path / "b")
    assert (tmp_path / "b").read_text() == "1"
    assert not (tmp_path / "a").samefile(tmp_path / "b")


def test_dataset_folder_has_a_free_number_of_three_digits(tmp_path: Path) -> None:
    assert dataset_folder(tmp_path, 7, "GBM").name == "Dataset007_GBM"
    (tmp_path / "Dataset007_GBM").mkdir()
    assert dataset_folder(tmp_path, 7, "GBM").name == "Dataset007_GBM"
    with pytest.raises(DoseloError, match=r"number 7 is taken by \['Dataset007_GBM'\]"):
        dataset_folder(tmp_path, 7, "Other")
    with pytest.raises(DoseloError, match="1 to 999, found 1000"):
        dataset_folder(tmp_path, 1000, "GBM")
