import json
from pathlib import Path

import numpy as np
import phantoms
import pytest

from nnunet_doselo.common.errors import DoseloError
from nnunet_doselo.dataset.folder import ExtendedDataset
from nnunet_doselo.dataset.images import read_array, write_array
from nnunet_doselo.dataset_conversion.cases.writer import write_json
from nnunet_doselo.dataset_conversion.channels import (
    ChannelRoles,
    convert_channels,
    parse_channels,
    parse_target_gy,
)
from nnunet_doselo.dataset_conversion.verify import verify_dataset

ROLES = ChannelRoles(ct=1, oars=(3, 4))
TARGET_GY = {"GTV": 60.0}


@pytest.fixture
def source(tmp_path: Path) -> ExtendedDataset:
    return phantoms.write_channel_dataset(tmp_path / "Dataset001_Channels")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "Dataset002_Extended"


def states(folder: Path) -> dict[str, tuple[int, int]]:
    """Inode and time of change of every image."""
    return {str(p.relative_to(folder)): (p.stat().st_ino, p.stat().st_mtime_ns) for p in folder.glob("*/*.gz")}


def test_images_are_renumbered_and_are_the_same_files(source: ExtendedDataset, folder: Path) -> None:
    convert_channels(source, folder, ROLES, TARGET_GY)
    old, new = source.image_paths("Phantom_001"), ExtendedDataset(folder).image_paths("Phantom_001")
    assert [p.name for p in new] == ["Phantom_001_0000.nii.gz", "Phantom_001_0001.nii.gz"]
    assert new[0].samefile(old[0])
    assert new[1].samefile(old[2])
    assert len(list((folder / "imagesTr").iterdir())) == 4


def test_ct_organs_labels_and_dose_are_where_they_belong(source: ExtendedDataset, folder: Path) -> None:
    convert_channels(source, folder, ROLES, TARGET_GY)
    dataset, masks = ExtendedDataset(folder), phantoms.organs()
    ct_hu, grid = read_array(dataset.path("ct", "Phantom_000"))
    oars, _ = read_array(dataset.path("oars", "Phantom_000"))
    assert np.array_equal(ct_hu, phantoms.head_ct())
    assert grid.differences(phantoms.grid_for()) == []
    assert np.array_equal(oars, masks["Brainstem"] * 1 + masks["Eye_L"] * 2)
    for kind in ("labels", "dose"):
        assert dataset.path(kind, "Phantom_000").samefile(source.path(kind, "Phantom_000"))


def test_dataset_json_declares_what_is_left_and_verify_agrees(source: ExtendedDataset, folder: Path) -> None:
    convert_channels(source, folder, ROLES, TARGET_GY)
    dataset = ExtendedDataset(folder)
    assert dataset.dataset_json["channel_names"] == {"0": "T1", "1": "T2"}
    assert dataset.dataset_json["numTraining"] == 2
    assert dataset.guidance.to_json() == {"target_gy": {"GTV": 60.0}, "oars": {"Brainstem": 1, "Eye_L": 2}}
    assert verify_dataset(dataset) == []


def test_region_training_keeps_its_order_of_classes(source: ExtendedDataset, folder: Path) -> None:
    regions = {"labels": {"background": 0, "whole": [1, 2], "core": 2}, "regions_class_order": [1, 2]}
    write_json(source.folder / "dataset.json", source.dataset_json | regions | {"dataset": {"P": "stale"}})
    convert_channels(ExtendedDataset(source.folder), folder, ROLES, {"whole": 60.0})
    content = json.loads((folder / "dataset.json").read_text())
    assert content["regions_class_order"] == [1, 2]
    assert content["labels"] == regions["labels"]
    assert "dataset" not in content


def test_test_images_come_along_without_labels(source: ExtendedDataset, folder: Path) -> None:
    (source.folder / "imagesTs").mkdir()
    for path in source.image_paths("Phantom_001"):
        path.rename(source.folder / "imagesTs" / path.name)
    convert_channels(source, folder, ROLES, TARGET_GY)
    dataset = ExtendedDataset(folder)
    assert dataset.cases() == ["Phantom_000"]
    assert dataset.cases("images", "Ts") == dataset.cases("ct", "Ts") == dataset.cases("oars", "Ts") == ["Phantom_001"]


