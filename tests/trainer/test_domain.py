"""nnU-Net's spatial augmentation stays within what the dose predictor has seen, in training and at test time."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from batchgeneratorsv2.transforms.spatial.mirroring import MirrorTransform
from batchgeneratorsv2.transforms.spatial.spatial import SpatialTransform
from known_dose import save_known_dose
from nnunet_project import DATASET, environment, five_steps, inside, make_project, make_trainer, write_predictor
from planned_datasets import Planned, make_planned

from nnunet_doselo.common.errors import DoseloError
from nnunet_doselo.predictor.artifact import FILE_NAME
from nnunet_doselo.predictor.spatial_domain import WHOLE_DOMAIN, SpatialDomain
from nnunet_doselo.trainer.domain import nnunets_domain, patch_axes

GUIDED, STOCK, BCE = "nnUNetTrainerDOSELO", "nnUNetTrainer", "nnUNetTrainerBCE"
KEEPING = (GUIDED, f"{GUIDED}_DiceCE", f"{GUIDED}_paper", f"{STOCK}_domain", f"{BCE}_domain")
SHORT = "_1epochs_1iterations"
FIFTEEN = np.deg2rad(15)

SAGITTAL = Planned("Dataset922_Sagittal", spacing_mm=(2.0, 2.0, 4.0), shape=(24, 20, 16))
CORONAL = Planned("Dataset923_Coronal", spacing_mm=(2.0, 4.0, 2.0), shape=(20, 16, 24))
THICK = Planned("Dataset924_Thick", spacing_mm=(6.0, 2.0, 2.0), shape=(8, 32, 32))
AXIAL = Planned("Dataset925_Axial")
SLICES, VOLUMES = (3.0, 3.0), (3.0, 3.0, 3.0)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    root = tmp_path_factory.mktemp("project")
    make_project(root)
    with inside(root):
        yield root


def card_says(domain: SpatialDomain, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("nnUNet_dose_predictor", str(write_predictor(file, augmentation=domain)))


def transforms_in_use(trainer: Any) -> tuple[SpatialTransform, list[MirrorTransform]]:
    """Of the loader that nnU-Net has made for its training."""
    steps = trainer.dataloader_train.data_loader.transforms.transforms
    (moved,) = [step for step in steps if isinstance(step, SpatialTransform)]
    return moved, [step for step in steps if isinstance(step, MirrorTransform)]


@pytest.mark.parametrize("name", KEEPING)
def test_patients_are_mirrored_left_to_right_and_turned_by_15_degrees(project: Path, name: str) -> None:
    """The phantoms' predictor has a card that does not say more, and sees no beams."""
    trainer = make_trainer(name + SHORT)
    trainer.run_training()
    moved, (mirrored,) = transforms_in_use(trainer)
    np.testing.assert_allclose(moved.rotation, (-FIFTEEN, FIFTEEN))
    assert (moved.p_rotation, moved.scaling, mirrored.allowed_axes) == (0.2, (0.7, 1.4), (1,))
    checkpoint = torch.load(Path(trainer.output_folder) / "checkpoint_final.pth", weights_only=False)
    assert checkpoint["inference_allowed_mirroring_axes"] == (1,)
    assert checkpoint["init_args"]["augmentation"] == {
        "mirror_axes": ["x"],
        "rotation_deg": [15.0, 0.0, 0.0],
        "scaling": [0.7, 1.4],
    }
    words = "patients are mirrored along x, turned about z by up to 15 degrees, scaled by 0.7 to 1.4"
    assert words in Path(trainer.log_file).read_text()


@pytest.mark.parametrize("name", [STOCK, BCE])
def test_others_are_augmented_as_nnunet_does(project: Path, name: str) -> None:
    trainer = make_trainer(name + SHORT)
    trainer.on_train_start()
    moved, (mirrored,) = transforms_in_use(trainer)
    assert moved.rotation == (-np.pi, np.pi)
    assert mirrored.allowed_axes == trainer.inference_allowed_mirroring_axes == (0, 1)
    assert "augmentation" not in trainer.my_init_kwargs


