"""Contrasts as MR physics orders them, CT numbers as tissues have them, and shares that add up."""

import numpy as np
import pytest

from nnunet_doselo.dataset_conversion.phantom.anatomy import PhantomAnatomy, draw_anatomy
from nnunet_doselo.dataset_conversion.phantom.images import PROTOCOL, SEQUENCES, PulseSequence, ct_image, mr_images
from nnunet_doselo.dataset_conversion.phantom.lesion import Resection, paint_lesion, signed_distance
from nnunet_doselo.dataset_conversion.phantom.random_fields import generator
from nnunet_doselo.dataset_conversion.phantom.target import draw_target
from nnunet_doselo.dataset_conversion.phantom.tissues import TISSUES, Composition, Tissue

WATER = Tissue(hu=0, t1_ms=1000, t2_ms=100, density=1.0)


def signals(sequence: str) -> dict[str, float]:
    return {name: PROTOCOL[sequence].signal(tissue) for name, tissue in TISSUES.items()}


@pytest.fixture(scope="module")
def operated() -> tuple[PhantomAnatomy, dict[str, np.ndarray]]:
    """A patient with tumour at 3 mm, and its images by name."""
    anatomy = draw_anatomy(generator(1, 7, "anatomy"), 3.0)
    rng = generator(1, 7, "tumour")
    target = draw_target(anatomy, rng)
    paint_lesion(anatomy, target.mask, Resection(2.5, 9.0, (0.0, 0.0, 1.0), 15.0, 28.0), rng)
    rng = generator(1, 7, "images")
    images = dict(zip(SEQUENCES, mr_images(anatomy.composition, anatomy.axes, rng), strict=True))
    return anatomy, {**images, "CT": ct_image(anatomy.composition, anatomy.axes, rng)}


def mean(operated: tuple[PhantomAnatomy, dict[str, np.ndarray]], image: str, tissue: str, share: float = 0.9) -> float:
    """Over the voxels that are nearly all of that tissue, of which there are some."""
    anatomy, images = operated
    pure = anatomy.composition.share(tissue) >= share
    assert pure.any(), tissue
    return float(images[image][pure].mean())


def test_signals_that_can_be_worked_out_by_hand() -> None:
    """Fully recovered, an echo at T2 is 1/e; at TI = T1 ln 2 the inverted magnetisation passes through zero."""
    assert PulseSequence(tr_ms=1e9, te_ms=100).signal(WATER) == pytest.approx(np.exp(-1))
    assert PulseSequence(tr_ms=1000, te_ms=0).signal(WATER) == pytest.approx(1 - np.exp(-1))
    assert PulseSequence(tr_ms=1e9, te_ms=0, ti_ms=1000 * np.log(2)).signal(WATER) == pytest.approx(0, abs=1e-12)
    assert PulseSequence(tr_ms=1e9, te_ms=0, ti_ms=0).signal(WATER) == pytest.approx(1)


def test_contrast_agent_shortens_t1() -> None:
    """1 /s from the tissue and 3.5 /s from 1 mmol/l make 4.5 /s."""
    enhancing = Tissue(hu=0, t1_ms=1000, t2_ms=100, density=1.0, gadolinium_mm=1.0)
    assert PulseSequence(1000, 0, with_contrast=True).t1_ms(enhancing) == pytest.approx(1000 / 4.5)
    assert PulseSequence(1000, 0).t1_ms(enhancing) == 1000


def test_tissues_are_ordered_as_in_the_clinic() -> None:
    t1, t1c, t2, flair = (signals(name) for name in ("T1", "T1c", "T2", "FLAIR"))
    assert t1["fat"] > t1["white"] > 1.3 * t1["grey"] > 0
    assert t1["grey"] > 2 * t1["csf"]
    assert t2["csf"] > t2["oedema"] > 1.5 * t2["grey"]
    assert t2["grey"] > t2["white"] > t2["bone"]
    assert flair["oedema"] > flair["gliosis"] > flair["grey"] > flair["white"] > 5 * flair["csf"]
    assert flair["cavity"] > 5 * flair["csf"], "protein keeps the fluid in a cavity from being nulled"
    assert t1c["tumour"] > 1.5 * t1c["white"] > 1.5 * t1["tumour"]
    assert t1c["white"] == t1["white"], "the blood-brain barrier is tight"
    assert t1["blood"] > 1.5 * t1["white"]
    assert t1c["blood"] == t1["blood"], "blood is bright already before contrast agent"


