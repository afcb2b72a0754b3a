"""Structure set to masks with one tool: python dicom_masks.py TOOL PATIENT OUTPUT.npz; run by `dicom.py`.

Stands alone: the other tools live in an environment without this package. PATIENT holds CT/ and rs.dcm. The output has
the packed bits of each mask (Z, Y, X), and the seconds from the files to the masks, imports included.
"""

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np


def ours(patient: Path) -> dict[str, np.ndarray]:
    from nnunet_doselo.dataset.images import grid_of
    from nnunet_doselo.dataset_conversion.dicom_rt.contours.rasterise import rasterise
    from nnunet_doselo.dataset_conversion.dicom_rt.contours.rtstruct import read_structure_set
    from nnunet_doselo.dataset_conversion.dicom_rt.files.series import read_series

    grid = grid_of(read_series(sorted((patient / "CT").iterdir())))
    return {roi.name: rasterise(roi.contours, grid).mask for roi in read_structure_set(patient / "rs.dcm").rois}


def dcmrtstruct2nii(patient: Path) -> dict[str, np.ndarray]:
    import SimpleITK as sitk
    from dcmrtstruct2nii import dcmrtstruct2nii as convert

    with tempfile.TemporaryDirectory() as folder:
        convert(str(patient / "rs.dcm"), str(patient / "CT"), folder, convert_original_dicom=False)
        return {
            file.name[len("mask_") : -len(".nii.gz")]: sitk.GetArrayFromImage(sitk.ReadImage(str(file))) > 0
            for file in Path(folder).glob("mask_*.nii.gz")
        }


def rt_utils(patient: Path) -> dict[str, np.ndarray]:
    from rt_utils import RTStructBuilder

    structures = RTStructBuilder.create_from(str(patient / "CT"), str(patient / "rs.dcm"))
    return {
        name: np.moveaxis(structures.get_roi_mask_by_name(name), -1, 0) for name in structures.get_roi_names()
    }  # (Y, X, Z) there


def plastimatch(patient: Path) -> dict[str, np.ndarray]:
    import subprocess

    import SimpleITK as sitk

    with tempfile.TemporaryDirectory() as folder:
        program = Path(sys.executable).parent / "plastimatch"
        asked = ["--input", str(patient / "rs.dcm"), "--referenced-ct", str(patient / "CT")]
        asked += ["--output-prefix", folder, "--prefix-format", "nii.gz"]
        subprocess.run([str(program), "convert", *asked], check=True, stdout=sys.stderr)
        return {
            file.name[: -len(".nii.gz")]: sitk.GetArrayFromImage(sitk.ReadImage(str(file))) > 0
            for file in Path(folder).glob("*.nii.gz")
        }


TOOLS: dict[str, Callable[[Path], dict[str, np.ndarray]]] = {
    "nnunet-doselo": ours,
    "dcmrtstruct2nii": dcmrtstruct2nii,
    "rt-utils": rt_utils,
    "plastimatch": plastimatch,
}

if __name__ == "__main__":
    tool, patient_folder, output = sys.argv[1:]
    start = time.monotonic()
    masks = TOOLS[tool](Path(patient_folder))
    seconds = time.monotonic() - start
    np.savez(output, seconds=seconds, **{name: np.packbits(mask) for name, mask in masks.items()})
