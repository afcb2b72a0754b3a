"""Training slices: CT, target, organs and dose move together, and what lies outside is air."""

from pathlib import Path

import numpy as np
import phantoms
import pytest
import torch

from nnunet_doselo.dataset.images import write_array
from nnunet_doselo.dataset.patient import prescription_map
from nnunet_doselo.predictor.spatial_domain import WHOLE_DOMAIN, SpatialDomain, domain_of_beams
from nnunet_doselo.predictor_training.data.augmentation import spatial_transforms
from nnunet_doselo.predictor_training.data.cache import CachedCase, build_cache
from nnunet_doselo.predictor_training.data.samples import RandomPatches, Sample, TargetCodes, as_sample, whole_slices

CODES = TargetCodes((0.0, 0.8))
UNKNOWN_BEAMS = domain_of_beams((), dim=2)
BLOB_HU, BLOB_ORGAN = 976, 2  # 2000 above air
SEEDS = range(50)


@pytest.fixture(scope="module")
def phantom(tmp_path_factory: pytest.TempPathFactory) -> CachedCase:
    folder = tmp_path_factory.mktemp("phantom")
    dataset = phantoms.write_extended_dataset(folder / "dataset", cases=1)
    return build_cache(dataset, dataset.cases(), (3.0, 3.0), folder / "cache", processes=0)[0]


@pytest.fixture(scope="module")
def blob(tmp_path_factory: pytest.TempPathFactory) -> CachedCase:
    """Air and nothing else, but for one blob without symmetry: bone, target, organ and 60 Gy, all of its shape."""
    folder = tmp_path_factory.mktemp("blob")
    dataset = phantoms.write_extended_dataset(folder / "dataset", cases=1)
    mask = np.zeros((4, 32, 32), bool)
    mask[1, 8:20, 10:14] = mask[1, 16:20, 10:22] = True
    for kind, array in {
        "ct": np.where(mask, BLOB_HU, -1024).astype(np.int16),
        "labels": mask.astype(np.uint8),
        "oars": (BLOB_ORGAN * mask).astype(np.uint8),
        "dose": (60 * mask).astype(np.float32),
    }.items():
        write_array(dataset.path(kind, "Phantom_000"), array, phantoms.grid_for(mask.shape))
    return build_cache(dataset, dataset.cases(), (3.0, 3.0), folder / "cache", processes=0)[0]


def drawn(
    case: CachedCase,
    number: int,
    patch_size: tuple[int, ...] = (32, 32),
    domain: SpatialDomain | None = UNKNOWN_BEAMS,
) -> Sample:
    return RandomPatches([case], CODES, patch_size, 1, domain)[number]


def dosed(case: CachedCase, seeds: range = SEEDS) -> list[Sample]:
    samples = [drawn(case, seed) for seed in seeds]
    return [sample for sample in samples if sample["dose"].any()]


def test_ct_target_organs_and_dose_stay_aligned(blob: CachedCase) -> None:
    for sample in dosed(blob):
        share = sample["dose"] / 60
        torch.testing.assert_close((sample["ct"] + 1024) / 2000, share, rtol=0, atol=1e-4)
        clear = (share - 0.5).abs() > 0.05  # a label has no half
        assert torch.equal((sample["target"] > 0)[clear], (share > 0.5)[clear])
        assert torch.equal((sample["oars"] == BLOB_ORGAN)[clear], (share > 0.5)[clear])


def test_slices_are_mirrored_turned_and_scaled(blob: CachedCase) -> None:
    masks = [sample["target"][0] > 0 for sample in dosed(blob, range(100))]
    still = torch.from_numpy(blob.context()[1, 1] > 0)
    found = [axes for axes in ([], [0], [1], [0, 1]) if any(torch.equal(mask, still.flip(axes)) for mask in masks)]
    assert found == [[], [1]]  # left to right, never front to back
    sizes = [int(mask.sum()) for mask in masks]
    assert min(sizes) < 60 < still.sum() == 80 < 110 < max(sizes)
    where = {tuple(mask.nonzero().sum(0).tolist()) for mask in masks}
    assert len(where) > 10  # 1 - 0.8 * 0.8 of those shown are turned or scaled, some too little to move a voxel


def test_where_the_beams_are_known_slices_are_scaled_and_mirrored_alone() -> None:
    """The beams do not turn with the patient; those from one side alone have no mirror image."""
    turned, mirrored = spatial_transforms((32, 32), domain_of_beams((0.0, 120.0, 240.0), dim=2)).transforms
    assert (turned.p_rotation, turned.p_scaling, mirrored.allowed_axes) == (0.0, 0.2, (1,))
    mirrored = spatial_transforms((32, 32), domain_of_beams((0.0, 90.0), dim=2)).transforms[1]
    assert mirrored.allowed_axes == ()
    image = torch.rand(1, 32, 32)
    assert torch.equal(mirrored(image=image)["image"], image)


def test_under_the_whole_augmentation_slices_are_mirrored_both_ways_and_turned_all_around(blob: CachedCase) -> None:
    masks = [drawn(blob, seed, domain=WHOLE_DOMAIN)["target"][0] > 0 for seed in range(100)]
    still = torch.from_numpy(blob.context()[1, 1] > 0)
    assert all(any(torch.equal(mask, still.flip(axes)) for mask in masks) for axes in ([], [0], [1], [0, 1]))
    turned = spatial_transforms((32, 32), WHOLE_DOMAIN).transforms[0]
    np.testing.assert_allclose(turned.rotation, (-np.pi, np.pi))
    assert (turned.p_rotation, turned.scaling) == (0.2, (0.7, 1.4))


