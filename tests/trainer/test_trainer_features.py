"""What dose guidance works with, one row a feature: two steps, the right loss at each, and the run taken up again."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import planned_datasets
import pytest
import torch
from known_dose import ByHand, deep_supervision_weights, save_known_dose
from nnunet_project import environment
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from planned_datasets import Planned, make_planned

from nnunet_doselo.common.errors import DoseloError
from nnunet_doselo.dataset.geometry import AIR_HU

PLAIN = Planned("Dataset901_Plain")
SAGITTAL = Planned("Dataset902_Sagittal", spacing_mm=(2.0, 2.0, 4.0), shape=(24, 20, 16))
CORONAL = Planned("Dataset903_Coronal", spacing_mm=(2.0, 4.0, 2.0), shape=(20, 16, 24))
THICK = Planned("Dataset904_Thick", spacing_mm=(6.0, 2.0, 2.0), shape=(8, 32, 32))
CASCADE = Planned("Dataset905_Cascade", shape=(24, 48, 48), memory_gb=0.02, configurations=("3d_lowres", "3d_fullres"))
IGNORE = Planned("Dataset906_Ignore", planned_datasets.IGNORE)
THREE = Planned("Dataset907_Three", planned_datasets.THREE)
REGIONS = Planned("Dataset908_Regions", planned_datasets.REGIONS)
REGIONS_IGNORE = Planned("Dataset909_RegionsIgnore", planned_datasets.REGIONS_IGNORE)
RESENC = "nnUNetResEncUNetMPlans"

BY_HAND = {
    # by label value: PTV56 is 1, the cavity 2 and no target, PTV70 is 3
    THREE.name: ByHand([0.8, 0.0, 1.0]),
    IGNORE.name: ByHand([1.0], ignored=2),
    REGIONS.name: ByHand([0.8, 1.0], regions=True),
    REGIONS_IGNORE.name: ByHand([0.8, 1.0], regions=True, ignored=3),
}
COMPILE = torch.compile
COMPILED_FOR_THE_MACHINE = "compiled for the machine"
AXIAL_2D, AXIAL_3D = (0, 1), (0, 1, 2)


@dataclass(frozen=True)
class Feature:
    """axial: the patch's axes that hold (z), y and x; volume: the predictor takes volumes.

    compiled: with `torch.compile` as nnU-Net does it on GPUs, by that backend; "eager" traces only, which is quick.
    """

    planned: Planned = PLAIN
    configuration: str = "2d"
    volume: bool = False
    axial: tuple[int, ...] = AXIAL_3D
    trainer: str = "nnUNetTrainerDOSELO"
    plans: str = "nnUNetPlans"
    fold: int | str = 0
    deep_supervision: bool = True
    compiled: str = ""

    @property
    def axes(self) -> tuple[int, ...]:
        return AXIAL_2D if self.configuration == "2d" else self.axial

    @property
    def by_hand(self) -> ByHand:
        return BY_HAND.get(self.planned.name, ByHand([1.0]))


FEATURES = {
    "2d": Feature(),
    "3d slice by slice": Feature(configuration="3d_fullres"),
    "3d volumes": Feature(configuration="3d_fullres", volume=True),
    "3d lowres, slice by slice": Feature(CASCADE, "3d_lowres"),
    "3d lowres, volumes": Feature(CASCADE, "3d_lowres", volume=True),
    "sagittal plans, slice by slice": Feature(SAGITTAL, "3d_fullres", axial=(1, 2, 0)),
    "sagittal plans, volumes": Feature(SAGITTAL, "3d_fullres", volume=True, axial=(1, 2, 0)),
    "coronal plans, slice by slice": Feature(CORONAL, "3d_fullres", axial=(1, 0, 2)),
    "dummy 2d augmentation, slice by slice": Feature(THICK, "3d_fullres"),
    "dummy 2d augmentation, volumes": Feature(THICK, "3d_fullres", volume=True),
    "resenc 2d": Feature(plans=RESENC),
    "resenc 3d": Feature(configuration="3d_fullres", volume=True, plans=RESENC),
    "three labels 2d": Feature(THREE),
    "three labels 3d": Feature(THREE, "3d_fullres", volume=True),
    "regions 2d": Feature(REGIONS),
    "regions 3d": Feature(REGIONS, "3d_fullres"),
    "ignore 2d": Feature(IGNORE),
    "ignore 3d": Feature(IGNORE, "3d_fullres"),
    "regions with ignore 2d": Feature(REGIONS_IGNORE),
    "regions with ignore 3d": Feature(REGIONS_IGNORE, "3d_fullres"),
    "no deep supervision 2d": Feature(deep_supervision=False),
    "no deep supervision 3d": Feature(REGIONS_IGNORE, "3d_fullres", deep_supervision=False),
    "dice and cross-entropy": Feature(REGIONS, trainer="nnUNetTrainerDOSELO_DiceCE"),
    "lambda 0.1": Feature(trainer="nnUNetTrainerDOSELO_lambda0p1"),
    "probabilities 2d": Feature(REGIONS, trainer="nnUNetTrainerDOSELO_soft"),
    "probabilities 3d": Feature(THREE, "3d_fullres", volume=True, trainer="nnUNetTrainerDOSELO_soft"),
    "compiled": Feature(REGIONS_IGNORE, compiled="eager"),
    COMPILED_FOR_THE_MACHINE: Feature(REGIONS_IGNORE, compiled="inductor"),
    "fold all": Feature(fold="all"),
    "a fold that the custom split lacks": Feature(fold=3),
}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """nnU-Net's folders, empty; datasets are planned when they are asked for. Batches are loaded in this process."""
    folder = tmp_path_factory.mktemp("features")
    for name in ("raw", "preprocessed", "results"):
        (folder / name).mkdir()
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment(folder).items():
            patch.setenv(name, value)
        patch.setenv("nnUNet_n_proc_DA", "0")
        yield folder


