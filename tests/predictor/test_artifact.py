"""The artifact does what the network does, says what it is, and never runs what it is not."""

import hashlib
import json
import math
import os
import pickle
import stat
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from predictors import card_of, random_inputs, random_network

from nnunet_doselo.common.errors import DoseloError
from nnunet_doselo.predictor import artifact
from nnunet_doselo.predictor.artifact import (
    FrozenPredictor,
    find_predictor,
    load_network,
    load_predictor,
    save_predictor,
)
from nnunet_doselo.predictor.card import PredictorCard


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    network = random_network()
    return save_predictor(network, card_of(network), tmp_path_factory.mktemp("artifact") / "dose_predictor.ts")


@pytest.fixture(scope="module")
def frozen(path: Path) -> FrozenPredictor:
    return load_predictor(path)


def script(path: Path, card: str | bytes | None) -> Path:
    """A TorchScript file that is no dose predictor, with or without something for a card."""
    extra = {} if card is None else {"card.json": card}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.script(torch.nn.ReLU()), str(path), _extra_files=extra)
    return path


@pytest.mark.parametrize(("batch", "height", "width"), [(1, 16, 16), (16, 37, 53), (1, 37, 53), (2, 1, 3)])
def test_the_artifact_predicts_what_the_network_predicts(
    frozen: FrozenPredictor, batch: int, height: int, width: int
) -> None:
    inputs = random_inputs(batch, height, width)
    expected = random_network()(*inputs)
    for _ in range(3):  # TorchScript optimises after its first calls
        torch.testing.assert_close(frozen(*inputs), expected, rtol=0, atol=1e-4)
    assert frozen(*inputs).dtype == torch.float32


def test_the_gradient_on_the_target_passes_the_artifact_as_it_passes_the_network(frozen: FrozenPredictor) -> None:
    target, oars, ct = random_inputs(2, 19, 21)
    weight = torch.rand(2, 1, 19, 21)
    gradients = []
    for predictor in (frozen, random_network(), frozen):
        moving = target.clone().requires_grad_()
        gradients += torch.autograd.grad((predictor(moving, oars, ct) * weight).sum(), moving)
    largest = float(gradients[1].abs().max())
    assert largest > 0
    torch.testing.assert_close(gradients[0], gradients[1], rtol=1e-4, atol=1e-4 * largest)
    torch.testing.assert_close(gradients[2], gradients[1], rtol=1e-4, atol=1e-4 * largest)


@pytest.mark.parametrize("dim", [2, 3])
def test_a_network_that_knows_its_beams_freezes_with_them(dim: int, tmp_path: Path) -> None:
    network = random_network(dim=dim, gantry_deg=(0.0, 120.0, 240.0))
    loaded = load_predictor(save_predictor(network, card_of(network), tmp_path / "p.ts"))
    inputs = random_inputs(2, *(9, 19, 21)[-dim:])
    for _ in range(3):
        torch.testing.assert_close(loaded(*inputs), network(*inputs), rtol=0, atol=1e-4)
    assert torch.equal(load_network(tmp_path / "p.ts")[0](*inputs), network(*inputs))
    assert loaded.card.gantry_deg == (0.0, 120.0, 240.0)
    turned = random_network(dim=dim, gantry_deg=(30.0, 150.0, 270.0))
    assert (turned(*inputs) - network(*inputs)).abs().max() > 0.1
    assert loaded.mirrored()(*inputs).shape == network(*inputs).shape


def test_beams_from_one_side_have_no_mirror_image(tmp_path: Path) -> None:
    network = random_network(gantry_deg=(0.0, 90.0))
    loaded = load_predictor(save_predictor(network, card_of(network), tmp_path / "p.ts"))
    with pytest.raises(DoseloError, match=r"p\.ts: beams at \(0\.0, 90\.0\) degrees .* predict without mirroring"):
        loaded.mirrored()


def test_the_artifact_holds_nothing_to_train(frozen: FrozenPredictor) -> None:
    assert list(frozen.module.parameters()) == []
    assert [name for name, _ in frozen.module.named_buffers()] == []


@pytest.mark.parametrize("name", ["dose_predictor.ts", "dose_predictor.safetensors"])
def test_the_weights_beside_it_rebuild_the_same_network(path: Path, name: str) -> None:
    network, card = load_network(path.with_name(name))
    original = random_network()
    assert card == card_of(original)
    assert network.settings == original.settings
    rebuilt, weights = network.state_dict(), original.state_dict()
    assert rebuilt.keys() == weights.keys()
    assert all(torch.equal(rebuilt[key], weights[key]) for key in weights)
    assert torch.equal(network(*random_inputs(1, 9, 9)), original(*random_inputs(1, 9, 9)))