def test_most_slices_shown_hold_dose(blob: CachedCase) -> None:
    """One slice of four holds any: 0.85 + 0.15 / 4 = 89 % of those shown."""
    assert 38 <= len(dosed(blob)) <= 49


def test_a_case_without_dose_is_shown_all_the_same(tmp_path: Path) -> None:
    dataset = phantoms.write_extended_dataset(tmp_path / "dataset", cases=1)
    write_array(dataset.path("dose", "Phantom_000"), np.zeros(phantoms.SHAPE, np.float32), phantoms.grid_for())
    (case,) = build_cache(dataset, dataset.cases(), (3.0, 3.0), tmp_path / "cache", processes=0)
    sample = drawn(case, 0)
    assert not sample["dose"].any()
    assert sample["counts"].any()


def test_labels_are_of_the_declared_set_and_types_are_those_of_the_network(phantom: CachedCase) -> None:
    for sample in dosed(phantom):
        assert {name: x.shape for name, x in sample.items()} == dict.fromkeys(sample, (1, 32, 32))
        assert sample["oars"].dtype == torch.int16
        assert set(sample["oars"].unique().tolist()) <= {0, 1, 2, 3}
        assert torch.isin(sample["target"], torch.tensor(CODES.fraction_of_label)).all()
        assert -1024 <= sample["ct"].min() < sample["ct"].max() <= phantoms.BONE + 0.01  # interpolated
        assert 0 <= sample["dose"].min() < sample["dose"].max() <= 60 + 0.01


def test_padding_is_air_without_dose_under_every_transform(phantom: CachedCase) -> None:
    """A patch of 64 holds a slice of 32, were it turned and half as large again; its corners never hold any."""
    for seed in SEEDS:
        sample = drawn(phantom, seed, (64, 64))
        corners = {name: x[0, :6, :6].flatten() for name, x in sample.items()}
        assert (corners["ct"] == -1024).all()
        assert not any(corners[name].any() for name in ("dose", "target", "oars", "counts"))


def test_without_augmentation_the_slice_lies_in_the_middle(blob: CachedCase) -> None:
    for seed in range(5):
        sample = drawn(blob, seed, (36, 40), domain=None)
        if sample["dose"].any():
            break
    expected = torch.zeros(36, 40)
    expected[2 + 8 : 2 + 20, 4 + 10 : 4 + 14] = 60
    expected[2 + 16 : 2 + 20, 4 + 10 : 4 + 22] = 60
    assert torch.equal(sample["dose"][0], expected)
    assert torch.equal(sample["ct"][0], torch.where(expected > 0, float(BLOB_HU), -1024.0))


def test_a_patch_smaller_than_the_slice_shows_its_middle(phantom: CachedCase) -> None:
    shown = drawn(phantom, 0, (16, 20), domain=None)["ct"][0].numpy()
    assert any(np.array_equal(shown, ct_hu[8:24, 6:26]) for ct_hu in phantoms.head_ct())


def test_a_whole_case_is_every_nth_slice_unmoved(phantom: CachedCase) -> None:
    sample = whole_slices(phantom, CODES, every=4)
    assert sample["dose"].shape == (4, 1, 32, 32)
    assert np.array_equal(sample["dose"][:, 0].numpy(), phantoms.dose_for(phantoms.target())[::4])
    assert np.array_equal(sample["oars"][:, 0].numpy(), phantoms.organ_labels()[::4])
    assert whole_slices(phantom, CODES)["ct"].shape == (16, 1, 32, 32)


def test_dose_counts_inside_the_body_and_wherever_there_is_any() -> None:
    ct_and_dose = torch.tensor([[[0, 1024.0, 0], [1024, 1024, 1024], [0, 1024, 0]], [[0, 0, 0], [0, 0, 0], [0, 0, 5]]])
    sample = as_sample(ct_and_dose, torch.zeros(2, 3, 3, dtype=torch.int16), CODES)
    assert sample["counts"][0].int().tolist() == [[0, 1, 0], [1, 1, 1], [0, 1, 1]]
    assert sample["ct"][0, 0].tolist() == [-1024, 0, -1024]


def test_codes_give_each_label_its_share_of_rx_and_0_to_what_is_no_target() -> None:
    values = {"background": [0], "GTV": [1], "PTV56": [3], "PTV70": [2]}
    codes = TargetCodes.from_labels(values, {"PTV70": 1.0, "PTV56": 0.8})
    assert codes.encode(torch.tensor([[0, 1, 2, 3]])).tolist() == [[0.0, 0.0, 1.0, pytest.approx(0.8)]]


@pytest.mark.parametrize("names", [("PTV56", "PTV70"), ("PTV70", "PTV56")])
def test_where_regions_overlap_codes_and_the_map_of_prescriptions_agree(names: tuple[str, str]) -> None:
    """The highest prescription counts, whichever target is declared first."""
    values, shares = {"background": [0], "PTV56": [1, 2], "PTV70": [2]}, {"PTV56": 0.8, "PTV70": 1.0}
    target_fraction = {name: shares[name] for name in names}
    labels = np.array([[0, 1, 2], [2, 1, 0]])
    encoded = TargetCodes.from_labels(values, target_fraction).encode(torch.from_numpy(labels)).numpy()
    assert np.array_equal(encoded, np.array([[0, 0.8, 1], [1, 0.8, 0]], np.float32))
    assert np.array_equal(encoded, prescription_map(labels, values, target_fraction))
