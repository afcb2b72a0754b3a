"""Inside nnU-Net: warm-up of lambda, the checkpoint of lowest dose error, the paper's pair, nnU-Net's benchmark."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from nnunet_project import DATASET, five_steps, inside, make_project, make_trainer
from PIL import Image
from torch import nn

from nnunet_doselo.common.errors import DoseloError
from nnunet_doselo.common.nnunet_environment import BEST_DOSE_CHECKPOINT
from nnunet_doselo.context.transforms import split_batch
from nnunet_doselo.trainer.export_stock import export_stock
from nnunet_doselo.trainer.log import SMOOTHED, DoseLogger
from nnunet_doselo.trainer.speed import with_dummy_context

CPU = torch.device("cpu")
PAIR = ("nnUNetTrainerDOSELO_paper", "nnUNetTrainerBCEDice_paper")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory):
    root = tmp_path_factory.mktemp("project")
    make_project(root)
    with inside(root):
        yield root


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def predictor_of(folder: str | Path, checkpoint: str):
    """nnU-Net's predictor as nnUNetv2_predict -chk makes it."""
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

    predictor = nnUNetPredictor(device=CPU, perform_everything_on_device=False, allow_tqdm=False)
    predictor.initialize_from_trained_model_folder(str(folder), (0,), checkpoint)
    return predictor


def test_in_the_first_epoch_of_a_warm_up_the_dose_term_is_measured_but_moves_nothing(project: Path) -> None:
    plain, warming = make_trainer("nnUNetTrainerBCE_domain"), make_trainer("nnUNetTrainerDOSELO_lambda2_warmup4epochs")
    assert five_steps(plain) == five_steps(warming)
    assert same(plain.network.state_dict(), warming.network.state_dict())
    assert float(warming.loss.terms["dose"]) > 0


def test_lambda_follows_the_epoch_and_the_terms_stay_unweighted(project: Path) -> None:
    trainer = make_trainer("nnUNetTrainerDOSELO_lambda2_warmup4epochs")
    trainer.on_train_start()
    batch = next(trainer.dataloader_train)
    for epoch, weight in ((0, 0.0), (1, 0.5), (4, 2.0), (5, 2.0)):
        trainer.current_epoch = epoch
        trainer.logger.local_logger.my_fantastic_logging["lrs"] = [0.01] * epoch
        trainer.on_train_epoch_start()
        total = float(trainer.train_step(batch)["loss"])
        terms = {name: float(value) for name, value in trainer.loss.terms.items()}
        assert total == pytest.approx(terms["voxel"] + weight * terms["dose"], rel=1e-5)


def test_weights_and_biases_is_told_settings_and_predictor(project: Path) -> None:
    trainer, told = make_trainer("nnUNetTrainerDOSELO_lambda2"), {}
    trainer.logger.loggers.append(SimpleNamespace(update_config=told.update))
    trainer._attach_dose_loss()
    assert (told["dose_weight"], told["voxel_loss"]) == (2.0, "bce")
    assert len(told["dose_predictor_sha256"]) == 64


def scripted(trainer, errors_gy: dict[int, float]):
    """The trainer, whose dose errors in validation are given by epoch; Rx is 60 Gy."""
    measured = trainer.validation_step

    def step(batch: dict) -> dict:
        return measured(batch) | {"dose_term": np.array((errors_gy[trainer.current_epoch] / 60) ** 2)}

    trainer.validation_step = step
    return trainer


def weights(trainer) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in trainer.network.state_dict().items()}


def stopped_after(trainer, epochs: int) -> list[dict[str, torch.Tensor]]:
    """Train until somebody stops it; the weights at the end of each epoch. nnU-Net saves its latest state then."""
    trainer.save_every, seen = epochs, []
    on_epoch_end = trainer.on_epoch_end

    def remember() -> None:
        on_epoch_end()
        seen.append(weights(trainer))
        if len(seen) == epochs:
            raise KeyboardInterrupt

    trainer.on_epoch_end = remember
    with pytest.raises(KeyboardInterrupt):
        trainer.run_training()
    return seen


