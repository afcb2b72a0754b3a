import pickle
from pathlib import Path

import phantoms
import pytest

from nnunet_doselo.common.errors import DoseloError
from nnunet_doselo.dataset.folder import ExtendedDataset, environment_folder, find_dataset_name, raw_dataset


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("raw")
    phantoms.write_extended_dataset(root / "Dataset007_Head", cases=2, test_cases=1)
    (root / "Dataset070_Other").mkdir()
    (root / "Dataset008_One").mkdir()
    (root / "Dataset008_Two").mkdir()
    (root / "Dataset009_file").touch()
    return root


@pytest.mark.parametrize("name", [7, "7", "007", "Dataset007_Head"])
def test_a_dataset_goes_by_number_or_name(raw: Path, name: str | int) -> None:
    assert find_dataset_name(name, raw) == "Dataset007_Head"


@pytest.mark.parametrize("name", ["8", "9", "10", "Head", "../raw", "/tmp", "", "Dataset007_"])
def test_other_names_are_refused_and_the_error_lists_what_is_there(raw: Path, name: str) -> None:
    with pytest.raises(DoseloError, match=r"expected one dataset .*Dataset070_Other"):
        find_dataset_name(name, raw)


def test_raw_dataset_looks_below_nnunet_raw(raw: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("nnUNet_raw", str(raw))
    assert raw_dataset(7).folder == raw / "Dataset007_Head"
    monkeypatch.delenv("nnUNet_raw")
    with pytest.raises(DoseloError, match="nnUNet_raw must name a folder, found nothing"):
        environment_folder("nnUNet_raw")


def test_paths_and_cases(raw: Path) -> None:
    dataset = ExtendedDataset(raw / "Dataset007_Head")
    assert dataset.guidance == phantoms.GUIDANCE
    assert dataset.cases() == ["Phantom_000", "Phantom_001"]
    assert dataset.cases("images", "Ts") == dataset.cases("dose", "Ts") == ["Phantom_002"]
    assert [p.name for p in dataset.image_paths("Phantom_000")] == ["Phantom_000_0000.nii.gz"]
    assert dataset.path("oars", "Phantom_002", "Ts").exists()


def test_hidden_files_other_endings_and_files_without_channel_are_no_cases(tmp_path: Path) -> None:
    dataset = phantoms.write_extended_dataset(tmp_path, cases=1)
    for name in (".123.P_0000.nii.gz", "P_0000.nii", "notes.nii.gz"):
        (tmp_path / "imagesTr" / name).touch()
    (tmp_path / "labelsTr" / ".123.P.nii.gz").touch()
    assert dataset.cases("images") == dataset.cases("labels") == ["Phantom_000"]


def test_a_missing_folder_has_no_cases(raw: Path) -> None:
    assert ExtendedDataset(raw / "Dataset007_Head").cases("plans") == []


def test_a_dataset_can_be_sent_to_another_process(raw: Path) -> None:
    dataset = ExtendedDataset(raw / "Dataset007_Head")
    assert pickle.loads(pickle.dumps(dataset)).guidance == dataset.guidance


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "no such file; is .* an nnU-Net dataset"),
        (b"{", "not valid JSON"),
        (b"\xff\xfe\x00", "not valid JSON"),
        (b'{"labels": {}}', r"nnU-Net needs .*missing \['channel_names', 'file_ending'\]"),
    ],
)
def test_an_unusable_dataset_json_is_one_clear_error(tmp_path: Path, content: bytes | None, message: str) -> None:
    if content is not None:
        (tmp_path / "dataset.json").write_bytes(content)
    with pytest.raises(DoseloError, match=rf"dataset\.json: {message}"):
        _ = ExtendedDataset(tmp_path).dataset_json
