"""A tiny predictor from phantoms to artifact; a run that stops goes on; a run that must not start does not."""

import csv
import dataclasses
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import phantoms
import pytest
import torch
from predictors import random_inputs

from nnunet_doselo.common.errors import DoseloError
from nnunet_doselo.common.hashing import sha256_of
from nnunet_doselo.dataset.case_names import patient_of, variant_name
from nnunet_doselo.dataset.folder import ExtendedDataset
from nnunet_doselo.predictor.artifact import load_network, load_predictor
from nnunet_doselo.predictor.spatial_domain import WHOLE_DOMAIN, SpatialDomain, domain_of_beams
from nnunet_doselo.predictor_training.training import train
from nnunet_doselo.predictor_training.training.module import DosePredictorModule
from nnunet_doselo.predictor_training.training.plan import TrainingPlan, make_plan, working_spacing
from nnunet_doselo.predictor_training.training.settings import TrainingSettings

TINY = TrainingSettings(epochs=2, iterations_per_epoch=3, batch_size=2, width=1e-3, precision="32-true")


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> TrainingPlan:
    folder = tmp_path_factory.mktemp("raw") / "Dataset001_Head"
    return make_plan(phantoms.write_extended_dataset(folder, cases=4), TINY)


@pytest.fixture(scope="module")
def run(plan: TrainingPlan, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with a finished run: `cwd` it was started in, `results`, `preprocessed`."""
    folder = tmp_path_factory.mktemp("run")
    (folder / "cwd").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder / "cwd")
        train.train(plan, folder / "results", folder / "preprocessed", processes=1)
        yield folder


def epochs_logged(results: Path) -> list[int]:
    """Epochs that were validated, in all logs of a run."""
    texts = [file.read_text() for file in sorted(results.glob("*/metrics.csv"))]
    rows = [row for text in texts for row in csv.DictReader(text.splitlines())]
    return [int(row["epoch"]) for row in rows if row["val_mae_gy"]]


def test_the_artifact_predicts_and_its_card_says_how_well(run: Path, plan: TrainingPlan) -> None:
    predictor = load_predictor(run / "preprocessed" / "dose_predictor.ts")
    assert predictor(*random_inputs(1, 32, 32)).isfinite().all()
    card = predictor.card
    assert (card.oars, card.target_gy, card.spacing_mm) == (phantoms.OARS, {"GTV": 60.0}, (3.0, 3.0))
    assert card.validation["cases"] == len(plan.validation) == 1
    assert 0 < card.validation["mae_gy"] == card.validation["worst_mae_gy"] < 60
    assert card.versions["torch"] == str(torch.__version__).partition("+")[0]


@pytest.mark.parametrize(("augmentation", "domain"), [("beams", domain_of_beams((), 2)), ("whole", WHOLE_DOMAIN)])
def test_the_card_states_the_augmentation(
    plan: TrainingPlan, run: Path, tmp_path: Path, augmentation: str, domain: SpatialDomain
) -> None:
    chosen = make_plan(plan.dataset, dataclasses.replace(TINY, augmentation=augmentation))
    artifact = train.export(chosen, run / "results" / "best.ckpt", tmp_path, tmp_path / "preprocessed")
    assert load_predictor(artifact).card.domain == chosen.domain == domain


def test_validation_table_pictures_and_hash_lie_beside_the_checkpoints(run: Path, plan: TrainingPlan) -> None:
    results, artifact = run / "results", run / "preprocessed" / "dose_predictor.ts"
    (row,) = csv.DictReader((results / "validation.csv").read_text().splitlines())
    assert row["case"] == plan.validation[0]
    assert float(row["mae_gy"]) == pytest.approx(load_predictor(artifact).card.validation["mae_gy"], abs=1e-4)
    assert {"best.ckpt", "last.ckpt", "settings.json", "validation_worst.png"} <= {p.name for p in results.iterdir()}
    recorded = json.loads((results / "artifact.json").read_text())
    assert recorded == {"path": str(artifact), "sha256": sha256_of(artifact)}
    assert list(results.glob("dose_predictor.*")) == []


def test_the_weights_are_those_of_the_best_checkpoint(run: Path, plan: TrainingPlan) -> None:
    network, _ = load_network(run / "preprocessed" / "dose_predictor.ts")
    state = torch.load(run / "results" / "best.ckpt", weights_only=True)["state_dict"]
    assert all(torch.equal(weight, state[f"network.{key}"]) for key, weight in network.state_dict().items())


def test_metrics_are_logged_once_an_epoch_and_nothing_is_left_where_it_ran(run: Path) -> None:
    assert epochs_logged(run / "results") == [0, 1]
    assert list((run / "cwd").iterdir()) == []
    assert {p.name for p in (run / "preprocessed").iterdir()} == {
        "dose_predictor.ts",
        "dose_predictor.safetensors",
        "dose_predictor_slices",
    }


def test_a_run_that_stopped_goes_on_where_it_was(
    plan: TrainingPlan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    results, begun = tmp_path / "results", list[int]()
    monkeypatch.setattr(DosePredictorModule, "on_train_epoch_start", _power_cut_in_epoch_1)
    with pytest.raises(RuntimeError, match="power cut"):
        train.train(plan, results, tmp_path, processes=0)
    assert not (tmp_path / "dose_predictor.ts").exists()
    monkeypatch.setattr(DosePredictorModule, "on_train_epoch_start", lambda self: begun.append(self.current_epoch))
    train.train(plan, results, tmp_path, processes=0, resume=True)
    assert begun == [1]
    assert epochs_logged(results) == [0, 1]
    assert torch.load(results / "last.ckpt", weights_only=True)["global_step"] == 6
    assert (tmp_path / "dose_predictor.ts").exists()


def test_a_resumed_run_is_the_run_it_would_have_been(
    run: Path, plan: TrainingPlan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Weights, their average and the optimiser's state, to the bit; with a loader in a process of its own."""
    results = tmp_path / "results"
    with monkeypatch.context() as cut:
        cut.setattr(DosePredictorModule, "on_train_epoch_start", _power_cut_in_epoch_1)
        with pytest.raises(RuntimeError, match="power cut"):
            train.train(plan, results, tmp_path, processes=0)
    train.train(plan, results, tmp_path, processes=2, resume=True)
    ours, theirs = (torch.load(folder / "last.ckpt", weights_only=True) for folder in (results, run / "results"))
    for kept in ("state_dict", "current_model_state"):
        assert all(torch.equal(ours[kept][name], weight) for name, weight in theirs[kept].items())
    steps = zip(ours["optimizer_states"], theirs["optimizer_states"], strict=True)
    assert all(
        torch.equal(a["state"][key]["exp_avg"], b["state"][key]["exp_avg"]) for a, b in steps for key in b["state"]
    )


def _worse_and_worse(self: DosePredictorModule, batch: Any, batch_index: int) -> None:
    self.log("val_mae_gy", float(self.current_epoch), batch_size=1)


def _power_cut_in_epoch_1(self: DosePredictorModule) -> None:
    if self.current_epoch == 1:
        raise RuntimeError("power cut")


def test_a_finished_run_is_not_written_over(run: Path, plan: TrainingPlan, tmp_path: Path) -> None:
    with pytest.raises(DoseloError, match="holds a run already; pass --resume"):
        train.train(plan, run / "results", tmp_path, processes=0)
    assert list(tmp_path.iterdir()) == []


def test_a_run_is_resumed_with_its_own_settings_and_cases_only(run: Path, plan: TrainingPlan, tmp_path: Path) -> None:
    longer = dataclasses.replace(plan, settings=dataclasses.replace(TINY, epochs=3))
    fewer = dataclasses.replace(plan, training=plan.training[:1])
    before = (run / "results" / "settings.json").read_text()
    for other in (longer, fewer):
        with pytest.raises(DoseloError, match=r"settings\.json: this run had other settings or cases"):
            train.train(other, run / "results", tmp_path, processes=0, resume=True)
    assert (run / "results" / "settings.json").read_text() == before


def test_a_run_from_before_a_setting_existed_had_its_default(run: Path, plan: TrainingPlan, tmp_path: Path) -> None:
    results = Path(shutil.copytree(run / "results", tmp_path / "results"))
    recorded = json.loads((results / "settings.json").read_text())
    (results / "settings.json").write_text(json.dumps({k: v for k, v in recorded.items() if k != "dim"}))
    volumes = dataclasses.replace(plan, settings=dataclasses.replace(TINY, dim=3))
    with pytest.raises(DoseloError, match="this run had other settings"):
        train.train(volumes, results, tmp_path, processes=0, resume=True)
    train.train(plan, results, tmp_path, processes=0, resume=True)
    assert json.loads((results / "settings.json").read_text()) == recorded


def test_the_best_epoch_is_exported_and_the_last_is_where_to_go_on(
    plan: TrainingPlan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(DosePredictorModule, "validation_step", _worse_and_worse)
    for resume in (False, True):  # a finished run is exported again, and trained no further
        artifact = train.train(plan, tmp_path / "results", tmp_path, processes=0, resume=resume)
        batches_seen = load_network(artifact)[0].cascade.first.encoder[0][1].num_batches_tracked
        assert int(batches_seen) == TINY.iterations_per_epoch
        assert torch.load(tmp_path / "results" / "last.ckpt", weights_only=True)["global_step"] == 6
    assert epochs_logged(tmp_path / "results") == [0, 1]
    assert sorted(file.name for file in (tmp_path / "results").glob("*.ckpt")) == ["best.ckpt", "last.ckpt"]


def test_a_run_that_ended_early_is_exported_again_and_trained_no_further(
    plan: TrainingPlan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(DosePredictorModule, "validation_step", _worse_and_worse)
    impatient = dataclasses.replace(plan, settings=dataclasses.replace(TINY, epochs=9, patience=1))
    for resume in (False, True):
        train.train(impatient, tmp_path / "results", tmp_path, processes=0, resume=resume)
        assert torch.load(tmp_path / "results" / "last.ckpt", weights_only=True)["epoch"] == 1
    assert epochs_logged(tmp_path / "results") == [0, 1]


def test_a_training_that_diverged_exports_nothing(plan: TrainingPlan, tmp_path: Path) -> None:
    wild = dataclasses.replace(plan, settings=dataclasses.replace(TINY, learning_rate=1e30))
    with pytest.raises(DoseloError, match="never a finite number; train with a lower learning rate"):
        train.train(wild, tmp_path / "results", tmp_path, processes=0)
    assert list(tmp_path.glob("dose_predictor.*")) == []


def test_there_must_be_something_to_resume(plan: TrainingPlan, tmp_path: Path) -> None:
    with pytest.raises(DoseloError, match=r"nothing to resume, last\.ckpt and settings\.json must be there"):
        train.train(plan, tmp_path / "results", tmp_path, processes=0, resume=True)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("fraction", "held_out"), [(0.01, 1), (0.25, 1), (0.5, 2), (0.99, 3)])
def test_the_split_keeps_cases_on_both_sides_and_follows_the_seed(
    plan: TrainingPlan, fraction: float, held_out: int
) -> None:
    settings = dataclasses.replace(TINY, validation_fraction=fraction)
    split = make_plan(plan.dataset, settings)
    assert len(split.validation) == held_out
    assert sorted([*split.training, *split.validation]) == plan.dataset.cases()
    assert make_plan(plan.dataset, settings).validation == split.validation
    others = [make_plan(plan.dataset, dataclasses.replace(settings, seed=s)).validation for s in range(8)]
    assert any(validation != split.validation for validation in others)


def add_variants(dataset: ExtendedDataset, folder: Path, cases: list[str]) -> ExtendedDataset:
    """A copy in which these cases have a variant each."""
    copy = ExtendedDataset(shutil.copytree(dataset.folder, folder / dataset.folder.name))
    for kind in ("labels", "ct", "oars", "dose"):
        for case in cases:
            shutil.copy(copy.path(kind, case), copy.path(kind, variant_name(case, 1)))
    return copy


@pytest.mark.parametrize("seed", range(4))
def test_a_patient_and_its_variants_are_on_the_same_side(plan: TrainingPlan, tmp_path: Path, seed: int) -> None:
    dataset = add_variants(plan.dataset, tmp_path, plan.dataset.cases())
    split = make_plan(dataset, dataclasses.replace(TINY, validation_fraction=0.5, seed=seed))
    sides = [{patient_of(case) for case in cases} for cases in (split.training, split.validation)]
    assert [len(side) for side in sides] == [2, 2]
    assert not sides[0] & sides[1]
    assert sorted([*split.training, *split.validation]) == dataset.cases()


def test_variants_of_one_patient_cannot_validate_each_other(plan: TrainingPlan, tmp_path: Path) -> None:
    first, *others = plan.dataset.cases()
    dataset = add_variants(plan.dataset, tmp_path, [first])
    for case in others:
        dataset.path("dose", case).unlink()
    with pytest.raises(DoseloError, match=f"at least two patients.* all 2 training cases are variants of {first}"):
        make_plan(dataset, TINY)


def test_the_plan_says_what_will_be_done(plan: TrainingPlan) -> None:
    said = plan.describe()
    assert (said["training cases"], said["validation cases"], said["steps"]) == (3, 1, 6)
    assert said["organs"] == phantoms.OARS


@pytest.mark.parametrize(
    "wrong",
    [{"epochs": 0}, {"width": 0.0}, {"validation_fraction": 1.0}, {"validation_fraction": 0.0}, {"precision": "half"}],
)
def test_settings_out_of_range_are_refused(plan: TrainingPlan, wrong: dict[str, Any]) -> None:
    with pytest.raises(DoseloError, match=next(iter(wrong))):
        make_plan(plan.dataset, dataclasses.replace(TINY, **wrong))
    with pytest.raises(DoseloError, match="spacing must be positive"):
        make_plan(plan.dataset, dataclasses.replace(TINY, spacing_mm=(-1.0, 3.0)))


def test_fine_voxels_are_predicted_on_two_millimetres() -> None:
    assert working_spacing((0.9766, 0.9766)) == (2.0, 2.0)
    assert working_spacing((2.5, 1.0, 3.9)) == (2.5, 2.0, 3.9)


def test_one_complete_case_is_not_enough(plan: TrainingPlan, tmp_path: Path) -> None:
    folder = shutil.copytree(plan.dataset.folder, tmp_path / "Dataset001_Head")
    for case in plan.dataset.cases()[1:]:
        (folder / "doseTr" / f"{case}.nii.gz").unlink()
    with pytest.raises(DoseloError, match=r"at least two training cases .* found 1"):
        make_plan(ExtendedDataset(folder), TINY)
