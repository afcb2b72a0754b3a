"""CT and organs land on the very voxels where nnU-Net's own preprocessing puts an image."""

import shutil
from pathlib import Path

import blosc2
import numpy as np
import pytest
from batchgenerators.utilities.file_and_folder_operations import write_pickle
from nnunetv2.preprocessing.preprocessors.default_preprocessor import DefaultPreprocessor
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager
from phantoms import grid_for

from nnunet_doselo.common.errors import DoseloError
from nnunet_doselo.context.preprocessed import ContextFolder
from nnunet_doselo.dataset.guidance import DoseGuidance
from nnunet_doselo.dataset_conversion.cases.writer import Case, DatasetWriter

SHAPE = (14, 24, 20)
SPACING_MM = (3.0, 1.5, 2.0)
LANDMARK = (7, 13, 9)
RESAMPLING = {
    "resampling_fn_data": "resample_data_or_seg_to_shape",
    "resampling_fn_data_kwargs": {"is_seg": False, "order": 3, "order_z": 0, "force_separate_z": None},
    "resampling_fn_seg": "resample_data_or_seg_to_shape",
    "resampling_fn_seg_kwargs": {"is_seg": True, "order": 1, "order_z": 0, "force_separate_z": None},
}


def plans(transpose: list[int], spacing: list[float], channels: int) -> dict:
    """What nnU-Net's preprocessing reads of a plan."""
    return {
        "dataset_name": "Dataset900_Landmark",
        "plans_name": "nnUNetPlans",
        "image_reader_writer": "SimpleITKIO",
        "transpose_forward": transpose,
        "transpose_backward": np.argsort(transpose).tolist(),
        "label_manager": "LabelManager",
        "foreground_intensity_properties_per_channel": {str(c): {} for c in range(channels)},
        "configurations": {
            "any": {
                "data_identifier": "nnUNetPlans_any",
                "spacing": spacing,
                "patch_size": [16] * len(spacing),
                "normalization_schemes": ["NoNormalization"] * channels,
                "use_mask_for_norm": [False] * channels,
                "architecture": {},
                **RESAMPLING,
            }
        },
    }


def landmark_case() -> Case:
    """An MR that is 0 outside a box, so that nnU-Net crops; a CT with one bright voxel; two organs."""
    box = np.zeros(SHAPE, bool)
    box[2:12, 4:20, 3:18] = True
    ct_hu = np.where(box, 30, 0).astype(np.int16)
    ct_hu[LANDMARK] = 3000
    oars = np.zeros(SHAPE, np.uint8)
    oars[5:9, 10:15, 5:9] = 1
    oars[5:9, 10:15, 9:13] = 2
    mr = np.where(box, 100, 0).astype(np.float32)
    return Case("A", grid_for(SHAPE, SPACING_MM), (mr,), oars, ct_hu, oars, None)


@pytest.fixture
def dataset(tmp_path: Path):
    writer = DatasetWriter(tmp_path / "Dataset900_Landmark")
    writer.begin({"converter": "test"})
    writer.write(landmark_case())
    writer.finish(["MR"], {"background": 0, "a": 1, "b": 2}, DoseGuidance({"a": 60.0}, {"x": 1, "y": 2}))
    from nnunet_doselo.dataset.folder import ExtendedDataset

    return ExtendedDataset(writer.folder)


def by_nnunet(dataset, plan: dict, images: list[Path]) -> tuple[np.ndarray, np.ndarray, dict]:
    manager = PlansManager(plan)
    return DefaultPreprocessor(verbose=False).run_case(
        [str(p) for p in images], str(dataset.path("labels", "A")), manager, manager.get_configuration("any"),
        dataset.dataset_json,
    )  # fmt: skip


def context_of(dataset, plan: dict, folder: Path) -> ContextFolder:
    """nnU-Net preprocesses the MR alone; the context follows what it recorded."""
    _, _, properties = by_nnunet(dataset, plan, dataset.image_paths("A"))
    preprocessed = folder / "nnUNetPlans_any"
    preprocessed.mkdir(exist_ok=True)
    write_pickle(properties, str(preprocessed / "A.pkl"))
    return ContextFolder(dataset, preprocessed, plan, "any")


@pytest.mark.parametrize(
    ("transpose", "spacing"),
    [([0, 1, 2], [2.0, 2.0]), ([2, 0, 1], [2.5, 1.0]), ([1, 2, 0], [2.0, 2.5, 1.2])],
    ids=["2d axial", "2d transposed", "3d transposed"],
)
def test_landmark_lands_where_nnunet_puts_it(
    dataset, tmp_path: Path, transpose: list[int], spacing: list[float]
) -> None:
    context = context_of(dataset, plans(transpose, spacing, 1), tmp_path)
    assert context.build(["A"], processes=1) == 1
    ours = blosc2.open(str(context.file("A")), mode="r")[:]
    images = [*dataset.image_paths("A"), dataset.path("ct", "A")]
    theirs, labels, _ = by_nnunet(dataset, plans(transpose, spacing, 2), images)
    assert np.unravel_index(ours[0].argmax(), ours[0].shape) == np.unravel_index(theirs[1].argmax(), theirs[1].shape)
    np.testing.assert_allclose(ours[0], theirs[1], atol=0.501)  # rounded to whole HU
    np.testing.assert_array_equal(ours[1], np.maximum(labels[0], 0))
    assert ours.shape[1:] != SHAPE


def test_second_build_writes_nothing_and_a_changed_ct_is_seen(dataset, tmp_path: Path) -> None:
    context = context_of(dataset, plans([0, 1, 2], [2.0, 2.0], 1), tmp_path)
    assert context.build(["A"], processes=1) == 1
    assert context.build(["A"], processes=1) == 0
    shutil.copyfile(dataset.path("oars", "A"), dataset.path("ct", "A"))
    assert context.build(["A"], processes=1) == 1


def test_missing_organs_are_one_clear_error(dataset, tmp_path: Path) -> None:
    context = context_of(dataset, plans([0, 1, 2], [2.0, 2.0], 1), tmp_path)
    dataset.path("oars", "A").unlink()
    with pytest.raises(DoseloError, match=r"case A: .*oarsTr/A.nii.gz: no such file"):
        context.build(["A"], processes=1)
    assert list(context.folder.iterdir()) == []