def test_the_checkpoint_of_lowest_dose_error_survives_resuming_and_predicts(project: Path) -> None:
    name = "nnUNetTrainerDOSELO_4epochs_1iterations"
    errors_gy = {0: 6.0, 1: 4.0, 2: 9.0, 3: 3.0}  # smoothed: 6, 5.8, 6.12, 5.808
    trainer = scripted(make_trainer(name), errors_gy)
    best_weights = stopped_after(trainer, epochs=3)[1]
    best = Path(trainer.output_folder) / BEST_DOSE_CHECKPOINT
    saved = torch.load(best, weights_only=False)
    assert saved["current_epoch"] == 2  # the one to come, as nnU-Net counts
    assert {len(values) for values in saved["logging"].values()} == {2}
    assert same(saved["network_weights"], best_weights)

    resumed = scripted(make_trainer(name), errors_gy)
    resumed.load_checkpoint(str(best.with_name("checkpoint_latest.pth")))
    resumed.run_training()
    assert resumed.logger.get_value(SMOOTHED, None) == pytest.approx([6.0, 5.8, 6.12, 5.808])
    assert same(torch.load(best, weights_only=False)["network_weights"], best_weights)  # 5.808 is not below 5.8
    with Image.open(best.with_name("progress.png")) as picture:
        assert picture.size == (3000, 7200)

    stock = predictor_of(export_stock(Path(trainer.output_folder_base), project / "stock"), BEST_DOSE_CHECKPOINT)
    for predictor in (predictor_of(trainer.output_folder_base, BEST_DOSE_CHECKPOINT), stock):
        assert same(predictor.network.state_dict(), best_weights)
    assert stock.trainer_name == "nnUNetTrainer"


def layers(network: nn.Module) -> dict[str, int]:
    """How many there are of each kind."""
    kinds = [type(module).__name__ for module in network.modules()]
    return {kind: kinds.count(kind) for kind in {*kinds}}


@pytest.mark.parametrize("name", PAIR)
def test_the_pair_trains_as_the_paper_says(project: Path, name: str) -> None:
    trainer = make_trainer(name)
    trainer.initialize()
    optimizer = trainer.optimizer
    assert type(optimizer) is torch.optim.Adam
    assert optimizer.defaults["betas"] == (0.9, 0.999)
    assert trainer.num_epochs * trainer.num_iterations_per_epoch == 20_000
    assert trainer.batch_size == 16
    for epoch in (0, 40, 79):
        trainer.lr_scheduler.step(epoch)
        assert optimizer.param_groups[0]["lr"] == 1e-4
    found, stock = layers(trainer.network), make_trainer("nnUNetTrainer")
    stock.initialize()
    assert found["BatchNorm2d"] == found["Dropout2d"] == layers(stock.network)["InstanceNorm2d"]
    assert "InstanceNorm2d" not in found
    assert {module.p for module in trainer.network.modules() if isinstance(module, nn.Dropout2d)} == {0.2}


def test_the_pair_differs_in_nothing_but_the_loss(project: Path) -> None:
    guided, baseline = (make_trainer(name) for name in PAIR)
    for trainer in (guided, baseline):
        torch.manual_seed(0)
        trainer.initialize()
    assert guided.configuration_manager.configuration == baseline.configuration_manager.configuration
    assert same(guided.network.state_dict(), baseline.network.state_dict())
    assert guided.optimizer.defaults == baseline.optimizer.defaults


def test_plans_of_others_are_left_alone(project: Path) -> None:
    file = project / "preprocessed" / DATASET / "nnUNetPlans.json"
    before = file.read_text()
    make_trainer(PAIR[0]).initialize()
    assert file.read_text() == before
    assert make_trainer("nnUNetTrainerBCE").configuration_manager.batch_size == 4


