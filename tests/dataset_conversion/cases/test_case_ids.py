"""Case ids and the table that knows whose they are."""

import csv
import hashlib
import hmac
import os
import stat
from pathlib import Path

import pytest

from nnunet_doselo.common.errors import DoseloError
from nnunet_doselo.dataset_conversion.cases.ids import CaseIds, key_file_for, read_key_table


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    return tmp_path / "secret" / "Dataset501_GBM.csv"


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_patients_are_counted_and_keep_their_number(key_file: Path) -> None:
    ids = CaseIds(key_file, "GBM")
    assert [ids.id_of(patient) for patient in ("Doe", "Ann", "Doe")] == ["GBM_001", "GBM_002", "GBM_001"]
    ids.save()
    again = CaseIds(key_file, "GBM")
    assert [again.id_of(patient) for patient in ("New", "Ann", "Doe")] == ["GBM_003", "GBM_002", "GBM_001"]


def test_nothing_is_written_before_save(key_file: Path) -> None:
    for scheme in ("counter", "hash"):
        CaseIds(key_file, "GBM", scheme).id_of("Doe")
    assert not key_file.parent.exists()


def test_the_table_is_for_its_owner_alone(key_file: Path) -> None:
    ids = CaseIds(key_file, "GBM", "hash")
    ids.id_of("Doe")
    ids.save()
    assert (mode(key_file.parent), mode(key_file), mode(key_file.with_suffix(".salt"))) == (0o700, 0o600, 0o600)
    key_file.chmod(0o644)
    ids.save()
    assert mode(key_file) == 0o600
    assert not list(key_file.parent.glob(".*"))


def test_the_table_says_where_a_case_came_from(key_file: Path) -> None:
    ids = CaseIds(key_file, "GBM")
    ids.id_of('Doe, "Jane"', source="a/b", ct_series="1.2.3", frame="4.5")
    ids.id_of('Doe, "Jane"', source="moved")
    ids.save()
    with key_file.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows == [
        {
            "case": "GBM_001", "patient_id": 'Doe, "Jane"', "source": "moved", "ct_series": "1.2.3", "frame": "4.5",
            "split": "",
        }
    ]  # fmt: skip
    assert read_key_table(key_file)[0].ct_series == "1.2.3"


def test_names_of_folders_need_not_be_utf8(key_file: Path) -> None:
    name = os.fsdecode(b"M\xfcller")
    for scheme in ("counter", "hash"):
        ids = CaseIds(key_file, "GBM", scheme)
        case = ids.id_of(name)
        ids.save()
        assert CaseIds(key_file, "GBM", scheme).id_of(name) == case
    assert b"M\xfcller" in key_file.read_bytes()


def test_hashed_ids_need_the_salt_to_be_guessed(key_file: Path) -> None:
    ids = CaseIds(key_file, "GBM", "hash")
    case = ids.id_of("Doe")
    ids.save()
    salt = bytes.fromhex(key_file.with_suffix(".salt").read_text())
    assert len(salt) == 32
    assert case == f"GBM_{hmac.new(salt, b'Doe', hashlib.sha256).hexdigest()[:10]}"
    key_file.unlink()
    assert CaseIds(key_file, "GBM", "hash").id_of("Doe") == case
    assert CaseIds(key_file.with_name("other.csv"), "GBM", "hash").id_of("Doe") != case


def test_hashed_ids_that_collide_grow(key_file: Path) -> None:
    ids = CaseIds(key_file, "GBM", "hash")
    short = ids.id_of("Doe")
    ids.rows["Other"] = ids.rows.pop("Doe")
    longer = ids.id_of("Doe")
    assert longer.startswith(short)
    assert len(longer) == len(short) + 1


@pytest.mark.parametrize(("fraction", "tests"), [(0.0, 0), (0.2, 2), (0.26, 3), (0.9, 9)])
def test_the_fraction_of_test_patients_is_exact_to_one(key_file: Path, fraction: float, tests: int) -> None:
    ids = CaseIds(key_file, "GBM")
    for number in range(10):
        ids.id_of(str(number))
    assert list(ids.splits(fraction).values()).count("Ts") == tests


def test_who_has_a_split_keeps_it(key_file: Path) -> None:
    ids = CaseIds(key_file, "GBM")
    for number in range(10):
        ids.id_of(str(number))
    before = ids.splits(0.2)
    ids.save()
    ids = CaseIds(key_file, "GBM")
    for number in range(20):
        ids.id_of(str(number))
    after = ids.splits(0.2)
    assert {case: after[case] for case in before} == before
    assert list(after.values()).count("Ts") == 4
    assert ids.splits(0.9) == after


def test_splits_can_be_given(key_file: Path) -> None:
    ids = CaseIds(key_file, "GBM")
    cases = [ids.id_of(str(number)) for number in range(4)]
    ids.set_splits({cases[0]: "Tr", cases[1]: "Ts"})
    assert ids.splits(0.5) | {cases[0]: "Tr", cases[1]: "Ts"} == ids.splits(0.5)
    assert list(ids.splits(0.5).values()).count("Ts") == 2


@pytest.mark.parametrize("fraction", [-0.1, 1.0, float("nan")])
def test_other_fractions_are_refused(key_file: Path, fraction: float) -> None:
    with pytest.raises(DoseloError, match="from 0 to below 1"):
        CaseIds(key_file, "GBM").splits(fraction)


@pytest.mark.parametrize("prefix", ["", "1A", "../x", "A B", "Ä"])
def test_prefixes_are_plain_names(key_file: Path, prefix: str) -> None:
    with pytest.raises(DoseloError, match="case ids start with a letter"):
        CaseIds(key_file, prefix)


def test_the_table_never_lies_in_the_dataset(tmp_path: Path) -> None:
    dataset = tmp_path / "nnUNet_raw" / "Dataset501_GBM"
    assert key_file_for(dataset) == tmp_path / "doselo_keys" / "Dataset501_GBM.csv"
    assert key_file_for(dataset, tmp_path / "k.csv") == tmp_path / "k.csv"
    dataset.mkdir(parents=True)
    (tmp_path / "link").symlink_to(dataset)
    for inside in (dataset / "keys.csv", dataset / "sub" / ".." / "keys.csv", tmp_path / "link" / "keys.csv"):
        with pytest.raises(DoseloError, match="must lie outside the dataset"):
            key_file_for(dataset, inside)


def test_a_table_of_something_else_is_not_overwritten(key_file: Path) -> None:
    key_file.parent.mkdir()
    key_file.write_text("patient,age\nDoe,50\n")
    with pytest.raises(DoseloError, match="a key table has the columns case, patient_id"):
        CaseIds(key_file, "GBM")
    key_file.write_text("")
    with pytest.raises(DoseloError, match="a key table has the columns"):
        CaseIds(key_file, "GBM")
    key_file.write_text("case,patient_id,source,ct_series,frame,split\nGBM_001,Doe\n")
    with pytest.raises(DoseloError, match="a key table has the columns"):
        CaseIds(key_file, "GBM")
    with pytest.raises(DoseloError, match="cannot be read"):
        read_key_table(key_file.parent)
    key_file.unlink()
    key_file.with_suffix(".salt").write_text("pepper")
    with pytest.raises(DoseloError, match="must hold the salt"):
        CaseIds(key_file, "GBM", "hash")
