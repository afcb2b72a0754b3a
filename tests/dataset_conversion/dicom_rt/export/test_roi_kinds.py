import pytest

from nnunet_doselo.dataset_conversion.dicom_rt.export.label_rois import colours, interpreted_type


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("PTV70", "PTV"),
        ("PTVp_7000", "PTV"),
        ("CTV_High", "CTV"),
        ("GTVn", "GTV"),
        ("gtv", "GTV"),
        ("IGTV_4D", "GTV"),
        ("ITVp", "CTV"),
        ("External", "EXTERNAL"),
        ("Parotid_L", "ORGAN"),
        ("SpinalCord_PRV05", "ORGAN"),
        ("Optic_PTV", "ORGAN"),
    ],
)
def test_names_of_tg263_tell_the_type(name: str, kind: str) -> None:
    assert interpreted_type(name) == kind


def test_what_has_a_prescribed_dose_is_a_target() -> None:
    assert interpreted_type("Tumor", targets=["Tumor"]) == "PTV"
    assert interpreted_type("GTV", targets=["GTV"]) == "GTV"


def test_targets_are_warm_and_organs_are_not_and_all_differ() -> None:
    types = ["GTV", "CTV", "PTV"] + ["ORGAN"] * 20
    found = colours(types)
    assert found[0] == (255, 0, 0)
    assert all(red == 255 for red, _, _ in found[:3])
    assert all(red < 255 for red, _, _ in found[3:])
    assert len({*found}) == len(types)
    assert all(0 <= value <= 255 for colour in found for value in colour)