def test_overlapping_organs_are_reported(
    source: ExtendedDataset, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    eye, brainstem = (source.folder / "imagesTr" / f"Phantom_000_000{c}.nii.gz" for c in (4, 3))
    one_voxel = np.zeros(phantoms.SHAPE, bool)
    one_voxel[tuple(np.argwhere(read_array(brainstem)[0])[0])] = True
    write_array(eye, one_voxel, phantoms.grid_for())
    convert_channels(source, folder, ROLES, TARGET_GY)
    assert "overlap: Eye_L over Brainstem, 0.0 cc" in capsys.readouterr().err


def test_a_second_run_touches_nothing_and_restores_what_was_lost(source: ExtendedDataset, folder: Path) -> None:
    convert_channels(source, folder, ROLES, TARGET_GY)
    before = states(folder)
    convert_channels(source, folder, ROLES, TARGET_GY)
    assert states(folder) == before
    for lost in ("oarsTr/Phantom_001.nii.gz", "ctTr/Phantom_001.nii.gz", "imagesTr/Phantom_001_0001.nii.gz"):
        (folder / lost).unlink()
    convert_channels(source, folder, ROLES, TARGET_GY)
    after = states(folder)
    assert after.keys() == before.keys()
    assert {name for name in after if after[name] != before[name]} == {
        "oarsTr/Phantom_001.nii.gz",
        "ctTr/Phantom_001.nii.gz",
    }


def test_the_source_is_never_overwritten(source: ExtendedDataset) -> None:
    before = states(source.folder)
    with pytest.raises(DoseloError, match="must not replace its source"):
        convert_channels(source, source.folder, ROLES, TARGET_GY, overwrite=True)
    assert states(source.folder) == before


def test_a_broken_case_is_named_and_leaves_no_partial_file(source: ExtendedDataset, folder: Path) -> None:
    source.image_paths("Phantom_001")[3].unlink()
    with pytest.raises(DoseloError, match=r"^case Phantom_001: .*Phantom_001_0003\.nii\.gz: does not exist"):
        convert_channels(source, folder, ROLES, TARGET_GY)
    assert not list(folder.rglob(".*"))
    assert not (folder / "dataset.json").exists()


@pytest.mark.parametrize(
    ("roles", "target_gy", "message"),
    [
        (ChannelRoles(1, (3, 9)), TARGET_GY, "must name different channels"),
        (ChannelRoles(1, (1, 3)), TARGET_GY, "must name different channels"),
        (ChannelRoles(1, (0, 2, 3, 4)), TARGET_GY, "no image channel would be left"),
        (ROLES, {"PTV": 60.0}, r"target_gy names \['PTV'\], which are no labels"),
        (ROLES, {"GTV": float("nan")}, "positive numbers in Gy"),
    ],
)
def test_wrong_roles_are_refused_before_anything_is_written(
    source: ExtendedDataset, folder: Path, roles: ChannelRoles, target_gy: dict[str, float], message: str
) -> None:
    with pytest.raises(DoseloError, match=message):
        convert_channels(source, folder, roles, target_gy)
    assert not folder.exists()


def test_organs_need_names_of_their_own(source: ExtendedDataset, folder: Path) -> None:
    channels = source.dataset_json["channel_names"] | {"3": "organ", "4": "organ"}
    write_json(source.folder / "dataset.json", source.dataset_json | {"channel_names": channels})
    with pytest.raises(DoseloError, match=r"different names, the channels are called \['organ', 'organ'\]"):
        convert_channels(ExtendedDataset(source.folder), folder, ROLES, TARGET_GY)


@pytest.mark.parametrize(
    ("text", "channels"), [("5", (5,)), ("5-7", (5, 6, 7)), ("5-6,9", (5, 6, 9)), (" 3 , 4-4", (3, 4))]
)
def test_channels_are_numbers_and_ranges(text: str, channels: tuple[int, ...]) -> None:
    assert parse_channels(text) == channels


@pytest.mark.parametrize("text", ["", "a", "5-", "-5", "7-5", "1,,2", "1.5"])
def test_other_texts_are_no_channels(text: str) -> None:
    with pytest.raises(DoseloError, match="channels are given like 5-17 or 5,6,9"):
        parse_channels(text)


def test_prescribed_doses_are_label_and_gy() -> None:
    assert parse_target_gy(["PTV70=70", "PTV56=56.5"]) == {"PTV70": 70.0, "PTV56": 56.5}
    for text in ("GTV", "GTV=", "GTV=sixty"):
        with pytest.raises(DoseloError, match=f"given like GTV=60, found '{text}'"):
            parse_target_gy([text])
