"""Synthetic patients with answers by hand, and three real ones against the compact set's own reader."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest

from nnunet_doselo.common.errors import DoseloError
from nnunet_doselo.dataset.folder import ExtendedDataset
from nnunet_doselo.dataset.images import read_array
from nnunet_doselo.dataset.structures import OPENKBP_TO_TG263
from nnunet_doselo.dataset_conversion.cases.writer import Case
from nnunet_doselo.dataset_conversion.openkbp import (
    OPENKBP_NAMES,
    SHAPE,
    OpenKBPPatient,
    convert_openkbp,
    find_openkbp_patients,
    read_openkbp_patient,
    to_openkbp_case,
)
from nnunet_doselo.dataset_conversion.verify import verify_dataset

BOX = (slice(40, 60), slice(50, 80), slice(30, 54))
REAL = {"OpenKBP_001": "pt_1", "OpenKBP_003": "pt_3", "OpenKBP_011": "pt_11"}


def in_box(box: tuple[slice, ...], value: float = 1) -> np.ndarray:
    volume = np.zeros(SHAPE, np.float32)
    volume[box] = value
    return volume


def patient(voxel_mm: tuple[float, float, float] = (4.0, 4.0, 3.0), **changes: np.ndarray) -> OpenKBPPatient:
    """A block of water of 20 x 30 x 24 voxels with a target in its middle; the dose is 70 Gy in the block."""
    masks = {"PTV70": in_box((slice(46, 54), slice(60, 70), slice(36, 48))) > 0}
    masks |= {name: array > 0 for name, array in changes.items() if name not in ("ct", "dose_gy")}
    ct = changes.get("ct", in_box(BOX, 1024))
    return OpenKBPPatient(ct, changes.get("dose_gy", in_box(BOX, 70)), masks, in_box(BOX) > 0, voxel_mm)


def write_csv(folder: Path, whole: OpenKBPPatient) -> None:
    """The published layout: row names are flat indices, masks have no values."""
    folder.mkdir(parents=True)
    volumes = {"ct": whole.ct, "dose": whole.dose_gy}
    for name, array in (volumes | whole.masks | {"possible_dose_mask": whole.possible_dose}).items():
        where = np.flatnonzero(array)
        data = array.flat[where] if name in volumes else np.nan
        pd.DataFrame({"data": data}, index=where).to_csv(folder / f"{name}.csv")
    np.savetxt(folder / "voxel_dimensions.csv", whole.voxel_mm)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Two training patients, number 10 before number 9 in the alphabet, and one validation patient."""
    for name in ("train-pats/pt_9", "train-pats/pt_10", "validation-pats/pt_201"):
        write_csv(tmp_path / "published" / name, patient())
    return tmp_path / "published"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "Dataset501_OpenKBP"


def states(folder: Path) -> dict[str, tuple[int, int]]:
    """Inode and time of change of every image."""
    return {str(p.relative_to(folder)): (p.stat().st_ino, p.stat().st_mtime_ns) for p in folder.glob("*/*.gz")}


def at_mm(case: Case, array: np.ndarray, x: float, y: float, z: float) -> float:
    """The voxel at a point of the patient: x to the left, y to the back, z to the head."""
    index = [round((p - o) / s) for p, o, s in zip((x, y, z), case.grid.origin, case.grid.spacing, strict=True)]
    return array[tuple(reversed(index))]


def test_a_voxel_keeps_its_place_in_the_patient() -> None:
    """Index (45, 55, 35), 3 mm each, from front, right and top: y = 135, x = 165, z = 3 * (127 - 35)."""
    ct = in_box(BOX, 1024)
    ct[45, 55, 35] = 2024
    case, _ = to_openkbp_case(patient((3.0, 3.0, 3.0), ct=ct), "P", 1.0)
    assert at_mm(case, case.ct_hu, x=165, y=135, z=276) == 1000
    assert at_mm(case, case.ct_hu, x=168, y=135, z=276) == pytest.approx(0, abs=1e-6)
    assert case.grid.direction == (1, 0, 0, 0, 1, 0, 0, 0, 1)


def test_the_ct_is_in_hu_and_clipped_like_the_compact_set() -> None:
    ct = in_box(BOX, 1024)
    ct[45, 55, 35] = 5000
    case, _ = to_openkbp_case(patient(ct=ct, voxel_mm=(3.0, 3.0, 3.0)), "P", 3.0)
    assert sorted(set(case.ct_hu.ravel())) == [-1024, 0, 3071]
    assert case.images == (None,)


