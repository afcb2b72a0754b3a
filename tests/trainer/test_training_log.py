"""What a training writes down each epoch: smoothing, nnU-Net's loggers, and the panel below its picture."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from nnunetv2.training.logging import nnunet_logger
from PIL import Image

from nnunet_doselo.trainer.dose_panel import append_dose_panel, draw_dose_panel
from nnunet_doselo.trainer.log import (
    LOGGED_KEYS,
    SMOOTHED,
    DoseLogger,
    is_lowest,
    log_terms,
    mean_terms,
    smoothed_rms_gy,
)

OURS = {"voxel_loss": 0.5, "dose_term": 0.01, "dose_rms_gy": 6.0}
NAN = math.nan


def outputs(*dose_terms: float) -> list[dict]:
    """What training steps return, with a voxel loss ten times the dose term."""
    return [{"voxel_term": np.array(10 * dose), "dose_term": np.array(dose)} for dose in dose_terms]


def filled(epochs: int) -> DoseLogger:
    """A log of that many whole epochs."""
    logger = DoseLogger()
    for key in logger.my_fantastic_logging:
        for epoch in range(epochs):
            logger.log(key, 1.0 + epoch, epoch)
    return logger


def test_an_epochs_terms_are_means_and_the_error_is_in_gray() -> None:
    assert mean_terms(outputs(0.01, 0.03), prescription_gy=60.0) == pytest.approx(
        {"voxel_loss": 0.2, "dose_term": 0.02, "dose_rms_gy": 60 * math.sqrt(0.02)}
    )


def _one_of_two(rank: int, meeting_point: str) -> None:
    torch.distributed.init_process_group("gloo", init_method=meeting_point, rank=rank, world_size=2)
    terms = mean_terms(outputs(0.01 if rank == 0 else 0.03), prescription_gy=10.0)
    torch.distributed.destroy_process_group()
    assert terms["dose_term"] == pytest.approx(0.02)


@pytest.mark.slow
def test_two_processes_share_their_terms(tmp_path: Path) -> None:
    torch.multiprocessing.spawn(_one_of_two, args=(f"file://{tmp_path / 'meet'}",), nprocs=2)


def test_the_error_is_smoothed_as_nnunet_smooths_its_dice() -> None:
    assert smoothed_rms_gy([], 8.0) == 8.0
    assert smoothed_rms_gy([9.0, 8.0], 6.0) == pytest.approx(0.9 * 8 + 0.1 * 6)
    assert smoothed_rms_gy([8.0, NAN], 6.0) == 6.0
    assert math.isnan(smoothed_rms_gy([8.0], NAN))


@pytest.mark.parametrize(
    ("history", "lowest"),
    [
        ([5.0], True),
        ([5.0, 4.0], True),
        ([5.0, 5.0], False),
        ([4.0, 5.0, 4.5], False),
        ([NAN, 5.0], True),
        ([5.0, NAN], False),
        ([NAN], False),
    ],
)
def test_the_best_epoch_is_below_all_before(history: list[float], lowest: bool) -> None:
    assert is_lowest(history) == lowest


def test_a_checkpoint_of_before_is_completed_with_unknown_epochs() -> None:
    old = nnunet_logger.LocalLogger()
    for epoch in (0, 1):
        for key in old.my_fantastic_logging:
            old.log(key, 1.0, epoch)
    resumed = DoseLogger()
    resumed.load_checkpoint(old.get_checkpoint())
    assert all(np.isnan(resumed.get_value(key, None)).tolist() == [True, True] for key in LOGGED_KEYS)
    resumed.log("val_dose_term", 0.5, 2)
    assert resumed.get_value("val_dose_term", 2) == 0.5


def test_a_resumed_log_goes_on_where_it_was() -> None:
    resumed = DoseLogger()
    resumed.load_checkpoint(filled(2).get_checkpoint())
    assert resumed.get_value(SMOOTHED, None) == [1.0, 2.0]


class StubWandb:
    """Stands for the package wandb and for its run; keeps what it is told."""

    def __init__(self) -> None:
        self.logged: list[tuple[dict, int]] = []
        self.summary: dict = {}
        self.config: dict = {}
        self.step = 0

    def init(self, **settings: object) -> "StubWandb":
        return self

    def log(self, values: dict, step: int) -> None:
        self.logged.append((values, step))


def test_weights_and_biases_gets_both_terms_and_gray(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stub = StubWandb()
    monkeypatch.setattr(nnunet_logger, "wandb", stub)
    monkeypatch.setenv("nnUNet_wandb_enabled", "1")
    logger = nnunet_logger.MetaLogger(str(tmp_path), resume=False)
    logger.local_logger = DoseLogger()
    for phase in ("train", "val"):
        log_terms(logger, phase, OURS, epoch=0)
    expected = [{f"{phase}_{name}": value} for phase in ("train", "val") for name, value in OURS.items()]
    assert stub.logged == [(values, 0) for values in [*expected, {SMOOTHED: 6.0}]]
    assert all(logger.get_value(key, 0) == value for values, _ in stub.logged for key, value in values.items())


def test_the_panel_joins_nnunets_own_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    filled(3).plot_progress_png(str(tmp_path))
    nnunet_logger.LocalLogger.plot_progress_png(filled(3), str(tmp_path / ".."))
    with Image.open(tmp_path / "progress.png") as ours, Image.open(tmp_path.parent / "progress.png") as own:
        assert ours.size == (own.width, own.height + 1800)
        above = ours.crop((0, 0, own.width, own.height))
        np.testing.assert_array_equal(np.asarray(above), np.asarray(own.convert("RGB")))
    assert [file.name for file in tmp_path.iterdir()] == ["progress.png"]


@pytest.mark.parametrize("values", [[0.5], [NAN, 0.5, 0.25], [-0.7, -0.8], []])
def test_the_panel_can_be_drawn_of_one_epoch_unknown_ones_and_losses_below_0(values: list[float]) -> None:
    panel = np.asarray(draw_dose_panel(dict.fromkeys(LOGGED_KEYS, values)))
    assert panel.shape == (1800, 3000, 3)
    assert (panel[100:-100, 100:-100] < 255).any()


def test_a_narrower_picture_is_kept_whole(tmp_path: Path) -> None:
    Image.new("RGB", (20, 10), "red").save(tmp_path / "progress.png")
    append_dose_panel(tmp_path / "progress.png", {key: [1.0] for key in LOGGED_KEYS})
    with Image.open(tmp_path / "progress.png") as whole:
        assert whole.size == (3000, 1810)
        assert [whole.getpixel(at) for at in ((19, 9), (20, 9))] == [(255, 0, 0), (255, 255, 255)]
