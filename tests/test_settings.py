"""What a trainer's name says."""

import doctest

import pytest

from nnunet_doselo import settings
from nnunet_doselo.errors import DoseloError
from nnunet_doselo.settings import SUFFIXES, TrainerSettings, parse_trainer_name

DOSELO, DICE_CE, BCE = "nnUNetTrainerDOSELO", "nnUNetTrainerDOSELO_DiceCE", "nnUNetTrainerBCE"
STOCK = "nnUNetTrainer"


@pytest.mark.parametrize(
    ("name", "base", "expected"),
    [
        (DOSELO, DOSELO, TrainerSettings(True, 1.0, None, None, False)),
        (DICE_CE, DICE_CE, TrainerSettings(False, 1.0, None, None, False)),
        (BCE, BCE, TrainerSettings(True, None, None, None, False)),
        (f"{DOSELO}_lambda0p1", DOSELO, TrainerSettings(True, 0.1)),
        (f"{DOSELO}_lambda10", DOSELO, TrainerSettings(True, 10.0)),
        (f"{DOSELO}_lambda0", DOSELO, TrainerSettings(True, 0.0)),
        (f"{DOSELO}_lambda2p50_50epochs", DOSELO, TrainerSettings(True, 2.5, 50)),
        (f"{DOSELO}_50epochs_lambda2p5", DOSELO, TrainerSettings(True, 2.5, 50)),
        (f"{DICE_CE}_straightthrough", DICE_CE, TrainerSettings(False, 1.0, None, None, True)),
        (f"{DICE_CE}_lambda3_7iterations", DICE_CE, TrainerSettings(False, 3.0, None, 7)),
        (f"{BCE}_100epochs_20iterations", BCE, TrainerSettings(True, None, 100, 20)),
        (f"{STOCK}_3epochs_40iterations", STOCK, TrainerSettings(False, None, 3, 40)),
        (f"{STOCK}_40iterations", STOCK, TrainerSettings(False, None, None, 40)),
    ],
)
def test_a_name_gives_its_settings(name: str, base: str, expected: TrainerSettings) -> None:
    assert parse_trainer_name(name) == (base, expected)


@pytest.mark.parametrize(
    "name",
    [STOCK, f"{STOCK}_100epochs", f"{STOCK}_lambda1", f"{STOCK}Adam", "", "DOSELO", f"{DOSELO}2", f"My{BCE}"],
)
def test_names_of_others_are_left_alone(name: str) -> None:
    assert parse_trainer_name(name) is None


@pytest.mark.parametrize(
    "suffix",
    ["lamda1", "lambda", "lambda1.5", "lambda-1", "lambda1e3", "lambda1p", "epochs", "1p5epochs", "-1epochs", "paper"],
)
def test_an_unknown_suffix_is_refused_and_the_known_ones_are_listed(suffix: str) -> None:
    with pytest.raises(DoseloError, match=f"trainer {DOSELO}_{suffix}: unknown suffix {suffix}; known are") as error:
        parse_trainer_name(f"{DOSELO}_{suffix}")
    assert all(meaning in str(error.value) for meaning in SUFFIXES.values())


@pytest.mark.parametrize("twice", ["lambda1_lambda2", "5epochs_lambda1_6epochs", "straightthrough_straightthrough"])
def test_a_setting_is_given_once(twice: str) -> None:
    with pytest.raises(DoseloError, match=f"{twice.rpartition('_')[2]} stands twice"):
        parse_trainer_name(f"{DOSELO}_{twice}")


@pytest.mark.parametrize("none", ["0epochs", "0iterations", "000epochs"])
def test_a_training_has_one_epoch_and_one_iteration_at_least(none: str) -> None:
    with pytest.raises(DoseloError, match="at least 1"):
        parse_trainer_name(f"{DOSELO}_{none}")


@pytest.mark.parametrize("suffix", ["lambda1", "lambda0", "straightthrough"])
def test_without_a_dose_term_nothing_of_it_can_be_set(suffix: str) -> None:
    with pytest.raises(DoseloError, match=f"trainer {BCE}_{suffix}: has no dose term"):
        parse_trainer_name(f"{BCE}_{suffix}")


def test_the_example_in_the_documentation_holds() -> None:
    result = doctest.testmod(settings)
    assert (result.failed, result.attempted) == (0, 1)