def test_voxels_of_the_wanted_size_are_not_touched() -> None:
    """20 x 30 x 24 voxels of content and a margin of 2 on every side, in the order (z, y, x)."""
    given = patient(
        voxel_mm=(3.0, 3.0, 3.0),
        dose_gy=in_box(BOX, 70) * np.linspace(0, 1, 128, dtype=np.float32)[:, None, None],
    )
    case, _ = to_openkbp_case(given, "P", 3.0)
    assert case.labels.shape == (28, 24, 34)
    expected = given.dose_gy[38:62, 48:82, 28:56].transpose(2, 0, 1)[::-1]
    assert case.dose_gy is not None
    assert np.array_equal(case.dose_gy, expected)
    assert np.count_nonzero(case.labels == 3) == 8 * 10 * 12


def test_a_dose_ramp_stays_a_ramp_in_mm() -> None:
    """0.1 Gy a mm from the front (y) is 0.1 Gy a mm on the new grid, whose first voxel centre is known."""
    ramp = in_box(tuple(slice(0, 128) for _ in range(3))) * (0.4 * np.arange(128, dtype=np.float32))[:, None, None]
    case, _ = to_openkbp_case(patient(dose_gy=ramp), "P", 2.5)
    assert case.dose_gy is not None
    y_mm = case.grid.origin[1] + 2.5 * np.arange(case.grid.size[1])
    assert np.allclose(case.dose_gy[5, 2:-2, 5], 0.1 * y_mm[2:-2], atol=1e-4)


def test_the_content_box_stays_within_the_published_volume() -> None:
    everywhere = in_box((slice(0, 128), slice(0, 128), slice(0, 128)), 1024)
    case, _ = to_openkbp_case(patient(ct=everywhere), "P", 8.0)
    assert case.grid.size == (64, 64, 48)


@pytest.mark.parametrize(("thickness", "tolerance"), [(1, 0.15), (2, 0.05), (3, 0.05)])
def test_a_thin_structure_keeps_its_volume(thickness: int, tolerance: float) -> None:
    """Cut at one half, the thinnest would lose 27 %."""
    cord = in_box((slice(48, 48 + thickness), slice(62, 62 + thickness), slice(32, 52)))
    case, _ = to_openkbp_case(patient((4.88, 4.88, 2.5), SpinalCord=cord), "P", 3.0)
    volume_mm3 = np.count_nonzero(case.oars == OPENKBP_NAMES.oars["SpinalCord"]) * 27
    assert volume_mm3 == pytest.approx(cord.sum() * 4.88 * 4.88 * 2.5, rel=tolerance)


def test_a_structure_that_vanishes_between_voxels_is_empty() -> None:
    case, _ = to_openkbp_case(patient(Larynx=in_box((slice(45, 46), slice(55, 56), slice(35, 36)))), "P", 20.0)
    assert not (case.oars == OPENKBP_NAMES.oars["Larynx"]).any()


def test_where_structures_overlap_small_organs_and_high_doses_win() -> None:
    large, small = in_box(BOX), in_box((slice(50, 52), slice(60, 62), slice(40, 42)))
    given = patient((3.0, 3.0, 3.0), Mandible=large, Larynx=small, PTV56=large)
    case, record = to_openkbp_case(given, "P", 3.0)
    lost = {(pair["kept"], pair["lost"]): pair["cc"] for pair in record.overlaps_cc}
    assert lost == {("Larynx", "Bone_Mandible"): 0.216, ("PTV70", "PTV56"): 25.92}
    assert np.count_nonzero(case.labels == OPENKBP_NAMES.labels["PTV56"]) == 20 * 30 * 24 - 8 * 10 * 12


def test_a_patient_without_organs_has_an_empty_organ_map() -> None:
    assert not to_openkbp_case(patient(), "P", 3.0)[0].oars.any()


def test_training_patients_train_and_validation_patients_test(source: Path, folder: Path) -> None:
    convert_openkbp(source, folder)
    dataset = ExtendedDataset(folder)
    assert dataset.cases() == ["OpenKBP_009", "OpenKBP_010"]
    assert dataset.cases("dose", "Ts") == ["OpenKBP_201"]
    assert dataset.dataset_json["numTraining"] == 2
    assert dataset.guidance.prescription_gy == 70
    assert dataset.guidance.gantry_deg == (0, 40, 80, 120, 160, 200, 240, 280, 320)
    assert verify_dataset(dataset) == []


def test_patients_are_in_the_order_of_their_numbers(source: Path) -> None:
    assert [path.name for path, _ in find_openkbp_patients(source)] == ["pt_9", "pt_10", "pt_201"]


