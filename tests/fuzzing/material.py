"""Small valid files of every kind, written into a folder."""

import csv
import io
import json
import shutil
import tarfile
import tomllib
import zipfile
import zlib
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import h5py
import numpy as np
import torch

from descompress.artifacts import save
from descompress.converter import convert
from descompress.data.packed import write_pack
from descompress.featurefiles import Described, feature_file
from descompress.integrations.huggingface import save_pretrained
from descompress.journal import MAGIC, PAGE
from descompress.nets import Net, build
from descompress.objectives import Weighted
from descompress.plans import Plan
from descompress.runs import Run
from descompress.searching.studies import Asked, studied
from descompress.searching.tables import Choice, Table
from descompress.shelf.gathering import gather
from descompress.shelf.pages import write
from descompress.spec import Spec
from descompress.training import Training
from hpatches_eval.features import Features
from hpatches_eval.patches import PATCH, TYPES

ROOT = Path(__file__).resolve().parents[2]
WEIGHTS = ROOT / "weights"
PATCHES = Spec("l2net", {"widths": (4, 4, 4, 4, 4, 4), "dim": 4})
IMAGES = Spec("superpoint", {"widths": (2,) * 10, "dim": 4})
SETTINGS = {"net": "hardnet.nano", "most": 4}


def noise(*shape: int) -> np.ndarray:
    """Grey values."""
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


@cache
def net(kind: str = "converted") -> Net:
    """A network as small as can be: of "patches" or of "images", or one with two methods."""
    torch.manual_seed(0)
    built = build(IMAGES if kind == "images" else PATCHES)
    if kind == "converted":
        built = convert(built, [("[2-4]", "cdp:alpha=2"), ("5", "tucker:rank=2")])
    return built.eval()


def artifact(folder: Path) -> None:
    save(net(), folder / "net.safetensors", force=True)


def pretrained(folder: Path) -> None:
    save_pretrained(net(), folder / "net")


def checkpoint(folder: Path, *, zipped: bool = True) -> None:
    state = net("patches").state_dict()
    torch.save(state, folder / "net.pth", _use_new_zipfile_serialization=zipped)


class Nothing:
    """A validation that measures one number."""

    names = ("fpr95",)

    def measured(self, _: object) -> dict[str, float]:
        return {"fpr95": 0.5}


def run(folder: Path) -> Run:
    """A training of two steps."""
    training = Training(build(PATCHES), Weighted.read({"triplet": {}}), Plan(2))

    def source(_: int) -> tuple[np.ndarray, np.ndarray]:
        return noise(8, 32, 32) / np.float32(255), noise(8, 32, 32) / np.float32(255)

    return Run(folder / "net.safetensors", training, source, Nothing(), 0)


def begun(folder: Path) -> None:
    begin = run(folder)
    begin.start(force=False)
    rows = begin.rows()
    next(rows)
    rows.close()


def pack(folder: Path) -> None:
    def source(_: int) -> tuple[np.ndarray, np.ndarray]:
        return noise(4, 32, 32) / np.float32(255), noise(4, 32, 32) / np.float32(255)

    names = (f"{kind}/0" for kind in ("ref", "e", "h", "t"))
    held = {**{name: noise(4, 32, 32) for name in names}, "same": np.array([True, False])}
    held |= {"first": noise(2, 32, 32), "second": noise(2, 32, 32)}
    write_pack(folder / "pack", source, 2, {"batch": 4}, held, workers=0)


def array(folder: Path) -> None:
    np.save(folder / "patches.npy", noise(6, 40, 40))


def strips(folder: Path) -> None:
    cv2.imwrite(str(folder / "strip.png"), noise(3 * 40, 40))


def release(folder: Path) -> None:
    (folder / "i_one").mkdir()
    for kind in TYPES:
        cv2.imwrite(str(folder / "i_one" / f"{kind}.png"), noise(2 * PATCH, PATCH))


def picture(folder: Path, suffix: str = ".png") -> None:
    pixels = noise(48, 64, 3) if suffix == ".ppm" else noise(48, 64)
    assert cv2.imwrite(str(folder / f"image{suffix}"), pixels)


def sequence(folder: Path) -> None:
    (folder / "v_one").mkdir()
    for number in range(1, 7):
        cv2.imwrite(str(folder / "v_one" / f"{number}.png"), noise(48, 64))
    for number in range(2, 7):
        (folder / "v_one" / f"H_1_{number}").write_text("1 0.1 2\n0 1 3\n1e-5 0 1\n")


