"""What a trainer's name says."""

import doctest

import pytest

from nnunet_doselo.common.errors import DoseloError
from nnunet_doselo.trainer import trainer_names
from nnunet_doselo.trainer.trainer_names import SUFFIXES, TRAINERS, TrainerSettings, parse_trainer_name

DOSELO, DICE_CE, BCE = "nnUNetTrainerDOSELO", "nnUNetTrainerDOSELO_DiceCE", "nnUNetTrainerBCE"
STOCK = "nnUNetTrainer"
PAPER, PAPERS_BASELINE = f"{DOSELO}_paper", "nnUNetTrainerBCEDice_paper"
BENCHMARK = f"{DOSELO}_benchmark"


@pytest.mark.parametrize(
    ("name", "base", "expected"),
    [
        (DOSELO, DOSELO, TrainerSettings("bce", 1.0, None, None, True)),
        (DICE_CE, DICE_CE, TrainerSettings("nnunet", 1.0, None, None, True)),
        (BCE, BCE, TrainerSettings("bce", None, None, None, True)),
        (f"{DOSELO}_lambda0p1", DOSELO, TrainerSettings("bce", 0.1)),
        (f"{DOSELO}_lambda10", DOSELO, TrainerSettings("bce", 10.0)),
        (f"{DOSELO}_lambda0", DOSELO, TrainerSettings("bce", 0.0)),
        (f"{DOSELO}_lambda2p50_50epochs", DOSELO, TrainerSettings("bce", 2.5, 50)),
        (f"{DOSELO}_50epochs_lambda2p5", DOSELO, TrainerSettings("bce", 2.5, 50)),
        (f"{DICE_CE}_soft", DICE_CE, TrainerSettings("nnunet", 1.0, None, None, False)),
        (f"{DICE_CE}_lambda3_7iterations", DICE_CE, TrainerSettings("nnunet", 3.0, None, 7)),
        (f"{BCE}_100epochs_20iterations", BCE, TrainerSettings("bce", None, 100, 20)),
        (f"{STOCK}_3epochs_40iterations", STOCK, TrainerSettings("nnunet", None, 3, 40)),
        (f"{DOSELO}_warmup10epochs_50epochs", DOSELO, TrainerSettings("bce", 1.0, 50, warmup_epochs=10)),
        (PAPER, PAPER, TrainerSettings("bce", 1.0, 80)),
        (f"{PAPER}_lambda10_3epochs", PAPER, TrainerSettings("bce", 10.0, 3)),
        (PAPERS_BASELINE, PAPERS_BASELINE, TrainerSettings("bce_dice", None, 80)),
        (f"{BENCHMARK}_lambda2", BENCHMARK, TrainerSettings("bce", 2.0)),
        (f"{BENCHMARK}_noDataLoading_9iterations", f"{BENCHMARK}_noDataLoading", TrainerSettings("bce", 1.0, None, 9)),
        (f"{STOCK}_domain", STOCK, TrainerSettings("nnunet", None, in_domain=True)),
        (f"{STOCK}_50epochs_domain", STOCK, TrainerSettings("nnunet", None, 50, in_domain=True)),
        (f"{STOCK}_domain_50epochs_9iterations", STOCK, TrainerSettings("nnunet", None, 50, 9, in_domain=True)),
        (f"{BCE}_domain_20iterations", BCE, TrainerSettings("bce", None, None, 20, in_domain=True)),
        (f"{PAPERS_BASELINE}_domain", PAPERS_BASELINE, TrainerSettings("bce_dice", None, 80, in_domain=True)),
        (f"{STOCK}_40iterations", STOCK, TrainerSettings("nnunet", None, None, 40)),
        (f"{STOCK}_seed1", STOCK, TrainerSettings("nnunet", None, seed=1)),
        (f"{STOCK}_100epochs_seed0", STOCK, TrainerSettings("nnunet", None, 100, seed=0)),
        (f"{STOCK}_3epochs_40iterations_seed12", STOCK, TrainerSettings("nnunet", None, 3, 40, seed=12)),
        (f"{DOSELO}_seed2_lambda3", DOSELO, TrainerSettings("bce", 3.0, seed=2)),
        (f"{PAPER}_seed0", PAPER, TrainerSettings("bce", 1.0, 80, seed=0)),
    ],
)
def test_a_name_gives_its_settings(name: str, base: str, expected: TrainerSettings) -> None:
    assert parse_trainer_name(name) == (base, expected)


@pytest.mark.parametrize(
    "name",
    [
        STOCK,
        f"{STOCK}_100epochs",
        f"{STOCK}_domain2",
        f"{STOCK}_domain_lambda1",
        f"{STOCK}_lambda1",
        f"{STOCK}Adam",
        "",
        "DOSELO",
        f"{DOSELO}2",
        f"My{BCE}",
    ],
)
def test_names_of_others_are_left_alone(name: str) -> None:
    assert parse_trainer_name(name) is None