def test_a_broken_run_is_taken_up_again_and_a_second_run_touches_nothing(source: Path, folder: Path) -> None:
    convert_openkbp(source, folder)
    before = states(folder)
    convert_openkbp(source, folder)
    assert states(folder) == before
    (folder / "labelsTr" / "OpenKBP_010.nii.gz").unlink()
    (folder / "doseTs" / "OpenKBP_201.nii.gz").unlink()
    (folder / "dataset.json").unlink()
    convert_openkbp(source, folder)
    after = states(folder)
    assert after.keys() == before.keys()
    assert {name for name in after if after[name] == before[name]} == {n for n in before if "OpenKBP_009" in n}
    assert verify_dataset(ExtendedDataset(folder)) == []


def test_another_spacing_needs_another_folder(source: Path, folder: Path) -> None:
    convert_openkbp(source, folder)
    before = states(folder)
    with pytest.raises(DoseloError, match=r"'spacing_mm': 3\.0.* where this run has .*'spacing_mm': 2\.5"):
        convert_openkbp(source, folder, spacing_mm=2.5)
    assert states(folder) == before
    convert_openkbp(source, folder, spacing_mm=6, overwrite=True)
    assert read_array(folder / "ctTr" / "OpenKBP_009.nii.gz")[1].spacing == (6, 6, 6)


def remove_ct(folder: Path) -> None:
    (folder / "ct.csv").unlink()


def remove_target(folder: Path) -> None:
    (folder / "PTV70.csv").unlink()


def garble(folder: Path) -> None:
    (folder / "dose.csv").write_bytes(b"\x00\x01\x02")


def leave_the_grid(folder: Path) -> None:
    with open(folder / "dose.csv", "a") as file:
        file.write("99999999,60.0\n")


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (remove_ct, r"expected ct\.csv, .*, missing \['ct'\]"),
        (remove_target, "at least one target of PTV56, PTV63, PTV70 must be drawn, found none"),
        (garble, ""),
        (leave_the_grid, "index 99999999 is out of bounds"),
    ],
)
def test_a_broken_patient_is_named_and_leaves_no_files(source: Path, folder: Path, fault, message: str) -> None:  # type: ignore[no-untyped-def]
    fault(source / "train-pats" / "pt_10")
    with pytest.raises(DoseloError, match=rf"^case .*train-pats/pt_10: .*{message}"):
        convert_openkbp(source, folder)
    assert {Path(name).name[:11] for name in states(folder)} == {"OpenKBP_009"}
    assert not list(folder.rglob(".*"))
    assert not (folder / "dataset.json").exists()


def test_no_patients_and_no_spacing_are_refused_before_anything_is_written(source: Path, folder: Path) -> None:
    with pytest.raises(DoseloError, match=r"expected OpenKBP's folders train-pats, .*found none"):
        convert_openkbp(source / "train-pats", folder)
    with pytest.raises(DoseloError, match="spacing must be positive, or 0 for each patient's own voxels; found -1 mm"):
        convert_openkbp(source, folder, spacing_mm=-1)
    assert not folder.exists()


def test_a_spacing_of_0_keeps_voxels_and_values(source: Path) -> None:
    patient = read_openkbp_patient(find_openkbp_patients(source)[0][0])
    converted, _ = to_openkbp_case(patient, "own", 0)
    assert converted.grid.spacing == (patient.voxel_mm[1], patient.voxel_mm[0], patient.voxel_mm[2])
    assert converted.dose_gy is not None
    assert np.isclose(converted.dose_gy.sum(dtype=float), patient.dose_gy.sum(dtype=float))
    assert np.count_nonzero(converted.labels) == np.count_nonzero(
        np.any([patient.masks[name] for name in ("PTV56", "PTV63", "PTV70") if name in patient.masks], axis=0)
    )