def test_the_images_show_that_order(operated: tuple[PhantomAnatomy, dict[str, np.ndarray]]) -> None:
    assert mean(operated, "T1", "white") > mean(operated, "T1", "grey") > mean(operated, "T1", "csf")
    assert mean(operated, "T2", "csf") > 2 * mean(operated, "T2", "white")
    assert mean(operated, "FLAIR", "oedema", 0.8) > 1.3 * mean(operated, "FLAIR", "white")
    assert mean(operated, "FLAIR", "csf") < 0.5 * mean(operated, "FLAIR", "grey")
    enhancement = {t: mean(operated, "T1c", t, 0.7) / mean(operated, "T1", t, 0.7) for t in ("tumour", "white")}
    assert enhancement["tumour"] > 1.8 * enhancement["white"]
    assert mean(operated, "T2", "cavity") > 2 * mean(operated, "T2", "white")


def test_ct_numbers_are_those_of_the_tissues(operated: tuple[PhantomAnatomy, dict[str, np.ndarray]]) -> None:
    expected = {"air": (-1001, -990), "fat": (-105, -85), "csf": (2, 15), "white": (24, 36), "grey": (32, 44)}
    for tissue, (low, high) in {**expected, "muscle": (48, 62), "bone": (850, 1450)}.items():
        assert low < mean(operated, "CT", tissue, 0.95) < high, tissue
    ct_hu = operated[1]["CT"]
    assert ct_hu.dtype == np.int16
    assert ct_hu[-1].max() < -900, "nothing above the head"


def test_a_signal_without_noise_varies_slowly_and_noise_is_never_negative(
    operated: tuple[PhantomAnatomy, dict[str, np.ndarray]],
) -> None:
    anatomy, images = operated
    white = anatomy.composition.share("white") > 0.97
    for name in SEQUENCES:
        assert images[name].dtype == np.float32
        assert images[name].min() >= 0
        assert 0.01 < images[name][white].std() / images[name][white].mean() < 0.3


def test_the_craniotomy_cuts_through_the_skull(operated: tuple[PhantomAnatomy, dict[str, np.ndarray]]) -> None:
    anatomy, _ = operated
    in_skull = (anatomy.outside_mm > 3) & (anatomy.outside_mm < 6) & (anatomy.points[2] > 20)
    assert 0.01 < (anatomy.composition.share("muscle")[in_skull] > 0.5).mean() < 0.3


def test_shares_add_up_to_one(operated: tuple[PhantomAnatomy, dict[str, np.ndarray]]) -> None:
    total = operated[0].composition.mixed(dict.fromkeys(TISSUES, 1.0))
    assert np.allclose(total, 1, atol=1e-4)


def test_painting_half_a_voxel_leaves_half_of_what_was_there() -> None:
    composition = Composition((1, 1, 3))
    composition.paint("bone", np.array([[[0.0, 0.5, 1.0]]]))
    composition.paint("csf", np.array([[[0.0, 0.5, 0.25]]]))
    assert composition.share("air").ravel() == pytest.approx([1, 0.25, 0])
    assert composition.share("bone").ravel() == pytest.approx([0, 0.25, 0.75])
    assert composition.share("csf").ravel() == pytest.approx([0, 0.5, 0.25])
    assert not composition.share("fat").any()


def test_the_distance_of_a_plane_is_counted_from_the_voxels_faces() -> None:
    """Voxels of 2 mm, the mask begins in the middle: centres lie 1, 3, 5 mm from the plane between."""
    mask = np.zeros((12, 12, 12), bool)
    mask[:, :, 6:] = True
    assert signed_distance(mask, 2.0)[6, 6, 4:8] == pytest.approx([3, 1, -1, -3], abs=0.3)
