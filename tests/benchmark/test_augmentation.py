"""Trainers that are compared train under one spatial augmentation; nnU-Net's default one may have its own."""

from pathlib import Path

import pytest
from finished_trainings import BCE, DATASET, DEFAULT, DOSELO, KEPT, asked, finish, make_project, model
from predictors import card_of, random_network

from nnunet_doselo.benchmark.augmentation import is_stock
from nnunet_doselo.benchmark.same import checked, remarks_on_trainings, same_in_words
from nnunet_doselo.benchmark.setting import Benchmark
from nnunet_doselo.benchmark.training_facts import TrainingFacts, read_training
from nnunet_doselo.benchmark.whole_benchmark import prepare_benchmark
from nnunet_doselo.common.errors import DoseloError
from nnunet_doselo.evaluation.fold_seed import FoldSeed
from nnunet_doselo.predictor.artifact import FILE_NAME, save_predictor
from nnunet_doselo.predictor.spatial_domain import WHOLE_DOMAIN, SpatialDomain

LENGTH = "_2epochs_3iterations"
STOCK_IN_DOMAIN, BCE_IN_DOMAIN = f"nnUNetTrainer_domain{LENGTH}", f"nnUNetTrainerBCE_domain{LENGTH}"
NNUNETS = "mirrored along y, x, turned about z by up to 180 degrees, scaled by 0.7 to 1.4"
WITHIN = "mirrored along x, turned about z by up to 15 degrees, scaled by 0.7 to 1.4"


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A dataset whose predictor saw left-right mirrors and 15 degrees."""
    make_project(tmp_path, monkeypatch)
    predictor_of(tmp_path)
    return tmp_path


def predictor_of(root: Path, domain: SpatialDomain | None = None) -> None:
    network = random_network()
    save_predictor(network, card_of(network, augmentation=domain), root / "preprocessed" / DATASET / FILE_NAME)


def prepared(root: Path, *trainers: str) -> Benchmark:
    return prepare_benchmark(asked(*trainers), root / "out")


def facts_of(root: Path, benchmark: Benchmark, trainer: str) -> TrainingFacts:
    facts, _ = read_training(model(root, trainer) / "fold_0", trainer, FoldSeed(0))
    return checked(facts, benchmark)


def test_before_anything_is_trained_another_augmentation_is_named_with_what_to_compare_with(root: Path) -> None:
    for trainers in ((BCE, DOSELO), (DOSELO, BCE), (BCE, STOCK_IN_DOMAIN)):
        with pytest.raises(DoseloError, match=rf"with {trainers[0]} patients are .*; compare with {BCE}_domain"):
            prepared(root, *trainers)
    prepared(root, DEFAULT, DOSELO, BCE_IN_DOMAIN, STOCK_IN_DOMAIN)
    prepared(root, DEFAULT, BCE, "nnUNetTrainerNobodys")


def test_under_a_predictor_that_has_seen_all_every_slice_is_augmented_alike(root: Path) -> None:
    predictor_of(root, WHOLE_DOMAIN)
    benchmark = prepared(root, DEFAULT, BCE, DOSELO)
    finish(root, DEFAULT, BCE)
    facts = [facts_of(root, benchmark, trainer) for trainer in (DEFAULT, BCE)]
    assert f"patients {NNUNETS}, in 2 of 2 trainings" in same_in_words(benchmark, facts)


def test_trainers_in_a_domain_need_a_predictor_before_anything_is_trained(root: Path) -> None:
    (root / "preprocessed" / DATASET / FILE_NAME).unlink()
    with pytest.raises(DoseloError, match="no dose predictor"):
        prepared(root, DEFAULT, STOCK_IN_DOMAIN)


def test_the_default_trainer_is_compared_as_it_is_and_named(root: Path) -> None:
    names = (DEFAULT, STOCK_IN_DOMAIN, BCE_IN_DOMAIN)
    benchmark = prepared(root, *names)
    finish(root, *names)
    facts = [facts_of(root, benchmark, trainer) for trainer in names]
    assert f"patients {WITHIN}, in 2 of 3 trainings" in same_in_words(benchmark, facts)
    remark = (
        f"trained under nnU-Net's whole augmentation (patients {NNUNETS}), the others under what the dose predictor "
        f"has seen ({WITHIN}): {DEFAULT} fold 0"
    )
    assert remark in remarks_on_trainings(benchmark, facts)
    assert not any("augmentation" in said for said in remarks_on_trainings(benchmark, facts[1:]))


@pytest.mark.parametrize(
    "domain", [SpatialDomain(("x",), (5.0, 0.0, 0.0)), SpatialDomain(("y", "x"), (180.0, 0.0, 0.0))]
)
def test_a_training_under_another_augmentation_than_now_is_named(root: Path, domain: SpatialDomain) -> None:
    """The second is what a guided training had before it kept to the domain, and did not say."""
    benchmark = prepared(root, DEFAULT, BCE_IN_DOMAIN)
    finish(root, BCE_IN_DOMAIN, domain=domain)
    with pytest.raises(DoseloError, match=rf"patients must be {WITHIN}, as the plans .* but were {domain}; put"):
        facts_of(root, benchmark, BCE_IN_DOMAIN)


def test_of_a_trainer_of_others_nothing_is_known_or_said(root: Path) -> None:
    benchmark = prepared(root, DEFAULT, "nnUNetTrainerNobodys")
    finish(root, "nnUNetTrainerNobodys")
    facts = facts_of(root, benchmark, "nnUNetTrainerNobodys")
    assert facts.augmentation is None
    assert not any("patients" in said for said in same_in_words(benchmark, [facts]))


def test_a_checkpoint_says_it_in_words(root: Path) -> None:
    finish(root, BCE_IN_DOMAIN, domain=KEPT)
    assert read_training(model(root, BCE_IN_DOMAIN) / "fold_0", BCE_IN_DOMAIN, FoldSeed(0))[0].augmentation == WITHIN


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("nnUNetTrainer", True),
        ("nnUNetTrainer_100epochs", True),
        ("nnUNetTrainer_1epoch", True),
        ("nnUNetTrainer_seed1_3epochs_40iterations", True),
        ("nnUNetTrainer_domain", False),
        ("nnUNetTrainerBCE", False),
        ("nnUNetTrainerNoMirroring", False),
    ],
)
def test_which_trainers_are_nnunets_default(name: str, expected: bool) -> None:
    assert is_stock(name) == expected