def planned(root: Path, dataset: Planned) -> Path:
    folder = root / "preprocessed" / dataset.name
    if not folder.exists():
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("nnUNet_n_proc_DA", "1")  # planning refuses 0
            make_planned(root, dataset)
    return folder


def make_trainer(root: Path, feature: Feature, monkeypatch: pytest.MonkeyPatch) -> Any:
    """As nnUNetv2_train makes it, with a predictor of the feature's own voxels."""
    from nnunetv2.run.run_training import get_trainer_from_args

    folder = planned(root, feature.planned)
    what = feature.planned.name, feature.configuration, feature.fold, feature.trainer, feature.plans
    trainer = get_trainer_from_args(*what, device=torch.device("cpu"))
    trainer.enable_deep_supervision = feature.deep_supervision
    if feature.compiled:
        monkeypatch.setattr(trainer, "_do_i_compile", lambda: True)
        monkeypatch.setattr(torch, "compile", partial(COMPILE, backend=feature.compiled))
    spacing_mm = [trainer.configuration_manager.spacing[axis] for axis in feature.axes]
    file = folder / f"{feature.configuration}_{feature.plans}_{feature.volume}.ts"
    if not file.exists():
        save_known_dose(file, feature.planned.guidance, spacing_mm if feature.volume else spacing_mm[-2:])
    monkeypatch.setenv("nnUNet_dose_predictor", str(file))
    return trainer


def start(trainer: Any) -> None:
    np.random.seed(0)  # noqa: NPY002 (nnU-Net's loader uses the global generator)
    torch.manual_seed(0)
    trainer.on_train_start()
    trainer.on_train_epoch_start()


def step(trainer: Any, batch: dict) -> tuple[float, list[np.ndarray]]:
    """A training step's loss, and the network's output at every scale."""
    outputs: list[Any] = []
    hook = trainer.network.register_forward_hook(lambda module, images, output: outputs.append(output))
    loss = float(trainer.train_step(batch)["loss"])
    hook.remove()
    return loss, [x.detach().numpy().copy() for x in _scales(outputs[0])]


def _scales(x: Any) -> list[Any]:
    return list(x) if isinstance(x, (list, tuple)) else [x]


def expected_terms(feature: Feature, batch: dict, outputs: list[np.ndarray]) -> tuple[float, float]:
    truths = [x.numpy() for x in _scales(batch["target"])]
    data = batch["data"].numpy()
    weights = deep_supervision_weights(len(outputs)) if feature.deep_supervision else [1.0]
    by_hand = feature.by_hand
    voxel = sum(w * by_hand.voxel_loss(o, t) for w, o, t in zip(weights, outputs, truths, strict=True) if w > 0)
    oars, ct_hu = data[:, -1:], data[:, -2:-1] + AIR_HU
    dim = 3 if feature.volume else 2
    hard = not feature.trainer.endswith("_soft")
    return voxel, by_hand.dose_term(outputs[0], truths[0], oars, ct_hu, feature.axes, dim, hard=hard)


