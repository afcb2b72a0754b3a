"""Points mapped by registration objects, against positions worked out by hand."""

from pathlib import Path

import dicom_files
import numpy as np
import pytest
import SimpleITK as sitk
from dicom_files import Patient
from pydicom import Dataset
from pydicom.sequence import Sequence as DicomSequence

from nnunet_doselo.common.errors import DoseloError
from nnunet_doselo.dataset_conversion.dicom_rt.links.linked import link_between

CT, MR, PET = "1.2.3.1", "1.2.3.2", "1.2.3.3"
QUARTER_TURN = np.array([[0, -1, 0, 10], [1, 0, 0, 20], [0, 0, 1, 30], [0, 0, 0, 1]], float)
"""x to y, y to -x, then a shift: (1, 2, 3) goes to (-2 + 10, 1 + 20, 3 + 30) = (8, 21, 33)."""
PATIENT = Patient(frame=CT)


def shift(x: float, y: float, z: float) -> np.ndarray:
    matrix = np.eye(4)
    matrix[:3, 3] = x, y, z
    return matrix


def write(
    file: Path,
    items: list[tuple[str, list[np.ndarray]]],
    kind: str = "RIGID",
    *,
    frame: str = CT,
    made: str = "",
) -> Path:
    """An object with items of a frame and its list of matrices; `made`: day of its content."""
    registration = dicom_files.write_registration(file, Patient(frame=frame), MR, np.eye(4))
    registration.RegistrationSequence = DicomSequence(item(*parts, kind) for parts in items)
    if made:
        registration.ContentDate, registration.ContentTime = made, "101112"
    dicom_files.save(registration, file)
    return file


def item(frame: str, matrices: list[np.ndarray], kind: str) -> Dataset:
    steps = []
    for matrix in matrices:
        step = Dataset()
        step.FrameOfReferenceTransformationMatrixType = kind
        step.FrameOfReferenceTransformationMatrix = [f"{value:.10g}"[:16] for value in matrix.ravel()]
        steps.append(step)
    inner, outer = Dataset(), Dataset()
    inner.MatrixSequence = DicomSequence(steps)
    outer.FrameOfReferenceUID = frame
    outer.MatrixRegistrationSequence = DicomSequence([inner])
    return outer


def transform_between(files: list[Path], moving_frame: str, fixed_frame: str) -> sitk.Transform | None:
    link = link_between(files, moving_frame, fixed_frame)
    return link.transform if link else None


def maps(transform: sitk.Transform | None, point: tuple[float, float, float]) -> tuple[float, ...]:
    assert transform is not None
    return tuple(round(value, 6) for value in transform.TransformPoint(point))


def test_points_of_the_fixed_frame_go_to_the_moving_one(tmp_path: Path) -> None:
    dicom_files.write_registration(tmp_path / "a.dcm", PATIENT, MR, QUARTER_TURN)
    files = [tmp_path / "a.dcm"]
    assert maps(transform_between(files, MR, CT), (8, 21, 33)) == (1, 2, 3)
    assert maps(transform_between(files, CT, MR), (1, 2, 3)) == (8, 21, 33)


def test_resampling_with_it_puts_the_bright_voxel_where_the_object_says(tmp_path: Path) -> None:
    dicom_files.write_registration(tmp_path / "a.dcm", PATIENT, MR, shift(2, 1, 0))
    mr = sitk.GetImageFromArray(np.zeros((3, 4, 5), np.float32))
    mr[1, 1, 1] = 7.0
    on_ct = sitk.Resample(mr, mr, transform_between([tmp_path / "a.dcm"], MR, CT))
    assert np.argwhere(sitk.GetArrayFromImage(on_ct)).tolist() == [[1, 2, 3]]


def test_both_frames_may_have_a_matrix(tmp_path: Path) -> None:
    """Into a third, common one: the CT by (100, 0, 0), the MR by a quarter turn; (1, 2, 3) to (8, 21, 33) to CT."""
    file = write(tmp_path / "a.dcm", [(CT, [shift(100, 0, 0)]), (MR, [QUARTER_TURN])], frame=PET)
    assert maps(transform_between([file], MR, CT), (-92, 21, 33)) == (1, 2, 3)
    assert maps(transform_between([file], PET, CT), (0, 0, 0)) == (100, 0, 0), "the common frame has no item"


