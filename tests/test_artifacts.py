import json
import pickle
import struct
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from descompress import artifacts
from descompress.artifacts import load, save
from descompress.converter import convert
from descompress.errors import ArtifactError, SpecError
from descompress.nets import NETS, build
from descompress.spec import Spec
from hpatches_eval.errors import OutputError

SMALL = Spec("l2net", {"widths": (4, 4, 6, 6, 8, 8), "dim": 16})
RECIPES = [
    "cdp2",
    [("[2-7]", "cdp:alpha=2,inner=bn_relu")],
    "depthwise",
    "tucker",
    "tdw",
    "cdp2@2-4+tucker@6-7",
]


def state_is_equal(one, other) -> bool:
    mine, theirs = one.state_dict(), other.state_dict()
    return mine.keys() == theirs.keys() and all(torch.equal(mine[k], theirs[k]) for k in mine)


@pytest.fixture
def file(tmp_path) -> Path:
    path = tmp_path / "net.safetensors"
    save(build(SMALL), path)
    return path


@pytest.mark.parametrize("name", NETS)
def test_what_is_saved_is_loaded(name, tmp_path):
    net = build(name).eval()
    save(net, tmp_path / "net")
    loaded = load(tmp_path / "net")
    assert loaded.spec == net.spec
    assert not loaded.training
    assert state_is_equal(net, loaded)
    assert all(parameter.requires_grad for parameter in loaded.parameters())
    x = torch.rand(2, net.input_shape[0], 32, 32)
    torch.testing.assert_close(loaded(x), net(x))


@pytest.mark.parametrize("recipe", RECIPES, ids=str)
def test_what_is_converted_saved_and_loaded_describes_alike(recipe, tmp_path):
    small = convert(build(SMALL).eval(), recipe)
    save(small, tmp_path / "net")
    loaded = load(tmp_path / "net")
    assert loaded.spec == small.spec
    x = torch.rand(2, 1, 32, 32)
    torch.testing.assert_close(loaded(x), small(x))


def test_the_same_network_gives_the_same_bytes(tmp_path):
    net = build(SMALL)
    save(net, tmp_path / "a")
    save(load(tmp_path / "a"), tmp_path / "b")
    save(build(net.spec), tmp_path / "c")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert (tmp_path / "a").read_bytes() != (tmp_path / "c").read_bytes()
    for i in range(5):
        save(net, tmp_path / f"again{i}")
        assert (tmp_path / f"again{i}").read_bytes() == (tmp_path / "a").read_bytes()


def test_half_precision_takes_half_the_bytes_and_loads_as_float32(tmp_path):
    net = build(Spec("desdis", {"dim": 8})).eval()
    save(net, tmp_path / "full")
    save(net, tmp_path / "half", dtype="float16")
    full, half = ((tmp_path / name).stat().st_size for name in ("full", "half"))
    assert 0.5 < half / full < 0.52
    loaded = load(tmp_path / "half")
    assert {p.dtype for p in loaded.parameters()} == {torch.float32}
    for name, tensor in net.state_dict().items():
        rounded = tensor.half().to(tensor.dtype) if tensor.is_floating_point() else tensor
        assert torch.equal(loaded.state_dict()[name], rounded)


def test_weights_lie_in_fresh_storage(file):
    assert all(p.storage_offset() == 0 for p in load(file).parameters())
    assert all(p.data_ptr() % 16 == 0 for p in load(file).parameters())


def test_an_existing_file_is_refused_and_stays(file):
    before = file.read_bytes()
    with pytest.raises(OutputError, match="exists already"):
        save(build(SMALL), file)
    assert file.read_bytes() == before
    save(build(SMALL), file, force=True)
    assert file.read_bytes() != before


def test_a_failed_write_leaves_nothing_behind(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(artifacts.Path, "write_bytes", full)
    with pytest.raises(OutputError, match="No space left on device"):
        save(build(SMALL), tmp_path / "net")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(OutputError, match="there is no folder"):
        save(build(SMALL), tmp_path / "missing" / "net")


@pytest.mark.parametrize("module", [torch.nn.Conv2d(1, 1, 1), NETS["desdis"](8)])
def test_a_network_without_a_spec_is_not_saved(module, tmp_path):
    with pytest.raises(SpecError, match="has no spec: save networks made by build, load, convert"):
        save(module, tmp_path / "net")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e6])
def test_weights_that_cannot_be_stored_are_refused(value, tmp_path):
    net = build(SMALL)
    with torch.no_grad():
        net.conv("features.3").weight[0, 0, 0, 0] = value
    with pytest.raises(SpecError, match=r"features\.3\.weight holds NaN or infinity as float16"):
        save(net, tmp_path / "net", dtype="float16")


# -- files that are not what they should be ---------------------------------------------------


def spec_with(**changes) -> str:
    return json.dumps(json.loads(build(SMALL).spec.to_json()) | changes)


def rewrite(file: Path, *, tensors=None, spec: str | None = None) -> Path:
    content = load_file(file) if tensors is None else tensors
    save_file(content, file, {"descompress": spec or build(SMALL).spec.to_json()})
    return file


