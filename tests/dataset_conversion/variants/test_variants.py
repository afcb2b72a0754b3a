"""Variants of a dataset: originals beside edited contours, all doses by one planner, the rest shared."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import phantoms
import pytest
from stub_planner import BEAMS, ISOCENTRE_MM, StubPlanner
from typer.testing import CliRunner

from nnunet_doselo.cli import app
from nnunet_doselo.common.errors import DoseloError
from nnunet_doselo.dataset.folder import ExtendedDataset
from nnunet_doselo.dataset.images import read_array, write_array
from nnunet_doselo.dataset_conversion.variants.dataset import VariantSettings, make_variants
from nnunet_doselo.dataset_conversion.verify import verify_dataset

CASES = ["Phantom_000", "Phantom_000_v1", "Phantom_000_v2", "Phantom_001", "Phantom_001_v1", "Phantom_001_v2"]
TWO = VariantSettings(per_case=2, seed=3)


class Planner(StubPlanner):
    """Called with isocentre and beams alone."""

    def __call__(self, *arrays: Any, **given: Any) -> Any:
        return super().__call__(*arrays, **{"engine": "fluence", **given})


@pytest.fixture
def source(tmp_path: Path) -> ExtendedDataset:
    return phantoms.write_extended_dataset(tmp_path / "Dataset001_Head", cases=2, test_cases=1, mr=True)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "Dataset002_HeadVariants"


@pytest.fixture(autouse=True)
def planner(monkeypatch: pytest.MonkeyPatch) -> Planner:
    stub = Planner()
    monkeypatch.setattr("nnunet_doselo.planning.plan.plan_dose", stub)
    return stub


def array(dataset: ExtendedDataset, kind: str, case: str) -> np.ndarray:
    return read_array(dataset.path(kind, case))[0]


def test_it_is_a_dataset_without_findings_and_says_what_it_is(source: ExtendedDataset, folder: Path) -> None:
    make_variants(source, folder, TWO)
    made = ExtendedDataset(folder)
    assert made.cases() == made.cases("dose") == CASES
    assert made.cases("images", "Ts") == []
    assert verify_dataset(made) == []
    for key in ("channel_names", "labels", "dose_guidance", "file_ending"):
        assert made.dataset_json[key] == source.dataset_json[key]
    assert "Dataset001_Head and edited contours of it" in made.dataset_json["description"]


def test_the_beams_of_the_source_do_not_stand_beside_the_planners_doses(source: ExtendedDataset, folder: Path) -> None:
    content = source.dataset_json
    content["dose_guidance"]["gantry_deg"] = [0.0, 90.0]
    (source.folder / "dataset.json").write_text(json.dumps(content))
    make_variants(ExtendedDataset(source.folder), folder, TWO)
    assert ExtendedDataset(folder).guidance == replace(ExtendedDataset(source.folder).guidance, gantry_deg=())


def test_originals_keep_their_files_and_get_the_planners_dose(source: ExtendedDataset, folder: Path) -> None:
    make_variants(source, folder, TWO)
    made = ExtendedDataset(folder)
    for kind in ("labels", "ct", "oars"):
        assert made.path(kind, CASES[0]).samefile(source.path(kind, CASES[0]))
    assert made.image_paths(CASES[0])[0].samefile(source.image_paths(CASES[0])[0])
    assert np.array_equal(array(made, "dose", CASES[0]), 60 * array(source, "labels", CASES[0]))
    assert not np.array_equal(array(made, "dose", CASES[0]), array(source, "dose", CASES[0]))


def test_variants_have_their_own_target_and_dose_and_share_the_rest(
    source: ExtendedDataset, folder: Path, planner: Planner
) -> None:
    make_variants(source, folder, TWO)
    made = ExtendedDataset(folder)
    for case in CASES[1:3]:
        labels = array(made, "labels", case)
        assert not np.array_equal(labels, array(source, "labels", CASES[0]))
        assert np.array_equal(array(made, "dose", case), 60 * labels)
        for kind in ("ct", "oars"):
            assert made.path(kind, case).samefile(source.path(kind, CASES[0]))
        assert made.image_paths(case)[0].samefile(source.image_paths(CASES[0])[0])
    assert [call["isocentre_mm"] for call in planner.calls[:3]] == [None, ISOCENTRE_MM, ISOCENTRE_MM]
    assert [call["beams"] for call in planner.calls[:3]] == [None, BEAMS, BEAMS]


def test_edits_are_recorded(source: ExtendedDataset, folder: Path) -> None:
    make_variants(source, folder, TWO)
    first, second = json.loads((folder / "variants.json").read_text())
    assert (first["case"], second["case"]) == ("Phantom_000", "Phantom_001")
    assert [variant["case"] for variant in first["variants"]] == CASES[1:3]
    assert all(variant["kind"] and variant["parameters"] for variant in second["variants"])


def test_a_stopped_run_goes_on_and_a_finished_one_is_left_alone(
    source: ExtendedDataset, folder: Path, planner: Planner
) -> None:
    planner.fails_at = 4
    with pytest.raises(DoseloError, match="case Phantom_001: RuntimeError: no fluence"):
        make_variants(source, folder, TWO)
    planner.fails_at = 0
    for calls in (4 + 3, 4 + 3):
        make_variants(source, folder, TWO)
        assert len(planner.calls) == calls
    assert ExtendedDataset(folder).cases() == CASES


def test_cases_without_a_target_are_left_out_and_named(
    source: ExtendedDataset, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_array(source.path("labels", "Phantom_001"), np.zeros(phantoms.SHAPE, np.uint8), phantoms.grid_for())
    make_variants(source, folder, TWO)
    assert ExtendedDataset(folder).cases() == CASES[:3]
    assert "left out, because they have no target: Phantom_001" in capsys.readouterr().err


@pytest.mark.parametrize("wrong", [VariantSettings(0), VariantSettings(1, seed=-1)])
def test_settings_out_of_range_write_nothing(source: ExtendedDataset, folder: Path, wrong: VariantSettings) -> None:
    with pytest.raises(DoseloError, match="at least 1 a case and a seed from 0"):
        make_variants(source, folder, wrong)
    assert not folder.exists()


def test_variants_of_variants_and_of_nothing_are_refused(source: ExtendedDataset, folder: Path, tmp_path: Path) -> None:
    make_variants(source, folder, TWO)
    with pytest.raises(DoseloError, match="found Phantom_000_v1, which by its name is a variant already"):
        make_variants(ExtendedDataset(folder), tmp_path / "again", TWO)
    empty = phantoms.write_extended_dataset(tmp_path / "empty", cases=0, test_cases=1)
    with pytest.raises(DoseloError, match="need training cases with images, labels, CT and organs, found none"):
        make_variants(empty, tmp_path / "again", TWO)


def test_the_command_names_the_new_dataset(
    source: ExtendedDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("nnUNet_raw", str(tmp_path))
    result = CliRunner().invoke(app, ["variants", "1", "2", "--per-case", "1", "-np", "1"])
    assert result.exit_code == 0, result.output
    assert "next: doselo train-predictor 2" in result.output
    assert len(ExtendedDataset(tmp_path / "Dataset002_HeadVariants").cases()) == 4