@pytest.mark.parametrize("name", [GUIDED, f"{STOCK}_domain"])
def test_a_predictor_that_has_seen_nothing_moved(project: Path, tmp_path: Path, monkeypatch, name: str) -> None:
    """Prediction, too, goes without mirroring: nnU-Net wants None for it."""
    card_says(SpatialDomain((), (0.0, 0.0, 0.0), (0.9, 1.2)), tmp_path / "still.ts", monkeypatch)
    trainer = make_trainer(f"{name}_1epochs_2iterations")
    trainer.run_training()
    moved, mirrored = transforms_in_use(trainer)
    assert (moved.rotation, moved.scaling, mirrored) == ((0.0, 0.0), (0.9, 1.2), [])
    checkpoint = torch.load(Path(trainer.output_folder) / "checkpoint_final.pth", weights_only=False)
    assert checkpoint["inference_allowed_mirroring_axes"] is None
    trainer.perform_actual_validation()
    assert (Path(trainer.output_folder) / "validation" / "summary.json").exists()


def test_under_the_whole_domain_a_slices_augmentation_is_nnunets_to_the_bit(
    project: Path, tmp_path: Path, monkeypatch
) -> None:
    card_says(WHOLE_DOMAIN, tmp_path / "whole.ts", monkeypatch)
    assert five_steps(make_trainer(f"{BCE}_domain")) == five_steps(make_trainer(BCE))


def test_a_resumed_run_goes_on_under_the_same_augmentation(project: Path, tmp_path: Path, monkeypatch) -> None:
    name = f"{BCE}_domain_1epochs_1iterations"
    make_trainer(name).run_training()

    def resumed() -> Any:
        trainer = make_trainer(name)
        trainer.load_checkpoint(str(Path(trainer.output_folder) / "checkpoint_final.pth"))
        return trainer

    resumed().on_train_start()
    card_says(WHOLE_DOMAIN, tmp_path / "whole.ts", monkeypatch)
    with pytest.raises(DoseloError, match=r"in this run patients were mirrored along x, .* now they would be .*y, x"):
        resumed().on_train_start()
    older = resumed()
    del older.my_init_kwargs["augmentation"]
    with pytest.raises(DoseloError, match="patients were moved about as nnU-Net does, but now they would be"):
        older.on_train_start()


@pytest.mark.parametrize("name", [f"{STOCK}_domain", f"{BCE}_domain"])
def test_without_a_predictor_there_is_no_domain_to_keep_to(project: Path, monkeypatch, name: str) -> None:
    monkeypatch.setenv("nnUNet_dose_predictor", str(project / "nowhere.ts"))
    with pytest.raises(DoseloError, match=r"nowhere\.ts.*doselo train-predictor"):
        make_trainer(name).on_train_start()


def test_the_predictor_must_be_the_datasets(project: Path, tmp_path: Path, monkeypatch) -> None:
    other = write_predictor(tmp_path / "other.ts", target_gy={"GTV": 54.0})
    monkeypatch.setenv("nnUNet_dose_predictor", str(other))
    with pytest.raises(DoseloError, match="prescribed doses"):
        make_trainer(f"{STOCK}_domain").on_train_start()


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("orders")
    for name in ("raw", "preprocessed", "results"):
        (folder / name).mkdir()
    return folder