def test_the_card_comes_back_as_it_was(path: Path, frozen: FrozenPredictor) -> None:
    card = card_of(random_network(), sensitivity={"shift_5mm": 0.2}, spacing_mm=(2.0, 2.5))
    assert PredictorCard.from_json(card.to_json(), path) == card
    assert frozen.card == card_of(random_network())
    assert (frozen.card.axes, frozen.card.format_version) == ("axial 2d", 1)


def test_the_hash_is_that_of_the_file(path: Path, frozen: FrozenPredictor) -> None:
    assert frozen.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert frozen.path == path


def test_no_warning_reaches_the_caller(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        network = random_network()
        predictor = load_predictor(save_predictor(network, card_of(network), tmp_path / "p.ts"))
        assert predictor(*random_inputs(1, 8, 8)).isfinite().all()


def test_a_card_of_another_format_names_both_versions(tmp_path: Path) -> None:
    network = random_network()
    saved = save_predictor(network, card_of(network, format_version=99), tmp_path / "p.ts")
    for load in (load_predictor, load_network):
        with pytest.raises(DoseloError, match=r"format 99, this version reads format 1; .*--resume"):
            load(saved)


@pytest.mark.parametrize("card", [None, "", "[1]", "{}", b"\xff\xfe", '{"format_version": 1, "first": [4]}'])
def test_a_script_without_our_card_is_refused(tmp_path: Path, card: str | bytes | None) -> None:
    with pytest.raises(DoseloError, match=r"p\.ts: .* card"):
        load_predictor(script(tmp_path / "p.ts", card))


@pytest.mark.parametrize("content", [b"", b"\x00garbage" * 100])
def test_a_file_of_another_kind_is_one_clear_error(tmp_path: Path, content: bytes) -> None:
    for name, message in (("p.ts", "not a TorchScript file"), ("p.safetensors", "no readable weights")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(DoseloError, match=message):
            (load_predictor if name == "p.ts" else load_network)(tmp_path / name)


def test_a_missing_file_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(DoseloError, match=r"p\.ts: no such file; make one with `doselo train-predictor"):
        load_predictor(tmp_path / "p.ts")
    with pytest.raises(DoseloError, match=r"p\.safetensors: no readable weights"):
        load_network(tmp_path / "p.ts")


def test_a_device_that_is_not_there_is_not_blamed_on_the_file(path: Path) -> None:
    with pytest.raises(DoseloError, match=r"^device abacus: cannot be used here"):
        load_predictor(path, "abacus")


def test_weights_that_do_not_fit_their_card_are_refused(tmp_path: Path) -> None:
    network = random_network()
    save_predictor(network, card_of(network, first=(4, 8, 12)), tmp_path / "p.ts")
    with pytest.raises(DoseloError, match=r"p\.safetensors: .* card"):
        load_network(tmp_path / "p.ts")


class Bomb:
    """Whoever unpickles it makes a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.folder),)


@pytest.mark.parametrize("zipped", [True, False])
def test_loading_never_unpickles(tmp_path: Path, zipped: bool) -> None:
    bomb = Bomb(tmp_path / "unpickled")
    for file in (tmp_path / "p.ts", tmp_path / "p.safetensors"):
        torch.save(bomb, file) if zipped else file.write_bytes(pickle.dumps(bomb))
    for load in (load_predictor, load_network):
        with pytest.raises(DoseloError):
            load(tmp_path / "p.ts")
    assert not bomb.folder.exists()
    pickle.loads(pickle.dumps(bomb))
    assert bomb.folder.exists()


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o027, 0o640), (0o077, 0o600)])
def test_whoever_may_read_the_script_may_read_the_weights(tmp_path: Path, umask: int, mode: int) -> None:
    network, present = random_network(), os.umask(umask)
    try:
        save_predictor(network, card_of(network), tmp_path / "p.ts")
    finally:
        os.umask(present)
    assert {file.name: stat.S_IMODE(file.stat().st_mode) for file in tmp_path.iterdir()} == {
        "p.ts": mode,
        "p.safetensors": mode,
    }


@pytest.mark.parametrize("failing", ["torch.jit.save", "nnunet_doselo.predictor.artifact.save_file"])
def test_a_save_that_fails_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str) -> None:
    def full(first: Any, second: Any, **_: Any) -> None:
        Path(second).write_bytes(b"half")
        raise OSError("no space left on device")

    monkeypatch.setattr(failing, full)
    network = random_network()
    with pytest.raises(OSError, match="no space"):
        save_predictor(network, card_of(network), tmp_path / "p.ts")
    assert list(tmp_path.iterdir()) == []


def test_the_environment_comes_before_the_datasets_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own, named = tmp_path / artifact.FILE_NAME, tmp_path / "other.ts"
    own.touch()
    named.touch()
    monkeypatch.delenv("nnUNet_dose_predictor", raising=False)
    assert find_predictor(tmp_path) == own
    monkeypatch.setenv("nnUNet_dose_predictor", str(named))
    assert find_predictor(tmp_path) == named


@pytest.mark.parametrize(
    ("dim", "names"),
    [
        (2, ["dose_predictor.ts"]),
        (3, ["dose_predictor_3d.ts", "dose_predictor.ts"]),
        (None, ["dose_predictor.ts", "dose_predictor_3d.ts"]),
    ],
)
def test_slices_volumes_and_whole_patients_have_their_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dim: int | None, names: list[str]
) -> None:
    monkeypatch.delenv("nnUNet_dose_predictor", raising=False)
    for name in ("dose_predictor.ts", "dose_predictor_3d.ts"):
        (tmp_path / name).touch()
    for name in names:
        assert find_predictor(tmp_path, dim).name == name
        (tmp_path / name).unlink()
    with pytest.raises(DoseloError, match=" or ".join(f"{tmp_path}/{name}" for name in names)):
        find_predictor(tmp_path, dim)


@pytest.mark.parametrize(("named", "said"), [("/nowhere/p.ts", "/nowhere/p.ts"), (None, "not set")])
def test_without_a_predictor_the_error_names_both_places(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, named: str | None, said: str
) -> None:
    monkeypatch.delenv("nnUNet_dose_predictor", raising=False)
    if named:
        (tmp_path / "dose_predictor.ts").touch()  # a path that was set by hand is never passed over silently
        monkeypatch.setenv("nnUNet_dose_predictor", named)
    with pytest.raises(DoseloError, match=rf"nnUNet_dose_predictor is {said}, .*{tmp_path}/dose_predictor.ts"):
        find_predictor(tmp_path)


@pytest.mark.parametrize(("batch", "size"), [(1, (16, 16, 16)), (2, (7, 13, 9)), (1, (1, 2, 3))])
def test_a_3d_artifact_predicts_what_its_network_predicts(tmp_path: Path, batch: int, size: tuple[int, ...]) -> None:
    network, inputs = random_network(dim=3), random_inputs(batch, *size)
    card = card_of(network)
    predictor = load_predictor(save_predictor(network, card, tmp_path / "p.ts"))
    for _ in range(3):  # TorchScript optimises after its first calls
        torch.testing.assert_close(predictor(*inputs), random_network(dim=3)(*inputs), rtol=0, atol=1e-4)
    assert (predictor.card, predictor.card.axes, predictor.card.spacing_mm) == (card, "3d", (3.0, 3.0, 3.0))
    rebuilt, _ = load_network(tmp_path / "p.ts")
    assert rebuilt.settings == network.settings
    assert torch.equal(rebuilt(*inputs), network(*inputs))


@pytest.mark.parametrize(("dim", "size"), [(2, (9, 13)), (3, (5, 9, 13))])
def test_under_autocast_the_dose_is_single_precision_and_close(tmp_path: Path, dim: int, size: tuple[int, ...]) -> None:
    network, inputs = random_network(dim=dim), random_inputs(1, *size)
    predictor = load_predictor(save_predictor(network, card_of(network), tmp_path / "p.ts"))
    with torch.autocast("cpu", torch.bfloat16):
        dose = predictor(*inputs)
    assert dose.dtype == torch.float32
    exact = predictor(*inputs)
    assert 0 < (dose - exact).abs().max() < 0.05 * exact.abs().max()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"axes": "coronal 2d"}, r"p\.ts: the axes on its card must be one of axial 2d, 3d, found coronal 2d"),
        ({"axes": "3d"}, r"p\.ts: its card is damaged, .* axes 3d has 3 voxel spacings, found \(3\.0, 3\.0\)"),
        ({"spacing_mm": (3.0, 3.0, 3.0)}, r"axes axial 2d has 2 voxel spacings, found \(3\.0, 3\.0, 3\.0\)"),
        ({"spacing_mm": (3.0, 0.0)}, r"voxel spacings must be positive numbers in mm, found \(3\.0, 0\.0\); export"),
        ({"spacing_mm": (-3.0, 3.0)}, r"voxel spacings must be positive numbers in mm, found \(-3\.0, 3\.0\)"),
        ({"spacing_mm": (3.0, math.nan)}, r"voxel spacings must be positive numbers in mm, found \(3\.0, nan\)"),
        ({"spacing_mm": (3.0, "3")}, r"voxel spacings must be positive numbers in mm, found \(3\.0, '3'\)"),
    ],
)
def test_a_card_that_contradicts_itself_is_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    network = random_network()
    with pytest.raises(DoseloError, match=message):
        load_predictor(save_predictor(network, card_of(network, **changes), tmp_path / "p.ts"))


def test_a_card_without_axes_is_that_of_a_predictor_of_slices(path: Path) -> None:
    content = json.loads(card_of(random_network()).to_json())
    del content["axes"]
    assert PredictorCard.from_json(json.dumps(content), path) == card_of(random_network())
