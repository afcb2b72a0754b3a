"""Small patients for tests: pure functions of a seed, arrays (Z, Y, X), patient axes LPS.

The head is an axial ellipse of tissue with a skull and an air cavity. Organs: brainstem posterior of the
middle, chiasm anterior of it, left eye anterior and at larger x. The target is a sphere that a seed moves.
The dose is the prescription in the target, falls off exponentially outside and is 0 outside the head.
"""

from functools import cache
from pathlib import Path

import numpy as np
import torch
from scipy.ndimage import distance_transform_edt
from torch import Tensor

from nnunet_doselo.dataset.folder import ExtendedDataset
from nnunet_doselo.dataset.geometry import Grid
from nnunet_doselo.dataset.guidance import DoseGuidance
from nnunet_doselo.dataset.images import write_array
from nnunet_doselo.dataset_conversion.cases.writer import Case, DatasetWriter, write_json
from nnunet_doselo.predictor.network import DosePredictor, NetworkSettings

SHAPE = (16, 32, 32)
SPACING_MM = (3.0, 3.0, 3.0)
AIR, TISSUE, BONE = -1000, 40, 900
LABELS = {"background": 0, "GTV": 1}
OARS = {"Brainstem": 1, "OpticChiasm": 2, "Eye_L": 3}
GUIDANCE = DoseGuidance({"GTV": 60.0}, OARS)
FALL_OFF_MM = 15.0
TINY_NETWORK = NetworkSettings((1, 2, 3), 60.0, first=(4, 8), second=(8, 16))


def grid_for(shape: tuple[int, ...] = SHAPE, spacing_mm: tuple[float, ...] = SPACING_MM) -> Grid:
    """The grid of an array (z, y, x) with axial slices, its centre at the origin."""
    z, y, x = (-mm * (n - 1) / 2 for n, mm in zip(shape, spacing_mm, strict=True))
    return Grid.upright(shape, spacing_mm, (x, y, z))


def ellipsoid(centre: tuple[float, ...], radii: tuple[float, ...], shape: tuple[int, ...] = SHAPE) -> np.ndarray:
    """Voxels inside an ellipsoid; centre and radii in fractions of the shape, (z, y, x)."""
    at = np.meshgrid(*((np.arange(n) + 0.5) / n for n in shape), indexing="ij")
    return np.sum([((a - c) / r) ** 2 for a, c, r in zip(at, centre, radii, strict=True)], axis=0) <= 1


def head(shape: tuple[int, ...] = SHAPE) -> np.ndarray:
    """The head's outline: one ellipse in every slice."""
    return ellipsoid((0.5, 0.5, 0.5), (1e6, 0.44, 0.36), shape)


def head_ct(shape: tuple[int, ...] = SHAPE) -> np.ndarray:
    """CT in HU, int16: air outside, 2-voxel skull, brain, and an air cavity in the anterior third."""
    ct_hu = np.full(shape, AIR, np.int16)
    ct_hu[head(shape)] = BONE
    ct_hu[ellipsoid((0.5, 0.5, 0.5), (1e6, 0.38, 0.30), shape)] = TISSUE
    ct_hu[ellipsoid((0.5, 0.22, 0.5), (0.3, 0.06, 0.06), shape)] = AIR
    return ct_hu


def organs(shape: tuple[int, ...] = SHAPE) -> dict[str, np.ndarray]:
    return {
        "Brainstem": ellipsoid((0.4, 0.66, 0.5), (0.3, 0.08, 0.06), shape),
        "OpticChiasm": ellipsoid((0.5, 0.42, 0.5), (0.1, 0.05, 0.1), shape),
        "Eye_L": ellipsoid((0.5, 0.26, 0.66), (0.15, 0.07, 0.07), shape),
    }


def organ_labels(shape: tuple[int, ...] = SHAPE) -> np.ndarray:
    """The organs as one label map, uint8."""
    labels = np.zeros(shape, np.uint8)
    for name, mask in organs(shape).items():
        labels[mask] = OARS[name]
    return labels


def target(seed: int = 0, shape: tuple[int, ...] = SHAPE) -> np.ndarray:
    """A sphere inside the head, boolean; the seed moves it and sets its size."""
    random = np.random.default_rng(seed)
    y, x = random.uniform(0.35, 0.65, 2)
    radius = random.uniform(0.1, 0.15)
    depth = radius * shape[1] / shape[0]
    return ellipsoid((0.5, y, x), (depth, radius, radius), shape)


def dose_for(mask: np.ndarray, prescription_gy: float = 60.0, spacing_mm: tuple[float, ...] = SPACING_MM) -> np.ndarray:
    """Dose in Gy, float32: prescription * exp(-distance from the mask / 15 mm), 0 outside the head."""
    distance_mm = distance_transform_edt(~mask, sampling=spacing_mm)
    dose_gy = prescription_gy * np.exp(-distance_mm / FALL_OFF_MM)
    return np.where(head(mask.shape), dose_gy, 0).astype(np.float32)


