"""What a dose predictor has seen, on its card and without it, and what of it another augmentation leaves."""

import json

import numpy as np
import pytest
from predictors import card_of, random_network

from nnunet_doselo.common.errors import DoseloError
from nnunet_doselo.predictor.card import PredictorCard
from nnunet_doselo.predictor.spatial_domain import WHOLE_DOMAIN, SpatialDomain, all_around

OPENKBP_DEG = tuple(40.0 * beam for beam in range(9))
SLIGHT, STILL = (15.0, 0.0, 0.0), (0.0, 0.0, 0.0)


@pytest.mark.parametrize(
    ("gantry_deg", "dim", "mirror_axes", "rotation_deg"),
    [
        ((), 2, ("z", "x"), SLIGHT),
        ((), 3, ("x",), SLIGHT),
        (OPENKBP_DEG, 2, ("z", "x"), STILL),
        (OPENKBP_DEG, 3, ("x",), STILL),
        ((0.0, 90.0), 2, ("z",), STILL),
        ((0.0, 90.0), 3, (), STILL),
    ],
)
def test_cards_that_do_not_say_are_of_what_their_beams_allowed(
    gantry_deg: tuple[float, ...], dim: int, mirror_axes: tuple[str, ...], rotation_deg: tuple[float, ...]
) -> None:
    card = card_of(random_network(dim=dim, gantry_deg=gantry_deg))
    content = json.loads(card.to_json())
    del content["augmentation"]
    read = PredictorCard.from_json(json.dumps(content), "older.ts")
    assert read.domain == SpatialDomain(mirror_axes, rotation_deg, (0.7, 1.4))


@pytest.mark.parametrize("domain", [WHOLE_DOMAIN, SpatialDomain((), (5.0, 1.0, 0.0), (0.9, 1.1))])
def test_a_card_keeps_what_it_says(domain: SpatialDomain) -> None:
    card = card_of(random_network(), augmentation=domain)
    assert PredictorCard.from_json(card.to_json(), "new.ts") == card
    assert card.domain == domain


@pytest.mark.parametrize(
    "augmentation",
    [{"mirror_axes": ["w"], "rotation_deg": [0, 0, 0], "scaling": [1, 1]}, {"mirror_axes": []}, {"rotation_deg": [0]}],
)
def test_a_card_with_another_domain_is_damaged(augmentation: dict) -> None:
    content = {**json.loads(card_of(random_network()).to_json()), "augmentation": augmentation}
    with pytest.raises(DoseloError, match=r"odd\.ts: its card is damaged"):
        PredictorCard.from_json(json.dumps(content), "odd.ts")


def test_what_lies_in_both() -> None:
    nnunets = SpatialDomain(("z", "y", "x"), (30.0, 30.0, 30.0), (0.7, 1.4))
    narrow = SpatialDomain(("x",), (15.0, 0.0, 0.0), (0.8, 2.0))
    assert nnunets.within(narrow) == narrow.within(nnunets) == SpatialDomain(("x",), (15.0, 0.0, 0.0), (0.8, 1.4))


@pytest.mark.parametrize(
    ("order", "mirrored", "limits_deg"),
    [("yx", (1,), 15), ("zx", (0, 1), 2), ("zy", (0,), 1), ("zyx", (0, 2), (15, 2, 1)), ("xzy", (0, 1), (1, 15, 2))],
)
def test_a_patch_is_moved_along_and_about_the_patients_axes(order: str, mirrored: tuple[int, ...], limits_deg) -> None:
    """A plane is turned about the axis across it; each axis of a volume up to its own limit."""
    domain = SpatialDomain(("z", "x"), (15.0, 2.0, 1.0))
    assert domain.mirrored_patch_axes(order) == mirrored
    turns = domain.turns(order)
    if isinstance(turns, tuple):
        np.testing.assert_allclose(np.rad2deg(turns), (-limits_deg, limits_deg))
        return
    np.random.seed(0)  # noqa: NPY002 (nnU-Net's global state)
    drawn_deg = np.rad2deg([[turns(None, dim) for dim in range(3)] for _ in range(500)])
    np.testing.assert_allclose(drawn_deg.max(axis=0), limits_deg, rtol=0.02)
    np.testing.assert_allclose(drawn_deg.min(axis=0), np.negative(limits_deg), rtol=0.02)


@pytest.mark.parametrize(
    ("gantry_deg", "alike"),
    [
        (tuple(10.0 * beam for beam in range(36)), True),
        (tuple(10.0 * beam + 3 for beam in range(36)), True),
        (tuple(5.0 * beam for beam in range(72)), True),
        (OPENKBP_DEG, False),
        (tuple(10.0 * beam for beam in range(35)), False),
        (tuple(10.0 * beam + 2 * (beam == 7) for beam in range(36)), False),
        ((0.0,), False),
        ((), False),
    ],
)
def test_beams_from_everywhere_look_alike_however_a_patient_is_turned(gantry_deg: tuple, alike: bool) -> None:
    assert all_around(gantry_deg) == alike


def test_a_domain_in_words() -> None:
    assert str(WHOLE_DOMAIN) == "mirrored along z, y, x, turned about z by up to 180 degrees, scaled by 0.7 to 1.4"
    assert str(SpatialDomain((), STILL, (1.0, 1.0))) == "not mirrored, not turned, scaled by 1 to 1"