def require_right_step(trainer: Any, feature: Feature) -> None:
    batch = next(trainer.dataloader_train)
    loss, outputs = step(trainer, batch)
    voxel, dose = expected_terms(feature, batch, outputs)
    if feature.trainer.endswith("DiceCE"):
        voxel = float(nnUNetTrainer._build_loss(trainer)([torch.from_numpy(o) for o in outputs], batch["target"]))
    weight = 0.1 if feature.trainer.endswith("0p1") else 1.0
    assert float(trainer.loss.terms["voxel"]) == pytest.approx(voxel, rel=1e-4)
    assert float(trainer.loss.terms["dose"]) == pytest.approx(dose, rel=1e-4)
    assert loss == pytest.approx(voxel + weight * dose, rel=1e-4)
    assert dose > 0


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[pytest.mark.slow] if n == COMPILED_FOR_THE_MACHINE else []) for n in FEATURES]
)
def test_two_steps_with_the_right_loss_and_resumed(root: Path, name: str, tmp_path: Path, monkeypatch) -> None:
    feature = FEATURES[name]
    trainer = make_trainer(root, feature, monkeypatch)
    start(trainer)
    for _ in range(2):
        require_right_step(trainer, feature)
    with torch.no_grad():
        trainer.validation_step(next(trainer.dataloader_val))
    trainer.save_checkpoint(str(tmp_path / "checkpoint.pth"))
    resumed = make_trainer(root, feature, monkeypatch)
    resumed.load_checkpoint(str(tmp_path / "checkpoint.pth"))
    assert resumed.current_epoch == 1
    assert all(torch.equal(a, b) for a, b in zip(*(t.network.parameters() for t in (trainer, resumed)), strict=True))
    start(resumed)
    require_right_step(resumed, feature)


@pytest.mark.parametrize(
    ("feature", "predictor_mm"),
    [
        (Feature(), (5.0, 4.0)),
        (Feature(SAGITTAL, "3d_fullres", axial=(1, 2, 0)), (4.0, 3.0)),
        (Feature(SAGITTAL, "3d_fullres", axial=(1, 2, 0)), (3.0, 4.0, 6.0)),
    ],
)
def test_a_predictor_of_other_voxels(
    root: Path, feature: Feature, predictor_mm: tuple[float, ...], tmp_path: Path, monkeypatch
) -> None:
    trainer = make_trainer(root, feature, monkeypatch)
    file = save_known_dose(tmp_path / "other.ts", feature.planned.guidance, predictor_mm)
    monkeypatch.setenv("nnUNet_dose_predictor", str(file))
    start(trainer)
    for _ in range(2):
        assert np.isfinite(step(trainer, next(trainer.dataloader_train))[0])
        assert float(trainer.loss.terms["dose"]) > 0
    own_mm = trainer.configuration_manager.spacing
    assert trainer.loss.dose_loss.spacing_mm == tuple(own_mm[a] for a in feature.axes)[-len(predictor_mm) :]


def test_the_rows_are_what_they_say(root: Path, monkeypatch) -> None:
    def augmentation(name: str) -> bool:
        trainer = make_trainer(root, FEATURES[name], monkeypatch)
        return trainer.configure_rotation_dummyDA_mirroring_and_inital_patch_size()[1]

    assert augmentation("dummy 2d augmentation, volumes")
    assert not augmentation("3d volumes")
    order = {p.name: make_trainer(root, Feature(p, "3d_fullres"), monkeypatch).plans_manager.transpose_forward
             for p in (PLAIN, SAGITTAL, CORONAL)}  # fmt: skip
    assert order == {PLAIN.name: [0, 1, 2], SAGITTAL.name: [2, 0, 1], CORONAL.name: [1, 0, 2]}
    resenc = make_trainer(root, FEATURES["resenc 3d"], monkeypatch).configuration_manager
    assert "ResidualEncoderUNet" in resenc.network_arch_class_name


@pytest.mark.parametrize(
    ("feature", "words"),
    [
        (Feature(CASCADE, "3d_cascade_fullres"), "because nnU-Net brings the first stage's contour along"),
        (Feature(SAGITTAL), "slices must be axial, but nnU-Net cuts sagittal ones here"),
        (Feature(CORONAL), "slices must be axial, but nnU-Net cuts coronal ones here"),
    ],
)
def test_what_cannot_be_guided_says_why(root: Path, feature: Feature, words: str, monkeypatch) -> None:
    trainer = make_trainer(root, feature, monkeypatch)
    with pytest.raises(DoseloError, match=words):
        trainer.on_train_start()


def test_a_3d_configuration_prefers_the_predictor_of_volumes(root: Path, monkeypatch) -> None:
    trainer = make_trainer(root, Feature(configuration="3d_fullres"), monkeypatch)
    monkeypatch.delenv("nnUNet_dose_predictor")
    folder = planned(root, PLAIN)
    for name, spacing_mm in (("dose_predictor.ts", (3.0, 3.0)), ("dose_predictor_3d.ts", (3.0, 3.0, 3.0))):
        save_known_dose(folder / name, PLAIN.guidance, spacing_mm)
        trainer._attach_dose_loss()
        assert trainer.loss.dose_loss.predictor.path.name == name
        trainer.my_init_kwargs.pop("dose_predictor_sha256")
    slices = make_trainer(root, Feature(), monkeypatch)
    monkeypatch.delenv("nnUNet_dose_predictor")
    slices._attach_dose_loss()
    assert slices.loss.dose_loss.predictor.path.name == "dose_predictor.ts"