def test_an_object_may_leave_out_its_own_frame(tmp_path: Path) -> None:
    file = write(tmp_path / "a.dcm", [(MR, [QUARTER_TURN])])
    assert maps(transform_between([file], MR, CT), (8, 21, 33)) == (1, 2, 3)


def test_of_several_matrices_the_first_is_applied_first(tmp_path: Path) -> None:
    """(1, 2, 3) shifted to (6, 2, 3), then turned to (-2 + 10, 6 + 20, 3 + 30)."""
    file = write(tmp_path / "a.dcm", [(MR, [shift(5, 0, 0), QUARTER_TURN])])
    assert maps(transform_between([file], CT, MR), (1, 2, 3)) == (8, 26, 33)


def test_chains_run_through_other_frames(tmp_path: Path) -> None:
    first = write(tmp_path / "a.dcm", [(MR, [shift(1, 0, 0)]), (PET, [np.eye(4)])], frame=PET)
    second = write(tmp_path / "b.dcm", [(PET, [shift(0, 10, 0)]), (CT, [np.eye(4)])])
    unrelated = write(tmp_path / "c.dcm", [("9.9", [shift(0, 0, 50)]), (CT, [np.eye(4)])])
    link = link_between([unrelated, second, first], MR, CT)
    assert link is not None
    assert maps(link.transform, (1, 10, 0)) == (0, 0, 0)
    assert link.files == (first, second)


def test_a_direct_link_is_preferred_to_a_chain(tmp_path: Path) -> None:
    chain = write(tmp_path / "a.dcm", [(MR, [shift(1, 0, 0)]), (PET, [np.eye(4)])], frame=PET)
    chain_end = write(tmp_path / "b.dcm", [(PET, [shift(1, 0, 0)]), (CT, [np.eye(4)])])
    direct = write(tmp_path / "c.dcm", [(MR, [shift(7, 0, 0)]), (CT, [np.eye(4)])])
    assert maps(transform_between([chain, chain_end, direct], MR, CT), (7, 0, 0)) == (0, 0, 0)


def test_an_atlas_links_nothing(tmp_path: Path) -> None:
    atlas = "1.2.840.10008.1.4.1.1"
    files = [write(tmp_path / f"{f}.dcm", [(f, [np.eye(4)]), (atlas, [np.eye(4)])], frame=atlas) for f in (CT, MR)]
    assert link_between(files, MR, CT) is None


def test_no_link_and_one_frame_are_none(tmp_path: Path) -> None:
    file = write(tmp_path / "a.dcm", [(PET, [QUARTER_TURN])])
    assert transform_between([], MR, CT) is None
    assert transform_between([file], MR, CT) is None
    assert transform_between([file], CT, CT) is None


def test_of_registrations_that_disagree_the_newest_is_taken_and_named(tmp_path: Path) -> None:
    """5 mm apart everywhere."""
    newer = write(tmp_path / "new.dcm", [(MR, [shift(5, 0, 0)])], made="20210102")
    older = write(tmp_path / "old.dcm", [(MR, [shift(0, 0, 0)])], made="20200102")
    for files in ([newer, older], [older, newer]):
        link = link_between(files, MR, CT)
        assert link is not None
        assert maps(link.transform, (5, 0, 0)) == (0, 0, 0)
        assert link.notes == (f"2 spatial registrations disagree by up to 5.0 mm: the newest is taken, {newer}",)


def test_registrations_that_agree_need_no_note_and_no_date(tmp_path: Path) -> None:
    files = [write(tmp_path / f"{x}.dcm", [(MR, [shift(x, 0, 0)])]) for x in (1.0, 1.1)]
    link = link_between(files, MR, CT)
    assert link is not None
    assert link.notes == ()


def test_registrations_that_disagree_without_a_newest_are_refused(tmp_path: Path) -> None:
    files = [write(tmp_path / f"{x}.dcm", [(MR, [shift(x, 0, 0)])]) for x in (1, 4)]
    with pytest.raises(DoseloError, match=r"1\.dcm and .*4\.dcm: .*must agree, these differ by 3\.0 mm"):
        link_between(files, MR, CT)