def test_a_trained_paper_model_predicts_under_the_stock_trainers_name(project: Path, tmp_path: Path) -> None:
    trainer = make_trainer("nnUNetTrainerDOSELO_paper_1epochs_2iterations")
    trainer.run_training()
    exported = export_stock(Path(trainer.output_folder_base), tmp_path)
    plans = json.loads((exported / "plans.json").read_text())
    assert plans["configurations"]["2d_small"]["architecture"]["arch_kwargs"]["norm_op"].endswith("BatchNorm2d")
    own, stock = (
        predictor_of(trainer.output_folder_base, BEST_DOSE_CHECKPOINT),
        predictor_of(exported, BEST_DOSE_CHECKPOINT),
    )
    assert stock.trainer_name == "nnUNetTrainer"
    image = torch.randn(1, 2, 32, 32, generator=torch.Generator().manual_seed(0))
    logits = [predictor.predict_sliding_window_return_logits(image) for predictor in (own, stock)]
    torch.testing.assert_close(logits[0], logits[1], rtol=0, atol=0)
    assert logits[0].std() > 0


def test_the_papers_baseline_of_one_target_is_nnunets_own_loss(project: Path) -> None:
    """With two softmax channels cross-entropy is binary, so BCE + soft Dice is Dice + CE."""
    ours, own = make_trainer(PAIR[1]), make_trainer("nnUNetTrainer")
    for trainer in (ours, own):
        trainer.initialize()
    random = torch.Generator().manual_seed(0)
    sizes = [(32, 32), (16, 16), (8, 8), (4, 4), (4, 4), (4, 4)][: len(own.loss.weight_factors)]
    output = [torch.randn(2, 2, *size, generator=random) for size in sizes]
    truth = [torch.randint(0, 2, (2, 1, *size), generator=random).float() for size in sizes]
    torch.testing.assert_close(ours.loss(output, truth), own.loss(output, truth))


@pytest.fixture
def as_if_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """nnU-Net's benchmark wants CUDA; the network itself stays on the CPU."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "Some GPU")
    monkeypatch.setattr(torch.backends.cudnn, "version", lambda: 90000)
    monkeypatch.setattr(DoseLogger, "plot_progress_png", lambda *_: None)  # seconds an epoch, tested elsewhere


@pytest.mark.parametrize("variant", ["benchmark", "benchmark_noDataLoading"])
def test_the_benchmark_writes_nnunets_own_result_file(project: Path, as_if_on_a_gpu: None, variant: str) -> None:
    trainer = make_trainer(f"nnUNetTrainerDOSELO_{variant}_1iterations")
    trainer.run_training()
    (result,) = json.loads((Path(trainer.output_folder) / "benchmark_result.json").read_text()).values()
    assert result.keys() == {"torch_version", "cudnn_version", "gpu_name", "fastest_epoch", "num_gpus", "hostname"}
    assert result["gpu_name"] == "Some GPU"
    log = trainer.logger.local_logger.my_fantastic_logging
    times = [e - s for e, s in zip(log["epoch_end_timestamps"], log["epoch_start_timestamps"], strict=True)]
    assert len(times) == 5
    assert result["fastest_epoch"] == min(times)
    assert min(log["train_dose_term"]) > 0
    assert list(Path(trainer.output_folder).glob("*.pth")) == []


def test_a_benchmark_without_a_predictor_is_refused_not_reported(
    project: Path, as_if_on_a_gpu: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("nnUNet_dose_predictor", str(project / "nowhere.ts"))
    trainer = make_trainer("nnUNetTrainerDOSELO_benchmark_2iterations")
    with pytest.raises(DoseloError, match=r"nowhere\.ts"):
        trainer.run_training()
    assert not (Path(trainer.output_folder) / "benchmark_result.json").exists()


def test_the_made_up_batch_has_a_ct_of_soft_tissue_and_every_organ() -> None:
    torch.manual_seed(0)
    image = torch.rand(2, 3, 16, 16)
    batch = with_dummy_context(image, highest_organ=2)
    back, organs, ct_hu = split_batch(batch)
    assert torch.equal(back, image)
    assert organs.unique().tolist() == [0, 1, 2]
    assert (ct_hu.min() >= -1e-3, ct_hu.max() <= 100.001) == (True, True)
    assert split_batch(with_dummy_context(image, highest_organ=0))[1].unique().tolist() == [0]
