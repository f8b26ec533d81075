import json

import cv2
import numpy as np
import pytest
from click.testing import CliRunner
from small_nets import inputs, made

from descompress import save
from descompress.cli import main
from descompress.errors import RequestError
from descompress.exporting import cosine, fitting, layers, quantised, to_onnx
from descompress.runtimes import open_file, open_model


def run(*args: object) -> tuple[int, str]:
    """Exit status, and what was printed or, where it failed, said."""
    result = CliRunner().invoke(main, [str(arg) for arg in args])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.stdout or result.stderr


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("export")
    save(made("strided"), folder / "net.safetensors")
    save(made("superpoint"), folder / "sp.safetensors")
    draw = np.random.default_rng(0)
    np.save(folder / "patches.npy", draw.integers(0, 256, (128, 32, 32), np.uint8))
    return folder


def test_a_network_is_exported_and_says_how_well(folder, tmp_path):
    out = tmp_path / "net.onnx"
    status, said = run("export", folder / "net.safetensors", out, "--json", tmp_path / "o.json")
    assert status == 0
    assert "ONNX Runtime differs from PyTorch by" in said
    assert open_file(out).facts.name == "net"
    numbers = json.loads((tmp_path / "o.json").read_text())
    assert numbers["bytes"] == out.stat().st_size
    assert max(numbers["difference"].values()) < 1e-5
    assert numbers["precision"] == "fp32"


def test_int8_from_loose_patches_says_how_near_it_is(folder, tmp_path):
    args = ("--int8", "--calibrate", folder / "patches.npy", "--json", "-")
    status, said = run("export", folder / "net.safetensors", tmp_path / "net.onnx", *args)
    assert status == 0
    numbers = json.loads(said)
    assert 0.9 < numbers["cosine"] < 1
    assert numbers["before"] == {}
    assert numbers["float_layers"] == []
    assert open_file(tmp_path / "net.onnx").facts.precision == "int8"


def test_an_image_network_is_measured_on_the_images_it_is_calibrated_on(folder, tmp_path, discs):
    images = tmp_path / "images"
    images.mkdir()
    for i in range(2):
        cv2.imwrite(str(images / f"{i}.png"), discs(i, (240, 320), 60, 20))
    args = ("--int8", "--calibrate", images)
    status, said = run("export", folder / "sp.safetensors", tmp_path / "sp.onnx", *args)
    assert status == 0
    assert "repeatability at 1 px: " in said
    assert "homography: " in said


class Judge:
    """Says that every layer in int8 costs two points, and the second one ten."""

    def __init__(self, names: list[str]) -> None:
        self.names = names

    def __call__(self, runtime):
        floats = self.floats if runtime.facts.precision == "int8" else set(self.names)
        costs = [10 if i == 1 else 2 for i, n in enumerate(self.names) if n not in floats]
        return {"matching": 90.0 - sum(costs), "other": 50.0}


def test_layers_stay_in_float_until_the_drop_is_small_enough(monkeypatch):
    model = to_onnx(made("strided"))
    names = layers(model)
    judge = Judge(names)
    original = fitting.quantised

    def noted(model, inputs, keep=()):
        judge.floats = set(keep)
        return original(model, inputs, keep)

    monkeypatch.setattr(fitting, "quantised", noted)
    order = [names[1], names[0], names[3], names[2]]
    monkeypatch.setattr(fitting, "_by_sensitivity", lambda *_: order)
    data = [np.random.default_rng(0).random((16, 1, 32, 32), np.float32)]
    found = fitting.fitted(model, data, judge, 6.5)
    assert found.floats == (names[1],)
    assert found.before == {"matching": 90.0, "other": 50.0}
    assert found.after == {"matching": 84.0, "other": 50.0}
    assert fitting.fitted(model, data, judge, 4.0).floats == (names[0], names[1])
    kept = fitting.fitted(model, data, judge, 6.5, keep=[names[3]])
    assert kept.floats == (names[1], names[3])
    with pytest.raises(RequestError, match=r"int8 costs 2\.00 points at least"):
        fitting.fitted(model, data, judge, 1.0)


def test_the_layer_whose_int8_moves_descriptors_most_comes_first():
    model, data = to_onnx(made("strided")), [inputs(made("strided"), 32)]
    whole, names = open_model(model.SerializeToString()), layers(model)

    def alone(name: str) -> float:
        small = quantised(model, data, [other for other in names if other != name])
        return cosine(whole, open_model(small.SerializeToString()), data)

    order = fitting._by_sensitivity(model, whole, data, lambda *_: None)
    assert order == sorted(names, key=alone)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("--int8",), "--int8 needs --calibrate"),
        (("--max-drop", "1"), "--max-drop is of --int8"),
        (("--int8", "--max-drop", "nan"), "nan is no finite number"),
        (("--keep", "x"), "--keep is of --int8"),
        (("--int8", "--calibrate", "{}/patches.npy", "--max-drop", "1"), "--max-drop needs"),
        (("--int8", "--calibrate", "{}/patches.npy", "--keep", "x"), "--keep x: the layers are"),
        (("--opset", "7"), "opset 7: 18 to 23"),
    ],
)
def test_options_that_do_not_fit_are_refused_and_nothing_is_written(
    folder, tmp_path, args, message
):
    words = [word.format(folder) for word in args]
    status, said = run("export", folder / "net.safetensors", tmp_path / "o.onnx", *words)
    assert status == 2
    assert message in said
    assert not list(tmp_path.iterdir())


def test_an_output_that_exists_is_kept(folder, tmp_path):
    (tmp_path / "o.onnx").write_bytes(b"mine")
    status, said = run("export", folder / "net.safetensors", tmp_path / "o.onnx")
    assert status == 1
    assert "exists already" in said
    assert (tmp_path / "o.onnx").read_bytes() == b"mine"