@pytest.mark.parametrize(
    "suffix",
    [
        "lamda1",
        "lambda",
        "lambda1.5",
        "lambda-1",
        "lambda1e3",
        "lambda1p",
        "epochs",
        "1p5epochs",
        "-1epochs",
        "warmup",
        "warmup3",
        "warmupepochs",
        "Dice",
        "seed",
        "seed-1",
        "seed1p5",
    ],
)
def test_an_unknown_suffix_is_refused_and_the_known_ones_are_listed(suffix: str) -> None:
    with pytest.raises(DoseloError, match=f"trainer {DOSELO}_{suffix}: unknown suffix {suffix}; known are") as error:
        parse_trainer_name(f"{DOSELO}_{suffix}")
    assert all(f"{known.form}: {known.meaning}" in str(error.value) for known in SUFFIXES)


@pytest.mark.parametrize(
    "twice",
    ["lambda1_lambda2", "5epochs_lambda1_6epochs", "warmup1epochs_warmup2epochs", "soft_soft", "seed1_seed1"],
)
def test_a_setting_is_given_once(twice: str) -> None:
    with pytest.raises(DoseloError, match=f"{twice.rpartition('_')[2]} stands twice"):
        parse_trainer_name(f"{DOSELO}_{twice}")


@pytest.mark.parametrize("none", ["0epochs", "0iterations", "000epochs", "warmup0epochs"])
def test_a_training_has_one_epoch_and_one_iteration_at_least(none: str) -> None:
    with pytest.raises(DoseloError, match="at least 1"):
        parse_trainer_name(f"{DOSELO}_{none}")


@pytest.mark.parametrize("suffix", ["lambda1", "lambda0", "soft", "warmup3epochs"])
def test_without_a_dose_term_nothing_of_it_can_be_set(suffix: str) -> None:
    for name in (BCE, PAPERS_BASELINE):
        with pytest.raises(DoseloError, match=f"trainer {name}_{suffix}: has no dose term"):
            parse_trainer_name(f"{name}_{suffix}")


@pytest.mark.parametrize("name", [DOSELO, DICE_CE, PAPER, BENCHMARK])
def test_with_a_dose_term_the_augmentation_is_in_the_domain_anyway(name: str) -> None:
    with pytest.raises(DoseloError, match=f"trainer {name}_domain: has a dose term, and so what the suffix domain"):
        parse_trainer_name(f"{name}_domain")


@pytest.mark.parametrize("name", ["5epochs_warmup5epochs", "warmup6epochs_5epochs", "paper_warmup80epochs"])
def test_a_warm_up_must_end_before_the_training(name: str) -> None:
    with pytest.raises(DoseloError, match=r"a warm-up of \d+ epochs must end before the training of \d+ does"):
        parse_trainer_name(f"{DOSELO}_{name}")


def test_lambda_rises_linearly_from_0_and_stays() -> None:
    warm, cold = TrainerSettings(dose_weight=2.0, warmup_epochs=4), TrainerSettings(dose_weight=2.0)
    assert [warm.dose_weight_in(epoch) for epoch in range(6)] == [0.0, 0.5, 1.0, 1.5, 2.0, 2.0]
    assert [cold.dose_weight_in(epoch) for epoch in (0, 7)] == [2.0, 2.0]
    assert TrainerSettings(dose_weight=None).dose_weight_in(3) == 0.0


def test_every_example_of_a_suffix_is_a_trainer_with_that_setting() -> None:
    for suffix in SUFFIXES:
        parsed = parse_trainer_name(suffix.example)
        assert parsed is not None
        base, settings = parsed
        assert getattr(settings, suffix.setting) != getattr(TRAINERS[base].settings, suffix.setting)


@pytest.mark.parametrize("name", [name for name in TRAINERS if name != STOCK])
def test_every_trainer_of_the_table_is_known_by_its_name(name: str) -> None:
    assert parse_trainer_name(name) == (name, TRAINERS[name].settings)


def test_the_example_in_the_documentation_holds() -> None:
    result = doctest.testmod(trainer_names)
    assert (result.failed, result.attempted) == (0, 1)


@pytest.mark.parametrize("other", ["lambda3", "warmup2epochs"])
def test_a_balanced_weight_has_no_other(other: str) -> None:
    with pytest.raises(DoseloError, match="balance sets lambda by itself; leave lambda and warmup away"):
        parse_trainer_name(f"{DOSELO}_balance0p3_{other}_9epochs")


def test_forms_and_learning_rate_are_read() -> None:
    parsed = parse_trainer_name(f"{DOSELO}_DiceCE_balance0p3_distant_attributed_relative_margin2p5_lr0p001")
    assert parsed is not None
    settings = parsed[1]
    assert settings.form == {"error": "relative", "distant": True, "pull": "attributed", "margin": 0.025}
    assert (settings.balance, settings.initial_lr) == (0.3, 0.001)
    baseline = parse_trainer_name(f"{STOCK}_20epochs_100iterations_lr0p001")
    assert baseline is not None
    assert baseline[1].initial_lr == 0.001