@pytest.fixture
def planned(root: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """nnU-Net's trainer of a dataset with a predictor of slices or volumes, whose card says no more."""
    for name, value in environment(root).items():
        monkeypatch.setenv(name, value)

    def trainer_of(dataset: Planned, spacing_mm: tuple[float, ...], name: str, configuration: str) -> Any:
        from nnunetv2.run.run_training import get_trainer_from_args

        folder = root / "preprocessed" / dataset.name
        if not folder.exists():
            make_planned(root, dataset)
        predictor = save_known_dose(root / "predictor.ts", dataset.guidance, spacing_mm)
        monkeypatch.setenv("nnUNet_dose_predictor", str(predictor))
        return get_trainer_from_args(dataset.name, configuration, 0, name, device=torch.device("cpu"))

    return trainer_of


def limits(rotation: Any) -> list[float]:
    """Of the angles about each axis of a volume."""
    np.random.seed(0)  # noqa: NPY002 (nnU-Net's global state)
    drawn = np.abs([[rotation(image=None, dim=dim) for dim in range(3)] for _ in range(400)])
    return drawn.max(axis=0).tolist()


@pytest.mark.parametrize("name", [GUIDED, f"{STOCK}_domain", f"{BCE}_domain"])
@pytest.mark.parametrize(
    ("dataset", "spacing_mm", "mirrored", "turned"),
    [
        # a patch's axes are z, y, x; x, z, y; y, z, x: the order of slices along z does not matter to the first kind
        (AXIAL, SLICES, (0, 2), (FIFTEEN, 0, 0)),
        (AXIAL, VOLUMES, (2,), (FIFTEEN, 0, 0)),
        (SAGITTAL, SLICES, (0, 1), (0, FIFTEEN, 0)),
        (SAGITTAL, VOLUMES, (0,), (0, FIFTEEN, 0)),
        (CORONAL, VOLUMES, (2,), (0, FIFTEEN, 0)),
    ],
)
def test_volumes_are_moved_along_and_about_the_patients_axes(
    planned: Any, name: str, dataset: Planned, spacing_mm: tuple[float, ...], mirrored: tuple[int, ...], turned
) -> None:
    trainer = planned(dataset, spacing_mm, name, "3d_fullres")
    trainer.keep_to_domain("cpu")
    rotation, dummy_2d, _, mirror_axes = trainer.configure_rotation_dummyDA_mirroring_and_inital_patch_size()
    assert not dummy_2d
    assert mirror_axes == trainer.inference_allowed_mirroring_axes == mirrored
    np.testing.assert_allclose(limits(rotation), turned, rtol=0.02)


def test_slice_by_slice_augmentation_of_thick_slices_turns_them_about_z(planned: Any) -> None:
    trainer = planned(THICK, VOLUMES, GUIDED, "3d_fullres")
    trainer.keep_to_domain("cpu")
    rotation, dummy_2d, _, mirror_axes = trainer.configure_rotation_dummyDA_mirroring_and_inital_patch_size()
    assert dummy_2d
    np.testing.assert_allclose(rotation, (-FIFTEEN, FIFTEEN))
    assert mirror_axes == trainer.inference_allowed_mirroring_axes == (2,)


@pytest.mark.parametrize(("dataset", "mirrored"), [(SAGITTAL, (0,)), (CORONAL, (0, 1))])
def test_slices_that_are_not_axial_are_not_turned(planned: Any, dataset: Planned, mirrored: tuple[int, ...]) -> None:
    """Of sagittal slices the axes are z and y, of coronal ones z and x; no dose term could be had there."""
    trainer = planned(dataset, SLICES, f"{STOCK}_domain", "2d")
    trainer.keep_to_domain("cpu")
    rotation, _, _, mirror_axes = trainer.configure_rotation_dummyDA_mirroring_and_inital_patch_size()
    assert rotation == (0.0, 0.0)
    assert mirror_axes == mirrored


@pytest.mark.parametrize(
    ("transpose_forward", "dim", "dummy_2d", "rotation_deg", "mirror_axes"),
    [
        ([0, 1, 2], 2, False, (180.0, 0.0, 0.0), ("y", "x")),
        ([1, 0, 2], 2, False, (0.0, 180.0, 0.0), ("z", "x")),
        ([2, 0, 1], 3, True, (0.0, 0.0, 180.0), ("z", "y", "x")),
        ([2, 0, 1], 3, False, (180.0, 180.0, 180.0), ("z", "y", "x")),
    ],
)
def test_nnunets_own_augmentation_in_the_patients_axes(
    transpose_forward: list[int], dim: int, dummy_2d: bool, rotation_deg: tuple, mirror_axes: tuple[str, ...]
) -> None:
    order = patch_axes(transpose_forward, dim)
    domain = nnunets_domain(order, (-np.pi, np.pi), tuple(range(dim)), dummy_2d=dummy_2d)
    assert domain == SpatialDomain(mirror_axes, rotation_deg, (0.7, 1.4))


def test_the_datasets_own_predictor_is_the_one_that_is_asked(project: Path) -> None:
    trainer = make_trainer(f"{STOCK}_domain")
    assert trainer.keep_to_domain("cpu").path == project / "preprocessed" / DATASET / FILE_NAME