@pytest.fixture(scope="module")
def reader(realdata: Path) -> ModuleType:
    """The reader that comes with the compact set, written independently of ours."""
    spec = importlib.util.spec_from_file_location("load_openkbp", realdata / "openkbp" / "load_openkbp.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def converted(realdata: Path, tmp_path_factory: pytest.TempPathFactory) -> ExtendedDataset:
    folder = tmp_path_factory.mktemp("raw") / "Dataset501_OpenKBP"
    convert_openkbp(realdata / "openkbp_csv", folder)
    return ExtendedDataset(folder)


def arrays(dataset: ExtendedDataset, case: str) -> dict[str, np.ndarray]:
    return {kind: read_array(dataset.path(kind, case))[0] for kind in ("labels", "ct", "oars", "dose")}


def structure(converted: ExtendedDataset, case: str, name: str) -> np.ndarray:
    kind, labels = ("labels", OPENKBP_NAMES.labels) if name in OPENKBP_NAMES.labels else ("oars", OPENKBP_NAMES.oars)
    return arrays(converted, case)[kind] == labels[name]


@pytest.mark.parametrize("name", REAL.values())
def test_the_csv_files_are_read_as_the_compact_set_is(realdata: Path, reader: ModuleType, name: str) -> None:
    ours = read_openkbp_patient(realdata / "openkbp_csv" / "train-pats" / name)
    theirs = reader.load(realdata / "openkbp" / "train" / f"{name}.npz")
    assert np.array_equal(ours.ct.clip(0, 4095), theirs.ct)
    assert np.abs(ours.dose_gy - theirs.dose_gy).max() < 0.0051
    assert np.array_equal(ours.possible_dose, theirs.possible_dose)
    assert np.allclose(ours.voxel_mm, theirs.voxel_mm)
    for bit, structure_name in enumerate(reader.STRUCTURES):
        mask = (theirs.structures >> bit) & 1 > 0
        assert np.array_equal(ours.masks.get(structure_name, np.zeros(SHAPE, bool)), mask)


def test_real_patients_have_no_findings(converted: ExtendedDataset) -> None:
    assert converted.cases() == list(REAL)
    assert verify_dataset(converted) == []


@pytest.mark.parametrize("case", REAL)
def test_the_patient_is_the_right_way_round(converted: ExtendedDataset, case: str) -> None:
    """In LPS, with axes (z, y, x): left is larger x, the back larger y, the head larger z."""

    def centre(name: str) -> np.ndarray:
        return np.argwhere(structure(converted, case, name)).mean(axis=0)

    brainstem, cord, target = centre("Brainstem"), centre("SpinalCord"), centre("PTV70")
    assert brainstem[0] > cord[0] + 5
    assert cord[1] > target[1] + 5
    assert centre("Parotid_L")[2] > cord[2] + 5 > cord[2] - 5 > centre("Parotid_R")[2]


def test_the_mandible_is_bone_in_front_of_the_cord(converted: ExtendedDataset) -> None:
    mandible, cord = (structure(converted, "OpenKBP_001", name) for name in ("Bone_Mandible", "SpinalCord"))
    ct_hu = arrays(converted, "OpenKBP_001")["ct"]
    assert np.argwhere(mandible).mean(axis=0)[1] < np.argwhere(cord).mean(axis=0)[1] - 20
    assert 400 < ct_hu[mandible].mean() < 1200


@pytest.mark.parametrize(("case", "name"), REAL.items())
def test_structures_keep_their_volume(realdata: Path, converted: ExtendedDataset, case: str, name: str) -> None:
    """Within 2 %; 5 % for PTV63, a thin shell that shares its inner face with PTV70."""
    published = read_openkbp_patient(realdata / "openkbp_csv" / "train-pats" / name)
    for own, mask in published.masks.items():
        here = structure(converted, case, OPENKBP_TO_TG263.get(own, own))
        volume_mm3 = mask.sum() * np.prod(published.voxel_mm)
        assert here.sum() * 27 == pytest.approx(volume_mm3, rel=0.05 if own == "PTV63" else 0.02), own


@pytest.mark.parametrize(("case", "name"), REAL.items())
def test_hu_and_dose_are_those_of_the_patient(realdata: Path, converted: ExtendedDataset, case: str, name: str) -> None:
    published, here = read_openkbp_patient(realdata / "openkbp_csv" / "train-pats" / name), arrays(converted, case)
    assert here["ct"].min() == -1024
    assert abs(here["ct"][structure(converted, case, "Brainstem")].mean()) < 40
    assert 70 < here["dose"][structure(converted, case, "PTV70")].mean() < 73
    assert here["dose"].min() == 0
    assert here["dose"].max() == pytest.approx(published.dose_gy.max(), rel=0.03)
    integral = published.dose_gy.sum(dtype=float) * np.prod(published.voxel_mm)
    assert here["dose"].sum(dtype=float) * 27 == pytest.approx(integral, rel=0.005)


def test_two_processes_write_the_same_dataset(realdata: Path, converted: ExtendedDataset, tmp_path: Path) -> None:
    convert_openkbp(realdata / "openkbp_csv", tmp_path / "again", processes=2)
    for path in converted.folder.glob("*/*.nii.gz"):
        again = tmp_path / "again" / path.relative_to(converted.folder)
        assert np.array_equal(read_array(again)[0], read_array(path)[0])