def mr_image(seed: int = 0, shape: tuple[int, ...] = SHAPE) -> np.ndarray:
    """An MR-like image, float32: brain 100, target 180, noise of 5."""
    image = 100.0 * head(shape) + 80.0 * target(seed, shape)
    return (image + np.random.default_rng(seed).normal(0, 5, shape)).astype(np.float32)


def case(name: str, seed: int = 0, shape: tuple[int, ...] = SHAPE, *, mr: bool = False) -> Case:
    """One patient; its only image is the CT, or an MR."""
    mask = target(seed, shape)
    return Case(
        name=name,
        grid=grid_for(shape),
        images=(mr_image(seed, shape) if mr else None,),
        labels=mask.astype(np.uint8),
        ct_hu=head_ct(shape),
        oars=organ_labels(shape),
        dose_gy=dose_for(mask),
    )


def write_extended_dataset(
    folder: Path,
    cases: int = 2,
    test_cases: int = 0,
    shape: tuple[int, ...] = SHAPE,
    *,
    mr: bool = False,
    ending: str = ".nii.gz",
) -> ExtendedDataset:
    """A complete extended dataset of the cases Phantom_000, Phantom_001, ...; training cases come first."""
    writer = DatasetWriter(folder, ending)
    writer.begin({"converter": "test phantom"})
    for number in range(cases + test_cases):
        split = "Tr" if number < cases else "Ts"
        writer.write(case(f"Phantom_{number:03d}", number, shape, mr=mr), split)
    writer.finish(["MR" if mr else "CT"], LABELS, GUIDANCE)
    return ExtendedDataset(folder)


def write_channel_dataset(folder: Path, cases: int = 2) -> ExtendedDataset:
    """A plain nnU-Net dataset with the channels T1, CT, T2, Brainstem, Eye_L (0 to 4), labels and doses."""
    for number in range(cases):
        name, grid, masks = f"Phantom_{number:03d}", grid_for(), organs()
        channels = [mr_image(number), head_ct(), mr_image(number + 100), masks["Brainstem"], masks["Eye_L"]]
        for channel, array in enumerate(channels):
            write_array(folder / "imagesTr" / f"{name}_{channel:04d}.nii.gz", array, grid)
        mask = target(number)
        write_array(folder / "labelsTr" / f"{name}.nii.gz", mask, grid)
        write_array(folder / "doseTr" / f"{name}.nii.gz", dose_for(mask), grid)
    content = {
        "channel_names": {"0": "T1", "1": "CT", "2": "T2", "3": "Brainstem", "4": "Eye_L"},
        "labels": LABELS,
        "numTraining": cases,
        "file_ending": ".nii.gz",
    }
    write_json(folder / "dataset.json", content)
    return ExtendedDataset(folder)


def training_slices(cases: int = 4) -> tuple[Tensor, Tensor, Tensor]:
    """Target (dose / Rx), organs and CT of the slices around the middle of phantom heads, (B, 1, Y, X)."""
    depths = range(SHAPE[0] // 2 - 2, SHAPE[0] // 2 + 2)
    target_map = np.stack([target(seed)[z] for seed in range(cases) for z in depths]).astype(np.float32)
    oars = np.stack([organ_labels()[z] for _ in range(cases) for z in depths]).astype(np.int16)
    ct_hu = np.stack([head_ct()[z] for _ in range(cases) for z in depths]).astype(np.float32)
    return tuple(torch.from_numpy(a)[:, None] for a in (target_map, oars, ct_hu))  # type: ignore[return-value]


@cache
def _trained_state() -> dict[str, Tensor]:
    """A small predictor taught that dose is the target, blurred: seconds on one core, and it learns to care."""
    torch.manual_seed(0)
    network = DosePredictor(TINY_NETWORK)
    optimizer = torch.optim.Adam(network.parameters(), 1e-2)
    for _ in range(150):
        masks = _random_squares(8)
        dose = torch.nn.functional.avg_pool2d(masks, 7, stride=1, padding=3)
        first, second = network.stages(masks, torch.zeros_like(masks), torch.zeros_like(masks))
        loss = 0.5 * (first - dose).square().mean() + (second - dose).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return network.state_dict()


def _random_squares(count: int) -> Tensor:
    masks = torch.zeros(count, 1, 32, 32)
    for mask in masks:
        y, x = (int(v) for v in torch.randint(2, 22, (2,)))
        height, width = (int(v) for v in torch.randint(4, 10, (2,)))
        mask[0, y : y + height, x : x + width] = 1
    return masks


def trained_predictor() -> DosePredictor:
    """A fresh copy of a small trained predictor for the phantoms' organs, in evaluation mode."""
    network = DosePredictor(TINY_NETWORK)
    network.load_state_dict(_trained_state())
    return network.eval().requires_grad_(False)
