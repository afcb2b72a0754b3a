"""`doselo predict-dose`: a dose file, a table and DVHs for one contour, and what differs from another contour."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from nnunet_doselo.common.errors import DoseloError
from nnunet_doselo.common.files import csv_bytes, replace_files
from nnunet_doselo.dataset.geometry import body_mask
from nnunet_doselo.dataset.images import read_on_grid, write_array
from nnunet_doselo.evaluation.dose_metrics import union_rmae
from nnunet_doselo.evaluation.dvh_pictures import Curves, dvh_curves, dvh_picture
from nnunet_doselo.predictor.artifact import FrozenPredictor
from nnunet_doselo.predictor.contour_dose import (
    LabelValues,
    anatomy_from_files,
    check_label_values,
    predict_dose,
    structures_of,
)

DOSE_ENDINGS = (".nii.gz", ".nii", ".nrrd", ".mha")
DVH_ENDINGS = (".csv", ".png")


@dataclass(frozen=True)
class ContourFiles:
    """CT, organs, the contour to predict, where its dose goes; `compare_to` is the reference contour, if any."""

    ct: Path
    oars: Path
    labels: Path
    out: Path
    dvh: Path | None = None
    compare_to: Path | None = None

    @property
    def dose_names(self) -> list[str]:
        """After the contours: the reference's, if there is one, then the one that is written."""
        return [f"Dose of {file.name}" for file in (self.compare_to, self.labels) if file]

    def check(self) -> None:
        """Raises DoseloError for endings that cannot be written, and for outputs that would replace an input."""
        for file, endings in ((self.out, DOSE_ENDINGS), (self.dvh, DVH_ENDINGS)):
            if file is not None and not file.name.endswith(endings):
                raise DoseloError(f"{file}: must end in one of {', '.join(endings)}")
        inputs = {file.resolve() for file in (self.ct, self.oars, self.labels, self.compare_to) if file}
        for file in (self.out, self.dvh):
            if file is not None and file.resolve() in inputs:
                raise DoseloError(f"{file}: is an input too, and would be replaced; write somewhere else")


@dataclass(frozen=True)
class ContourDose:
    """Curves of the contour's dose, or, compared, of both doses in the structures of the reference contour.

    union_rmae: of the contour's dose against the reference contour's, a fraction (`dose_metrics.union_rmae`); None
    without a comparison.
    """

    curves: list[Curves]
    union_rmae: float | None = None


def dose_of_contour(
    predictor: FrozenPredictor,
    files: ContourFiles,
    *,
    label_values: LabelValues | None = None,
    device: torch.device | str = "cpu",
) -> ContourDose:
    """Predict the dose of a contour and write it: Gy, float32, on the CT's grid, all or nothing.

    Compared to another contour, both doses are read in the targets of that one, the reference: what does planning on
    the contour under test do to the true target? The reference's own dose is not written.

    Parameters
    ----------
    label_values: of both label maps, see `predict_dose`.

    Raises
    ------
    DoseloError: a file is missing, unreadable, or cannot be written; grids differ; unnamed values in a label map.
    """
    files.check()
    check_label_values(predictor.card.guidance, label_values)
    anatomy = anatomy_from_files(files.ct, files.oars)
    labels = read_on_grid(files.labels, anatomy.grid)
    dose_gy = predict_dose(predictor, anatomy, labels, label_values=label_values, device=device)
    if files.compare_to is None:
        structures = structures_of(predictor, anatomy, labels, label_values)
        result = ContourDose(dvh_curves(structures, dose_gy, None, anatomy.voxel_cc))
    else:
        reference = read_on_grid(files.compare_to, anatomy.grid)
        reference_gy = predict_dose(predictor, anatomy, reference, label_values=label_values, device=device)
        structures = structures_of(predictor, anatomy, reference, label_values)
        prescription_gy = predictor.card.guidance.prescription_gy
        difference = union_rmae(reference_gy, dose_gy, body_mask(anatomy.ct_hu), prescription_gy)
        result = ContourDose(dvh_curves(structures, reference_gy, dose_gy, anatomy.voxel_cc), difference)
    write_array(files.out, dose_gy, anatomy.grid)
    _write_dvh(files, result.curves)
    return result


def _write_dvh(files: ContourFiles, curves: Sequence[Curves]) -> None:
    if files.dvh is None:
        return
    names = files.dose_names
    if files.dvh.name.endswith(".csv"):
        replace_files({files.dvh: dvh_csv(curves, names)})
    else:
        dvh_picture(files.dvh, curves, title=files.labels.name, reference_title=names[0], evaluated_title=names[-1])


def dvh_csv(curves: Sequence[Curves], dose_names: Sequence[str]) -> bytes:
    """One row for each structure and dose: `DVH.figures`, to four decimals; nan for a structure without voxels.

    dose_names: what the reference dose is called, and the evaluated one, if there is one.
    """
    rows = [
        {"structure": structure.name, "kind": structure.kind, "dose": name}
        | {figure: f"{value:.4f}" for figure, value in dvh.figures().items()}
        for structure in curves
        for name, dvh in zip(dose_names, structure.both, strict=True)
    ]
    return csv_bytes([*rows[0]], ([*row.values()] for row in rows))
