"""Slices on disk: the right numbers, and never those of yesterday's files."""

import os
from pathlib import Path

import numpy as np
import phantoms
import pytest

from nnunet_doselo.common.errors import DoseloError
from nnunet_doselo.dataset.folder import ExtendedDataset
from nnunet_doselo.dataset.images import write_array
from nnunet_doselo.predictor_training.data.cache import (
    CachedCase,
    build_cache,
    data_hash,
    median_spacing,
    training_cases,
)

FIRST, SECOND = "Phantom_000", "Phantom_001"
SPACING_MM = (3.0, 3.0)


@pytest.fixture
def dataset(tmp_path: Path) -> ExtendedDataset:
    return phantoms.write_extended_dataset(tmp_path / "Dataset001_Head")


def put(
    dataset: ExtendedDataset, kind: str, array: np.ndarray, spacing_mm: tuple[float, ...] = (3.0, 3.0, 3.0)
) -> None:
    write_array(dataset.path(kind, FIRST), array, phantoms.grid_for(array.shape, spacing_mm))


def put_all(dataset: ExtendedDataset, array: np.ndarray, spacing_mm: tuple[float, ...]) -> None:
    for kind in ("ct", "labels", "oars", "dose"):
        put(dataset, kind, array.astype(np.float32 if kind == "dose" else np.int16), spacing_mm)


def build(dataset: ExtendedDataset, spacing_mm: tuple[float, ...] = SPACING_MM) -> CachedCase:
    """The first case, out of a cache of both."""
    folder = dataset.folder.parent / "cache"
    return build_cache(dataset, [FIRST, SECOND], spacing_mm, folder, processes=0)[0]


def written(dataset: ExtendedDataset) -> dict[str, int]:
    """When each file of the cache was written."""
    return {file.name: file.stat().st_mtime_ns for file in (dataset.folder.parent / "cache").iterdir()}


def test_a_case_is_ct_with_air_at_0_label_organ_and_dose(dataset: ExtendedDataset) -> None:
    case = build(dataset)
    context = case.context()[:]
    assert (context.dtype, context.shape) == (np.int16, (3, *phantoms.SHAPE))
    assert np.array_equal(context[0] - 1024, phantoms.head_ct())
    assert np.array_equal(context[1], phantoms.target())
    assert np.array_equal(context[2], phantoms.organ_labels())
    assert np.array_equal(case.dose_gy()[:], phantoms.dose_for(phantoms.target()))


def test_hu_beyond_16_bits_and_below_air_are_cut_off(dataset: ExtendedDataset) -> None:
    ct_hu = np.zeros(phantoms.SHAPE, np.int16)
    ct_hu[0, 0, :4] = (-3000, -1024, -1023, 32767)
    put(dataset, "ct", ct_hu)
    assert build(dataset).context()[0, 0, 0, :5].tolist() == [0, 0, 1, 32767, 1024]


def test_dosed_slices_are_those_with_any_dose(dataset: ExtendedDataset) -> None:
    dose_gy = np.zeros(phantoms.SHAPE, np.float32)
    dose_gy[3, 1, 1] = dose_gy[7, 30, 2] = 1e-3
    put(dataset, "dose", dose_gy)
    assert build(dataset).dosed_slices().tolist() == [3, 7]


def test_a_case_without_dose_has_no_dosed_slices(dataset: ExtendedDataset) -> None:
    put(dataset, "dose", np.zeros(phantoms.SHAPE, np.float32))
    assert build(dataset).dosed_slices().tolist() == []


def test_what_is_current_is_kept(dataset: ExtendedDataset) -> None:
    build(dataset)
    before = written(dataset)
    build(dataset)
    assert written(dataset) == before
    assert len(before) == 4


@pytest.mark.parametrize("kind", ["ct", "labels", "oars", "dose"])
def test_a_source_file_that_changed_renews_its_case_alone(dataset: ExtendedDataset, kind: str) -> None:
    build(dataset)
    before = written(dataset)
    put(dataset, kind, np.full(phantoms.SHAPE, 2, np.float32 if kind == "dose" else np.int16))
    case, after = build(dataset), written(dataset)
    assert {name for name in after if after[name] != before[name]} == {name for name in after if FIRST in name}
    now = [*case.context()[:], case.dose_gy()[:]][("ct", "labels", "oars", "dose").index(kind)]
    assert (now == (2 + 1024 if kind == "ct" else 2)).all()


def test_another_spacing_renews_every_case(dataset: ExtendedDataset) -> None:
    assert build(dataset).context().shape == (3, 16, 32, 32)
    assert build(dataset, (6.0, 1.5)).context().shape == (3, 16, 16, 64)
    assert len(written(dataset)) == 4


@pytest.mark.parametrize("harm", ["context", "dose"])
def test_a_file_that_is_missing_or_cut_short_is_written_again(dataset: ExtendedDataset, harm: str) -> None:
    file = build(dataset).folder / f"{FIRST}_{harm}.b2nd"
    whole = file.read_bytes()
    for content in (None, whole[:-50]):
        file.unlink()
        if content:
            file.write_bytes(content)
        case = build(dataset)
        assert case.context()[1].sum() == phantoms.target().sum()
        assert case.dose_gy()[:].max() == 60


