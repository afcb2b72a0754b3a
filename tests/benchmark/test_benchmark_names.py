"""What is typed, and what trainers' names say."""

import pytest

from nnunet_doselo.benchmark.names import (
    Length,
    is_guided,
    length_of,
    parse_numbers,
    require_one_length,
    require_seedable,
    titles,
    with_lambdas,
)
from nnunet_doselo.common.errors import DoseloError

DOSELO = "nnUNetTrainerDOSELO"


@pytest.mark.parametrize(
    ("typed", "folds"),
    [(["0-4"], (0, 1, 2, 3, 4)), (["3", "0"], (0, 3)), (["0-1", "1-2", "2"], (0, 1, 2)), (["3-3"], (3,))],
)
def test_folds(typed: list[str], folds: tuple[int, ...]) -> None:
    assert parse_numbers(typed, "--folds") == folds


@pytest.mark.parametrize("typed", [["all"], ["-1"], ["4-0"], ["0,1"], []])
def test_what_is_no_number_is_refused(typed: list[str]) -> None:
    for option in ("--folds", "--seeds"):
        with pytest.raises(DoseloError, match=f"{option} takes"):
            parse_numbers(typed, option)


def test_only_seeds_say_where_trainings_start() -> None:
    require_seedable(["nnUNetTrainer", "nnUNetTrainer_100epochs", f"{DOSELO}_soft_5epochs"], several_seeds=True)
    require_seedable(["nnUNetTrainerNoMirroring"], several_seeds=False)
    with pytest.raises(DoseloError, match="that know the suffix _seedN, found nnUNetTrainerNoMirroring"):
        require_seedable(["nnUNetTrainer", "nnUNetTrainerNoMirroring"], several_seeds=True)
    for several in (True, False):
        with pytest.raises(DoseloError, match=f"without a seed, which --seeds gives them; found {DOSELO}_seed1"):
            require_seedable([f"{DOSELO}_seed1"], several_seeds=several)


def test_lambdas_make_variants_of_trainers_with_a_dose_term() -> None:
    trainers = ["nnUNetTrainer", "nnUNetTrainerBCE", DOSELO, f"{DOSELO}_soft_5epochs", f"{DOSELO}_lambda3"]
    assert with_lambdas(trainers, [0.1, 1, 10]) == (
        *("nnUNetTrainer", "nnUNetTrainerBCE", DOSELO, f"{DOSELO}_lambda0p1", f"{DOSELO}_lambda10"),
        *(f"{DOSELO}_soft_5epochs", f"{DOSELO}_lambda0p1_soft_5epochs", f"{DOSELO}_lambda10_soft_5epochs"),
        f"{DOSELO}_lambda3",
    )


def test_what_is_named_already_is_not_trained_twice() -> None:
    """Suffixes in another order mean the same."""
    trainers = [f"{DOSELO}_5epochs", f"{DOSELO}_5epochs_lambda0p1", f"{DOSELO}_lambda1_50epochs"]
    assert with_lambdas(trainers, [0.1, 1]) == tuple(trainers)


@pytest.mark.parametrize(("weight", "suffix"), [(1e-5, "0p00001"), (100.0, "100"), (2.5, "2p5"), (0.0, "0")])
def test_numbers_are_written_as_names_have_them(weight: float, suffix: str) -> None:
    assert with_lambdas([DOSELO], [weight])[1] == f"{DOSELO}_lambda{suffix}"


@pytest.mark.parametrize(
    ("trainers", "lambdas", "message"),
    [
        ([], [], "--trainers takes names that are different, at least one; found none"),
        ([DOSELO, DOSELO], [], f"at least one; found {DOSELO} {DOSELO}"),
        (["nnUNetTrainer"], [1], "--lambdas needs a trainer with a dose term"),
        ([f"{DOSELO}_lambda3"], [1], "--lambdas needs a trainer with a dose term"),
        ([DOSELO], [-1], "numbers from 0, found -1"),
        ([DOSELO], [float("nan")], "numbers from 0, found nan"),
        ([f"{DOSELO}_quick"], [], "unknown suffix quick"),
    ],
)
def test_what_cannot_be_compared_is_refused(trainers: list[str], lambdas: list[float], message: str) -> None:
    with pytest.raises(DoseloError, match=message):
        with_lambdas(trainers, lambdas)


@pytest.mark.parametrize(
    ("name", "length"),
    [
        ("nnUNetTrainer", Length(1000, 250)),
        ("nnUNetTrainer_100epochs", Length(100, 250)),
        ("nnUNetTrainer_1epoch", Length(1, 250)),
        ("nnUNetTrainer_3epochs_40iterations", Length(3, 40)),
        ("nnUNetTrainer_100epochs_seed2", Length(100, 250)),
        (f"{DOSELO}_soft_7epochs", Length(7, 250)),
        (f"{DOSELO}_paper", Length(80, 250)),
        ("nnUNetTrainerNoMirroring", None),
    ],
)
def test_the_length_of_a_training_is_in_its_trainers_name(name: str, length: Length | None) -> None:
    assert length_of(name) == length


def test_trainings_of_different_length_are_refused() -> None:
    lengths = {name: length_of(name) for name in ("nnUNetTrainer_100epochs", "Unknown", DOSELO)}
    with pytest.raises(
        DoseloError,
        match="nnUNetTrainer_100epochs with 100 epochs of 250 iterations and nnUNetTrainerDOSELO with 1000 epochs",
    ):
        require_one_length(lengths)
    assert require_one_length({"a": None, "b": Length(2, 3), "c": Length(2, 3)}) == Length(2, 3)
    assert require_one_length({"a": None}) is None


def test_who_needs_a_predictor() -> None:
    names = ("nnUNetTrainer", "nnUNetTrainerBCE_5epochs", DOSELO, f"{DOSELO}_DiceCE_soft", "nnUNetTrainerNoMirroring")
    assert [is_guided(name) for name in names] == [False, False, True, True, False]


def test_titles_are_short_and_different() -> None:
    names = ["nnUNetTrainer_5epochs_9iterations", "nnUNetTrainerBCE_5epochs", f"{DOSELO}_5epochs"]
    names += [f"{DOSELO}_lambda0p1_soft_5epochs", f"{DOSELO}_DiceCE_warmup2epochs_5epochs", "nnUNetTrainerNoMirroring"]
    assert list(titles(names).values()) == [
        *("nnU-Net", "BCE", "DOSELO", "DOSELO λ=0.1 soft", "DOSELO DiceCE warm-up 2", "nnUNetTrainerNoMirroring"),
    ]
    same = [f"{DOSELO}_lambda1", DOSELO]
    assert titles(same) == {name: name for name in same}


def test_titles_tell_the_balance_and_the_form() -> None:
    name = "nnUNetTrainerDOSELO_DiceCE_balance0p3_distant_attributed_relative_margin2_lr0p001"
    title = "DOSELO DiceCE balance 0.3 distant attributed relative margin 2 % learning rate 0.001"
    assert titles(("nnUNetTrainer", name)) == {"nnUNetTrainer": "nnU-Net", name: title}