@pytest.mark.parametrize(
    ("kind", "matrix", "point"),
    [
        ("RIGID_SCALE", np.diag([1.1, 1.0, 0.9, 1.0]) @ QUARTER_TURN, (8.8, 21, 29.7)),
        ("AFFINE", QUARTER_TURN @ np.array([[1, 0.1, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]), (8, 21.2, 33)),
        ("RIGID", QUARTER_TURN + np.pad([[0, 0, 0], [0, 0, 1e-4], [0, 0, 0]], (0, 1)), (8, 21.0003, 33)),
    ],
)
def test_scaled_and_sheared_matrices_and_rounded_ones(
    tmp_path: Path, kind: str, matrix: np.ndarray, point: tuple[float, float, float]
) -> None:
    file = write(tmp_path / "a.dcm", [(MR, [matrix])], kind)
    assert maps(transform_between([file], CT, MR), (1, 2, 3)) == point


@pytest.mark.parametrize(
    ("kind", "matrix", "message"),
    [
        ("RIGID", np.diag([1.1, 1, 1, 1]), r"RIGID must have rows of length 1, found \[1\.1, 1\.0, 1\.0\]"),
        ("RIGID_SCALE", np.eye(4) + 0.1 * np.eye(4, k=1), "RIGID_SCALE must have orthogonal rows"),
        ("RIGID", np.diag([1.0, 1, -1, 1]), "must not mirror"),
        ("AFFINE", np.diag([0.1, 0.1, 0.1, 1]), r"must keep lengths to 0\.8 to 1\.25 times, found 0\.1 to 0\.1"),
        ("AFFINE", np.diag([0.0, 1, 1, 1]), "must keep lengths"),
        ("RIGID", QUARTER_TURN.T, "must end in the row 0, 0, 0, 1"),
        ("OTHER", np.eye(4), "type RIGID, RIGID_SCALE or AFFINE, found another"),
        ("RIGID", np.eye(3), "must hold 16 numbers, found 9"),
    ],
)
def test_matrices_that_cannot_be_applied_are_refused(
    tmp_path: Path, kind: str, matrix: np.ndarray, message: str
) -> None:
    file = write(tmp_path / "a.dcm", [(MR, [matrix])], kind)
    with pytest.raises(DoseloError, match=rf"a\.dcm.*{message}"):
        transform_between([file], MR, CT)


def test_a_frame_with_two_different_matrices_is_refused(tmp_path: Path) -> None:
    file = write(tmp_path / "a.dcm", [(MR, [shift(1, 0, 0)]), (MR, [shift(9, 0, 0)])])
    with pytest.raises(DoseloError, match="must hold one matrix for each frame of reference"):
        transform_between([file], MR, CT)


def test_a_deformable_registration_is_refused_where_it_is_the_only_link(tmp_path: Path) -> None:
    deformable = tmp_path / "deformable.dcm"
    registration = dicom_files.write_registration(deformable, PATIENT, MR, np.eye(4))
    del registration.RegistrationSequence
    source = Dataset()
    source.SourceFrameOfReferenceUID = MR
    registration.DeformableRegistrationSequence = DicomSequence([source])
    dicom_files.save(registration, deformable)
    with pytest.raises(DoseloError, match=r"deformable\.dcm: is a deformable registration"):
        transform_between([deformable], MR, CT)
    assert transform_between([deformable], PET, CT) is None
    rigid = write(tmp_path / "rigid.dcm", [(MR, [shift(1, 0, 0)])])
    assert maps(transform_between([deformable, rigid], MR, CT), (1, 0, 0)) == (0, 0, 0)


def test_other_objects_and_missing_matrices_are_refused_without_naming_the_patient(tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.dcm"
    registration = dicom_files.write_registration(damaged, PATIENT, MR, np.eye(4))
    for step in registration.RegistrationSequence:
        del step.MatrixRegistrationSequence[0].MatrixSequence
    dicom_files.save(registration, damaged)
    with pytest.raises(DoseloError, match=r"damaged\.dcm: the tag MatrixSequence is missing") as caught:
        transform_between([damaged], MR, CT)
    assert "SECRET" not in str(caught.value)
    assert MR not in str(caught.value)
    del registration.RegistrationSequence
    dicom_files.save(registration, damaged)
    with pytest.raises(DoseloError, match="the tag RegistrationSequence is missing"):
        transform_between([damaged], MR, CT)