def test_a_constant_stays_constant_up_to_the_outer_faces(dataset: ExtendedDataset) -> None:
    """8 x 8 voxels of 3 mm as 12 x 6 of 2 mm by 4 mm: no border of air, no dose lost."""
    put_all(dataset, np.full((2, 8, 8), 2), (5.0, 3.0, 3.0))
    case = build(dataset, (2.0, 4.0))
    assert case.context()[:].shape == (3, 2, 12, 6)
    assert (case.context()[0] == 1026).all()
    assert (case.context()[1:] == 2).all()
    np.testing.assert_allclose(case.dose_gy()[:], 2, rtol=1e-6)


def test_doubled_in_the_plane_labels_are_repeated_and_slices_stay(dataset: ExtendedDataset) -> None:
    picture = np.array([[[0, 1], [2, 3]], [[3, 2], [1, 0]]])
    put_all(dataset, picture, (5.0, 3.0, 3.0))
    _, labels, organs = build(dataset, (1.5, 1.5)).context()[:]
    assert labels[0].tolist() == [[0, 0, 1, 1], [0, 0, 1, 1], [2, 2, 3, 3], [2, 2, 3, 3]]
    assert np.array_equal(labels[1], 3 - labels[0])
    assert np.array_equal(organs, labels)


def test_an_image_turned_over_gives_the_result_turned_over(dataset: ExtendedDataset) -> None:
    """No shift by half a voxel."""
    dose_gy = np.random.default_rng(0).random((2, 10, 12)).astype(np.float32)
    found = []
    for array in (dose_gy, dose_gy[:, ::-1, ::-1]):
        put_all(dataset, np.zeros((2, 10, 12)), (5.0, 3.0, 3.0))
        put(dataset, "dose", np.ascontiguousarray(array), (5.0, 3.0, 3.0))
        found.append(build(dataset, (2.0, 4.5)).dose_gy()[:])
    np.testing.assert_allclose(found[1][:, ::-1, ::-1], found[0], atol=1e-5)


def test_only_complete_cases_train_and_two_are_needed(dataset: ExtendedDataset) -> None:
    assert training_cases(dataset) == [FIRST, SECOND]
    dataset.path("dose", FIRST).unlink()
    with pytest.raises(DoseloError, match=r"Dataset001_Head: .* at least two .*ctTr, .*doseTr, found 1"):
        training_cases(dataset)


def test_the_median_spacing_is_in_plane_y_then_x(dataset: ExtendedDataset) -> None:
    put(dataset, "ct", phantoms.head_ct(), (9.0, 1.0, 2.0))
    assert median_spacing(dataset, [FIRST]) == (1.0, 2.0)
    assert median_spacing(dataset, [FIRST, SECOND]) == (2.0, 2.5)


def test_the_data_hash_follows_the_content_not_the_date(dataset: ExtendedDataset) -> None:
    both = data_hash(dataset, [FIRST, SECOND])
    os.utime(dataset.path("ct", FIRST), (0, 0))
    assert data_hash(dataset, [FIRST, SECOND]) == both
    assert data_hash(dataset, [FIRST]) != both
    put(dataset, "oars", np.zeros(phantoms.SHAPE, np.uint8))
    assert data_hash(dataset, [FIRST, SECOND]) != both


def test_with_three_spacings_slices_are_resampled_too(dataset: ExtendedDataset) -> None:
    """2 slices of 5 mm as 4 of 2.5 mm: labels are repeated, a constant stays so up to the outer faces."""
    put_all(dataset, np.arange(8).reshape(2, 2, 2), (5.0, 3.0, 3.0))
    put(dataset, "dose", np.full((2, 2, 2), 2, np.float32), (5.0, 3.0, 3.0))
    case = build(dataset, (2.5, 3.0, 3.0))
    assert case.context()[1, :, 0, 0].tolist() == [0, 0, 4, 4]
    assert case.context()[2, :, 1, 1].tolist() == [3, 3, 7, 7]
    np.testing.assert_allclose(case.dose_gy()[:], np.full((4, 2, 2), 2), rtol=1e-6)
    assert case.dosed_slices().tolist() == [0, 1, 2, 3]


def test_a_case_turned_upside_down_gives_the_result_turned_over(dataset: ExtendedDataset) -> None:
    dose_gy = np.random.default_rng(0).random((6, 10, 12)).astype(np.float32)
    found = []
    for array in (dose_gy, dose_gy[::-1]):
        put_all(dataset, np.zeros((6, 10, 12)), (5.0, 3.0, 3.0))
        put(dataset, "dose", np.ascontiguousarray(array), (5.0, 3.0, 3.0))
        found.append(build(dataset, (3.0, 2.0, 4.5)).dose_gy()[:])
    assert found[0].shape == (10, 15, 8)
    np.testing.assert_allclose(found[1][::-1], found[0], atol=1e-5)


def test_slices_and_volumes_of_the_same_spacing_are_told_apart(dataset: ExtendedDataset) -> None:
    build(dataset)
    before = written(dataset)
    build(dataset, (3.0, 3.0, 3.0))
    assert all(written(dataset)[name] != time for name, time in before.items())


def test_the_median_spacing_of_volumes_begins_with_that_of_the_slices(dataset: ExtendedDataset) -> None:
    put(dataset, "ct", phantoms.head_ct(), (9.0, 1.0, 2.0))
    assert median_spacing(dataset, [FIRST], 3) == (9.0, 1.0, 2.0)
    assert median_spacing(dataset, [FIRST, SECOND], 3) == (6.0, 2.0, 2.5)