def test_files_that_are_no_artifacts_are_refused(tmp_path, file):
    whole = file.read_bytes()
    cases = {
        "empty": b"",
        "short": whole[:7],
        "truncated header": whole[:100],
        "truncated": whole[:-1],
        "longer": whole + b"\0",
        "text": b"hello, world" * 50,
        "huge header": struct.pack("<Q", 2**62) + whole[8:],
        "broken header": whole[:8] + b"\xff" * 50 + whole[58:],
    }
    for name, content in cases.items():
        path = tmp_path / name
        path.write_bytes(content)
        with pytest.raises(ArtifactError, match="not a safetensors file"):
            load(path)


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    with pytest.raises(ArtifactError, match="cannot be read"):
        load(tmp_path / "missing")
    with pytest.raises(ArtifactError, match=f"{tmp_path.name}: "):
        load(tmp_path)


def test_a_pickle_is_not_executed(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "executed",))

    (tmp_path / "bomb").write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(ArtifactError, match="not a safetensors file"):
        load(tmp_path / "bomb")
    assert not (tmp_path / "executed").exists()


def test_foreign_tensors_are_refused(tmp_path):
    save_file({"w": torch.zeros(3)}, tmp_path / "foreign", {"format": "pt"})
    with pytest.raises(ArtifactError, match="tensors without a spec"):
        load(tmp_path / "foreign")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": 2}, "the spec has format 2"),
        ({"net": "resnet"}, "unknown network 'resnet'"),
        ({"net": "resnet" * 1000}, "unknown network 'resnetresnet"),
        ({"args": {"depth" * 1000: 9}}, "l2net has no argument 'depthdepth"),
        ({"args": {"depth": 9}}, "l2net has no argument 'depth'"),
        ({"args": {"dim": 10**11}}, "dim must be like"),
        ({"args": {"dim": 4_096}}, "has shape"),
        ({"args": {"widths": [65_536] * 6}}, "weights; there may be"),
        ({"args": {"widths": [32] * 10_000}}, "widths must be like"),
        ({"args": {"dim": {"a": 1}}}, "dim must be like"),
        ({"args": {"dim": json.loads("[" * 400 + "]" * 400)}}, "dim must be like|recursion"),
        ({"layers": {"conv1a": {"method": "depthwise", "multiplier": 1}}}, "'conv1a' is none of"),
        ({"layers": {"": {"method": "depthwise", "multiplier": 1}}}, "'' is none of"),
        ({"layers": {"features.3": {"method": "svd"}}}, "unknown method 'svd'"),
        (
            {"layers": {"features.3": {"method": "cdp", "alpha": 99, "inner": "linear"}}},
            "needs 0 < alpha < 4",
        ),
        (
            {"layers": {"features.3": {"method": "cdp", "alpha": "variance", "inner": "linear"}}},
            "reads trained weights",
        ),
        (
            {"layers": {"features.3": {"method": "cdp", "alpha": 2, "inner": "linear"}}},
            r"features\.3\.dense\.weight is missing",
        ),
    ],
)
def test_a_spec_that_does_not_fit_is_named(changes, message, file):
    with pytest.raises(ArtifactError, match=message) as caught:
        load(rewrite(file, spec=spec_with(**changes)))
    assert str(file) in str(caught.value)
    assert len(str(caught.value)) < 600


def change(file: Path, name: str, tensor: torch.Tensor | None) -> Path:
    tensors = load_file(file)
    if tensor is None:
        del tensors[name]
    else:
        tensors[name] = tensor
    return rewrite(file, tensors=tensors)


@pytest.mark.parametrize(
    ("name", "tensor", "message"),
    [
        ("features.3.weight", None, r"the tensor features\.3\.weight is missing"),
        ("features.99.weight", torch.zeros(2), r"'features\.99\.weight' is no part of this"),
        ("features.3.weight", torch.zeros(4, 4, 1, 1), r"has shape \(4, 4, 1, 1\), not \(4, 4, 3"),
        ("features.3.weight", torch.zeros(4, 4, 3, 3).int(), "has type I32, not F32 or F16"),
        ("features.3.weight", torch.zeros(4, 4, 3, 3).bfloat16(), "has type BF16, not F32 or F16"),
        ("features.4.num_batches_tracked", torch.tensor(1.0), "has type F32, not I64"),
        ("features.4.num_batches_tracked", torch.tensor(True), "has type BOOL, not I64"),
        ("features.4.running_mean", torch.full((4,), torch.nan), "running_mean holds NaN"),
        ("features.3.weight", torch.full((4, 4, 3, 3), torch.inf), "holds NaN or infinity"),
    ],
)
def test_a_tensor_that_does_not_fit_is_named(name, tensor, message, file):
    with pytest.raises(ArtifactError, match=message):
        load(change(file, name, tensor))


def test_shapes_are_checked_before_memory_is_taken(file):
    # 8,192 channels throughout would be gigabytes; on the meta device they are nothing.
    absurd = spec_with(args={"widths": [8, 8, 8, 8, 8, 8_192], "dim": 512})
    with pytest.raises(ArtifactError, match="has shape"):
        load(rewrite(file, spec=absurd))
