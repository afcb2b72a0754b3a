"""CT and organs, cropped, transposed and resampled exactly as nnU-Net did with the case.

One file a case, `<data_identifier>_context/<case>.b2nd`: int16 (2, Z, Y, X) = HU, organ label.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import blosc2
import numpy as np
from acvl_utils.cropping_and_padding.bounding_boxes import bounding_box_to_slice
from batchgenerators.utilities.file_and_folder_operations import load_pickle
from nnunetv2.preprocessing.resampling.default_resampling import compute_new_shape
from nnunetv2.training.dataloading.nnunet_dataset import comp_blosc2_params
from nnunetv2.utilities.plans_handling.plans_handler import ConfigurationManager, PlansManager

from nnunet_doselo.common.errors import DoseloError
from nnunet_doselo.common.files import all_or_nothing, read_json
from nnunet_doselo.common.nnunet_environment import PREPROCESSED
from nnunet_doselo.common.parallel import map_cases
from nnunet_doselo.dataset.folder import ExtendedDataset, environment_folder, raw_dataset

SOURCE = "source"


@dataclass(frozen=True)
class ContextFolder:
    """The context of one preprocessed configuration, and what it is made from."""

    dataset: ExtendedDataset
    preprocessed: Path
    plans: dict
    configuration: str

    @property
    def folder(self) -> Path:
        return self.preprocessed.with_name(f"{self.preprocessed.name}_context")

    def file(self, case: str) -> Path:
        return self.folder / f"{case}.b2nd"

    def build(self, cases: Sequence[str], *, processes: int) -> int:
        """Write what is missing or made from other files; returns how many were written.

        Raises
        ------
        DoseloError: a case lacks its CT or organs, or they are not on the image's grid.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        to_do = [case for case in cases if not self._is_current(case)]
        map_cases(
            partial(_build_case, context=self),
            to_do,
            processes=processes,
            description="Preprocessing CT and organs",
        )
        return len(to_do)

    def source(self, case: str) -> str:
        """What the case's file is made from: sizes and times of CT, organs and nnU-Net's own record of the case."""
        made_from = (*(self.dataset.path(kind, case) for kind in ("ct", "oars")), self.properties_file(case))
        return json.dumps([[p.name, p.stat().st_size, p.stat().st_mtime_ns] for p in made_from if p.exists()])

    def properties_file(self, case: str) -> Path:
        return self.preprocessed / f"{case}.pkl"

    def _is_current(self, case: str) -> bool:
        try:
            stored = blosc2.open(str(self.file(case)), mode="r")
            chunks = stored.schunk  # array and chunks must both outlive their metadata
            return chunks.vlmeta[SOURCE] == self.source(case)
        except (FileNotFoundError, RuntimeError, KeyError):
            return False


def preprocess_context(
    ct_hu: np.ndarray,
    oars: np.ndarray,
    properties: dict,
    plans: PlansManager,
    configuration: ConfigurationManager,
) -> np.ndarray:
    """Transpose, crop and resample as nnU-Net's DefaultPreprocessor does with an image and a segmentation.

    Parameters
    ----------
    ct_hu, oars: (1, Z, Y, X) on the image's original grid.
    properties: what nnU-Net recorded when it preprocessed the case.

    Returns
    -------
    int16 (2, Z', Y', X'): HU and organ label.
    """
    order = [0, *(axis + 1 for axis in plans.transpose_forward)]
    crop = (slice(None), *bounding_box_to_slice(properties["bbox_used_for_cropping"]))
    spacing = [properties["spacing"][axis] for axis in plans.transpose_forward]
    target = list(configuration.spacing)
    target = [spacing[0], *target] if len(target) == 2 else target
    cropped = [np.ascontiguousarray(array.transpose(order)[crop]) for array in (ct_hu.astype(np.float32), oars)]
    shape = compute_new_shape(cropped[0].shape[1:], spacing, target)
    ct = configuration.resampling_fn_data(cropped[0], shape, spacing, target)
    organs = configuration.resampling_fn_seg(cropped[1], shape, spacing, target)
    limits = np.iinfo(np.int16)
    return np.concatenate([np.clip(np.rint(ct), limits.min, limits.max), organs]).astype(np.int16)


def _build_case(case: str, context: ContextFolder) -> None:
    plans = PlansManager(context.plans)
    configuration = plans.get_configuration(context.configuration)
    properties = load_pickle(str(context.properties_file(case)))
    reader = plans.image_reader_writer_class()
    ct_file, oars_file = (context.dataset.path(kind, case) for kind in ("ct", "oars"))
    for file in (ct_file, oars_file):
        if not file.exists():
            raise DoseloError(f"{file}: no such file; dose guidance needs CT and organs of every training case")
    ct_hu, _ = reader.read_images([str(ct_file)])
    oars, _ = reader.read_seg(str(oars_file))
    _require_same_grid(ct_file, ct_hu, plans, properties)
    _require_same_grid(oars_file, oars, plans, properties)
    array = preprocess_context(ct_hu, oars.astype(np.int16), properties, plans, configuration)
    _save(array, context.file(case), configuration.patch_size, context.source(case))


def _require_same_grid(file: Path, array: np.ndarray, plans: PlansManager, properties: dict) -> None:
    size = tuple(int(array.shape[1:][axis]) for axis in plans.transpose_forward)
    image = tuple(int(n) for n in properties["shape_before_cropping"])
    if size != image:
        raise DoseloError(
            f"{file}: must lie on the image's grid, has {size} voxels where the image had {image}; run "
            "`doselo verify`, and nnUNetv2_preprocess again if the images have changed since"
        )


def _save(array: np.ndarray, path: Path, patch_size: Sequence[int], source: str) -> None:
    blocks, chunks = comp_blosc2_params(array.shape, tuple(patch_size), array.itemsize)
    with all_or_nothing(path) as file:
        stored = blosc2.asarray(np.ascontiguousarray(array), urlpath=str(file), mode="w", chunks=chunks, blocks=blocks)
        metadata = stored.schunk
        metadata.vlmeta[SOURCE] = source
        del metadata, stored


def context_of_dataset(dataset: str | int, plans_name: str, configuration: str) -> tuple[ContextFolder, list[str]]:
    """The context folder of a planned and preprocessed dataset, and its cases.

    Raises
    ------
    DoseloError: the dataset was not planned or preprocessed, or the plans have no such configuration.
    """
    raw = raw_dataset(dataset)
    folder = environment_folder(PREPROCESSED) / raw.folder.name
    plans_file = folder / f"{plans_name}.json"
    if not plans_file.exists():
        raise DoseloError(f"{plans_file}: no such plans; run nnUNetv2_plan_and_preprocess -d {dataset}")
    plans = read_json(plans_file, "nnUNetv2_plan_and_preprocess", keys=["configurations"])
    if configuration not in plans["configurations"]:
        raise DoseloError(f"{plans_file}: no configuration {configuration}, there are {list(plans['configurations'])}")
    identifier = PlansManager(plans).get_configuration(configuration).data_identifier
    cases = sorted(p.stem for p in (folder / identifier).glob("*.pkl"))
    if not cases:
        raise DoseloError(f"{folder / identifier}: no preprocessed cases; run nnUNetv2_preprocess -d {dataset}")
    return ContextFolder(raw, folder / identifier, plans, configuration), cases