def tour(folder: Path) -> None:
    cv2.imwrite(str(folder / "patches0000.png"), noise(1024, 1024) // 64 * 64)
    (folder / "info.txt").write_text("".join(f"{i // 2} {i % 2}\n" for i in range(8)))
    (folder / "m50_4_4_0.txt").write_text("0 0 0 1 0 0 0\n2 1 0 5 2 0 0\n")


def features(count: int = 4) -> Described:
    """Of an image of 64 x 48 pixels."""
    rng = np.random.default_rng(0)
    arrays = rng.random((count, 2)) * 40, rng.random((count, 8)), rng.random(count)
    return Described(Features(*(a.astype(np.float32) for a in arrays)), (64, 48))


def stored(folder: Path) -> None:
    with feature_file(folder / "features.h5", SETTINGS) as file:
        file.add("v_one/1.png", features())


def journal(folder: Path) -> None:
    """Features, and the journal of a commit of their first page that was broken off."""
    stored(folder)
    content = (folder / "features.h5").read_bytes()
    (folder / "spare.h5").write_bytes(content)
    size = len(content).to_bytes(8, "little")
    body = size + size + bytes(8) + content[:PAGE].ljust(PAGE, b"\0")
    (folder / "features.h5.journal").write_bytes(announced(body))


def announced(body: bytes) -> bytes:
    """A journal with its checksum."""
    return MAGIC + zlib.crc32(body).to_bytes(4, "little") + body


def archive(folder: Path) -> None:
    (folder / "d2/v_one").mkdir(parents=True)
    found = features().features
    names = ("keypoints", "descriptors", "scores")
    with (folder / "d2/v_one/1.png.d2-net").open("wb") as file:
        np.savez(file, **{name: getattr(found, name) for name in names})


def descriptors_h5(folder: Path) -> None:
    with h5py.File(folder / "net.h5", "w") as file:
        for kind in TYPES:
            file[f"i_one/{kind}"] = noise(2, 4).astype(np.float32)


def descriptors_csv(folder: Path) -> None:
    (folder / "net/i_one").mkdir(parents=True)
    for kind in TYPES:
        np.savetxt(folder / f"net/i_one/{kind}.csv", noise(2, 4), "%d", ",")


def table(path: Path, rows: list[list[Any]]) -> None:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(rows)


def shelf(parent: Path) -> None:
    """A folder of two shipped networks, what was measured of them, and its index."""
    folder = parent / "weights"
    (folder / "recipes").mkdir(parents=True)
    for name in ("hardnet.nano", "superpoint.tiny"):
        shutil.copy(WEIGHTS / f"{name}.safetensors", folder)
        shutil.copy(WEIGHTS / f"recipes/{name}.toml", folder / "recipes")
    record = json.loads((WEIGHTS / "measured.json").read_text())
    record["entries"] = [e for e in record["entries"] if e["name"] in ("hardnet.nano", "sift")]
    (folder / "measured.json").write_text(json.dumps(record))
    record = json.loads((WEIGHTS / "measured.images.json").read_text())
    entries = [e for e in record["images"]["entries"] if e["name"] in ("superpoint.tiny", "orb")]
    record["images"]["entries"] = entries
    (folder / "measured.images.json").write_text(json.dumps(record))
    write(gather(folder), folder)


def bench(folder: Path) -> None:
    record = json.loads((WEIGHTS / "bench.json").read_text())
    names = ("hardnet.nano", "superpoint.tiny", "sift")
    chosen = [entry for entry in record["entries"] if entry["name"] in names]
    record["entries"] = [e for e in chosen if e["on"] in ("onnxruntime-int8", "opencv")]
    (folder / "bench.json").write_text(json.dumps(record))


def recipe(folder: Path) -> None:
    text = (WEIGHTS / "recipes/hardnet.p90.toml").read_text()
    assert "prune" in tomllib.loads(text)
    (folder / "recipe.toml").write_text(text)


def notebook(folder: Path) -> None:
    layers = {"2": {"cdp:alpha=2": {"loss": 0.1, "saved": 2.0}}}
    held = {"asked": {"on": "x"}, "whole": {"seconds": 1.0}, "layers": layers}
    held |= {"format": 1, "verified": {}, "answered": {}}
    (folder / "measurements.json").write_text(json.dumps(held))


def text(name: str, content: str) -> Any:
    """A maker of a text file."""
    return lambda folder: (folder / name).write_text(content)


def packed(kind: str, entries: dict[str, bytes], folder: Path) -> None:
    """An archive, "zip" or "tar"."""
    path = folder / "archive"
    if kind == "zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
            for name, content in entries.items():
                file.writestr(name, content)
        return
    with tarfile.open(path, "w:gz") as file:
        for name, content in entries.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            file.addfile(info, io.BytesIO(content))


def study(folder: Path) -> None:
    """Go on with a study of two trials, or begin it."""
    choices = [Choice("keep", 0.0, 0.0), Choice("cdp:alpha=2", 0.1, 5.0)]
    studied(Table(10.0, {"2": choices, "3": choices}), Asked(8.0, 2, 0), folder / "study.db", "x")
