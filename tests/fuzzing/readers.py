"""Every reader of files or texts that a user gives, by name: a valid file, and what reads it."""

import shutil
from functools import partial
from pathlib import Path
from random import Random
from unittest import mock

import material as m
import mutations as mut
import numpy as np
import onnxfiles
from contract import Reader

from descompress.artifacts import load
from descompress.benching import pages as bench_pages
from descompress.commands.build import parsed_arg
from descompress.data.cifar import PIXELS, Cifar
from descompress.data.filling import fill
from descompress.data.packed import Pack
from descompress.data.phototour import PhotoTour, tracks
from descompress.data.points import points_of
from descompress.featurefiles import StoredFeatures, feature_file
from descompress.fetching.sources import Limits
from descompress.fetching.unpacking import unpack
from descompress.fetching.verification import read_record
from descompress.images import read_image
from descompress.integrations.colmap import read_pairs
from descompress.integrations.huggingface import load_pretrained
from descompress.journal import MAGIC
from descompress.methods import parse
from descompress.nets import build
from descompress.patchfiles import read_patches
from descompress.presets import preset
from descompress.pruning.budgets import Budget
from descompress.recipes import Recipe, read_recipe
from descompress.searching.notebooks import Notebook
from descompress.shelf import VARIABLE, pages, read_index
from descompress.shelf.gathering import gather
from descompress.spec import Spec
from descompress.upstream import import_checkpoint
from descompress.validation import Validation
from hpatches_eval.csvfolder import CsvFolder
from hpatches_eval.descriptors import load as load_descriptors
from hpatches_eval.featurefiles import open_features
from hpatches_eval.hdf5file import Hdf5File
from hpatches_eval.maps import OnnxFinder
from hpatches_eval.patches import PatchRelease
from hpatches_eval.progress import silent
from hpatches_eval.sequences import ImageSequence
from hpatches_eval.splits import Split, read_splits
from hpatches_eval.tasklists import (
    Retrieval,
    Verification,
    read_retrieval,
    read_verification,
    write_retrieval,
    write_verification,
)

SPLIT, COUNTS = Split("x", ("v_b", "i_a")), {"v_b": 3, "i_a": 4}
PAIRS = np.array([[0, 1, 2, 1, 4, 3], [1, 0, 3, 0, 5, 0]], np.int32)
LIMITS = Limits(packed=10**6, unpacked=10**6, files=50)
ENTRIES = {"set/a/ref.png": b"1" * 5_000, "set/b/ref.png": b"2"}


def restored(folder: Path) -> None:
    m.run(folder).training.restore(folder / "net.safetensors.ckpt")


def resumed(folder: Path) -> None:
    going_on = m.run(folder)
    going_on.training.step = 2  # as a checkpoint says
    going_on._logged()
    going_on.marks()


def pack_read(folder: Path) -> None:
    pack = Pack.read(folder / "pack")
    pack.digest()
    pack.source(batches=len(pack.patches) or None)(0)
    Validation.from_arrays(pack.held()).measured(m.net("patches"))


def filled(folder: Path) -> None:
    fill(folder / "patches.npy", (6, 40, 40), np.uint8, lambda _: [])


def cached(folder: Path) -> None:
    def find(_: Path) -> np.ndarray:
        return np.arange(40.0).reshape(20, 2)

    (folder / "photographs").mkdir(exist_ok=True)
    images = [folder / "photographs" / f"{i}.png" for i in range(2)]
    for image in images:
        image.write_bytes(b"x")
    kept = folder / "points.h5"
    with mock.patch("descompress.data.points._digest", return_value="x"):
        [*points_of(folder, images, find, "points 1", cache=folder, workers=0)]
    if not kept.exists():
        (folder / "points-x.h5").rename(kept)


def cache_read(folder: Path) -> None:
    shutil.copy(folder / "points.h5", folder / "points-x.h5")
    cached(folder)


def all_stored(folder: Path) -> None:
    found = StoredFeatures(folder / "features.h5")
    for name in found:
        found[name]


def added(folder: Path) -> None:
    with feature_file(folder / "features.h5", m.SETTINGS) as file:
        file.add("v_one/2.png", m.features())


def recovered(folder: Path) -> None:
    shutil.copy(folder / "spare.h5", folder / "features.h5")
    added(folder)


def of_journal(content: bytes, random: Random) -> bytes:
    return m.announced(mut.of_bytes(content[len(MAGIC) + 4 :], random))


def hpatches_features(path: str, folder: Path) -> None:
    open_features(folder / path).features("v_one", 1, (48, 64))


def tasks_written(folder: Path) -> None:
    write_verification(folder, SPLIT, Verification(PAIRS, PAIRS[::-1], PAIRS))
    write_retrieval(folder, SPLIT, Retrieval(PAIRS[:, [0, 2]], PAIRS[:, [0, 2]]))


def homography(folder: Path) -> None:
    ImageSequence(folder / "v_one").homography(2)


def tour_read(folder: Path) -> None:
    tour = PhotoTour.read(folder)
    tracks(tour)
    tour.test_pairs()


def recipe_read(folder: Path) -> None:
    content = read_recipe(folder / "recipe.toml")
    Recipe.from_dict(Recipe.from_dict(content).to_dict()).plan.numbers(0)


def said(folder: Path) -> str:
    """What a text says, as it would stand on the command line."""
    return (folder / "text").read_bytes().decode(errors="replace").replace("\0", "")


def built_from_words(folder: Path) -> None:
    name, *args = said(folder).split()[:4] or [""]
    build(Spec(name, dict(parsed_arg(arg) for arg in args if "=" in arg)))


def method_parsed(folder: Path) -> None:
    conv = m.net("patches").conv("features.3")
    method = parse(said(folder)).resolve(conv)
    method.layer(conv)


def preset_read(folder: Path) -> None:
    preset(said(folder), m.net("patches"))


def spec_read(folder: Path) -> None:
    build(Spec.from_json((folder / "spec.json").read_text(errors="replace")))


def index_read(folder: Path) -> None:
    with mock.patch.dict("os.environ", {VARIABLE: str(folder / "weights")}):
        index = read_index()
        pages.texts(index)
        pages.table(index)
        pages.rows(index)


def record_gathered(folder: Path) -> None:
    pages.texts(gather(folder / "weights"))


def bench_read(folder: Path) -> None:
    record = bench_pages.read(folder / "bench.json")
    bench_pages.markdown(record)
    bench_pages.markdown(record, brief=True)


def notebook_read(folder: Path) -> None:
    found = Notebook(folder, {"on": "x"})
    found.choice("2", "cdp:alpha=2")


def unpacked(folder: Path) -> None:
    shutil.rmtree(folder / "set", ignore_errors=True)
    unpack(folder / "archive", folder / "set", "*/ref.png", LIMITS, silent)


def cifar(folder: Path) -> None:
    for name, count in (("train.bin", 3), ("test.bin", 1)):
        (folder / name).write_bytes(bytes([1, 2, *bytes(PIXELS)]) * count)


RECORD = '{"origin": "x", "bytes": 3, "sha256": "00", "checked": "y"}'
SPLITS = '{"x": {"test": ["v_b", "i_a"], "train": ["v_c"]}, "y": {"test": ["i_a"]}}'
of_npz = mut.of_zip(mut.of_npy)

READERS: dict[str, Reader] = {
    "artifact": Reader(
        "net.safetensors",
        m.artifact,
        lambda f: load(f / "net.safetensors"),
        (mut.of_safetensors,),
    ),
    "huggingface-config": Reader(
        "net/config.json", m.pretrained, lambda f: load_pretrained(f / "net"), (mut.of_json,)
    ),
    "checkpoint": Reader(
        "net.pth",
        m.checkpoint,
        lambda f: import_checkpoint("hardnet", f / "net.pth"),
        (mut.of_zip(mut.of_bytes, squeezed=False), mut.of_zip(mut.of_bytes)),
    ),
    "checkpoint-legacy": Reader(
        "net.pth",
        partial(m.checkpoint, zipped=False),
        lambda f: import_checkpoint("hardnet", f / "net.pth"),
    ),
    "training-checkpoint": Reader(
        "net.safetensors.ckpt", m.begun, restored, (mut.of_zip(mut.of_bytes, squeezed=False),)
    ),
    "training-log": Reader("net.safetensors.csv", m.begun, resumed),
    "pack-array": Reader("pack/patches.npy", m.pack, pack_read, (mut.of_npy,)),
    "pack-settings": Reader("pack/pack.json", m.pack, pack_read, (mut.of_json,)),
    "pack-held": Reader("pack/held.npz", m.pack, pack_read, (of_npz,)),
    "filled-array": Reader("patches.npy", m.array, filled, (mut.of_npy,)),
    "patch-array": Reader(
        "patches.npy", m.array, lambda f: read_patches(f / "patches.npy", 8), (mut.of_npy,)
    ),
    "patch-strips": Reader("strip.png", m.strips, lambda f: read_patches(f, 8), (mut.of_png,)),
    "point-cache": Reader("points.h5", cached, cache_read, (mut.of_hdf5,)),
    "features": Reader("features.h5", m.stored, all_stored, (mut.of_hdf5,)),
    "features-added-to": Reader("features.h5", m.stored, added, (mut.of_hdf5,)),
    "features-journal": Reader("features.h5.journal", m.journal, recovered, (of_journal,)),
    "hloc-features": Reader(
        "features.h5", m.stored, partial(hpatches_features, "features.h5"), (mut.of_hdf5,)
    ),
    "npz-features": Reader(
        "d2/v_one/1.png.d2-net", m.archive, partial(hpatches_features, "d2"), (of_npz,)
    ),
    "hdf5-descriptors": Reader(
        "net.h5",
        m.descriptors_h5,
        lambda f: load_descriptors(Hdf5File(f / "net.h5")),
        (mut.of_hdf5,),
    ),
    "csv-descriptors": Reader(
        "net/i_one/ref.csv", m.descriptors_csv, lambda f: load_descriptors(CsvFolder(f / "net"))
    ),
    "csv-bits": Reader(
        "net/i_one/e1.csv",
        m.descriptors_csv,
        lambda f: load_descriptors(CsvFolder(f / "net", packed=True)),
    ),
    "verification-list": Reader(
        "verif_pos_split-x.csv", tasks_written, lambda f: read_verification(f, SPLIT, COUNTS)
    ),
    "retrieval-list": Reader(
        "retr_queries_split-x.csv", tasks_written, lambda f: read_retrieval(f, SPLIT, COUNTS)
    ),
    "splits": Reader(
        "splits.json",
        m.text("splits.json", SPLITS),
        lambda f: read_splits(f / "splits.json"),
        (mut.of_json,),
    ),
    "patch-release": Reader(
        "i_one/ref.png",
        m.release,
        lambda f: PatchRelease(f).strip("i_one", "ref"),
        (mut.of_png,),
    ),
    "homography": Reader("v_one/H_1_2", m.sequence, homography),
    "sequence-image": Reader(
        "v_one/1.png",
        m.sequence,
        lambda f: ImageSequence(f / "v_one").image(1),
        (mut.of_png,),
    ),
    **{
        f"image-{suffix}": Reader(
            f"image.{suffix}",
            partial(m.picture, suffix=f".{suffix}"),
            partial(lambda suffix, f: read_image(f / f"image.{suffix}"), suffix),
            (mut.of_png,) if suffix == "png" else (),
        )
        for suffix in ("png", "jpg", "bmp", "ppm", "tif")
    },
    "tour-patches": Reader("patches0000.png", m.tour, tour_read, (mut.of_png,), slow=True),
    "tour-points": Reader("info.txt", m.tour, tour_read, slow=True),
    "tour-pairs": Reader("m50_4_4_0.txt", m.tour, tour_read, slow=True),
    "recipe": Reader("recipe.toml", m.recipe, recipe_read, (mut.of_toml,)),
    "spec": Reader(
        "spec.json",
        lambda f: (f / "spec.json").write_text(m.net().spec.to_json()),
        spec_read,
        (mut.of_json,),
    ),
    "network-words": Reader(
        "text", m.text("text", "strided widths=2,2,2,2 dim=4"), built_from_words
    ),
    "method": Reader("text", m.text("text", "cdp:alpha=2,inner=bn_relu"), method_parsed),
    "preset": Reader("text", m.text("text", "depthwise@7+tucker:rank=0.5@2-6"), preset_read),
    "budget": Reader("text", m.text("text", "0.25e1M"), lambda f: Budget.parse("macs", said(f))),
    "onnx": Reader("net.onnx", onnxfiles.patches, onnxfiles.run, (onnxfiles.changed,), slow=True),
    "onnx-openvino": Reader(
        "net.onnx",
        onnxfiles.patches,
        partial(onnxfiles.run, backend="openvino"),
        (onnxfiles.changed,),
        slow=True,
    ),
    "onnx-images": Reader(
        "net.onnx",
        onnxfiles.images,
        onnxfiles.run,
        (onnxfiles.changed,),
        slow=True,
    ),
    "onnx-maps": Reader(
        "net.onnx",
        onnxfiles.maps,
        lambda f: OnnxFinder(f / "net.onnx", threads=1)(m.noise(16, 24)),
        (onnxfiles.changed,),
    ),
    "image-pairs": Reader(
        "pairs.txt", m.text("pairs.txt", "a.png b.png\n"), lambda f: read_pairs(f / "pairs.txt")
    ),
    "shelf-index": Reader("weights/index.toml", m.shelf, index_read, (mut.of_toml,), slow=True),
    "shelf-recipe": Reader(
        "weights/recipes/hardnet.nano.toml", m.shelf, record_gathered, (mut.of_toml,), slow=True
    ),
    "shelf-patches": Reader(
        "weights/measured.json", m.shelf, record_gathered, (mut.of_json,), slow=True
    ),
    "shelf-images": Reader(
        "weights/measured.images.json", m.shelf, record_gathered, (mut.of_json,), slow=True
    ),
    "bench": Reader("bench.json", m.bench, bench_read, (mut.of_json,)),
    "notebook": Reader("measurements.json", m.notebook, notebook_read, (mut.of_json,)),
    "study": Reader("study.db", m.study, m.study, slow=True),
    "zip": Reader("archive", partial(m.packed, "zip", ENTRIES), unpacked, (mut.of_zip_tables,)),
    "tar-gz": Reader("archive", partial(m.packed, "tar", ENTRIES), unpacked, (mut.of_gzip,)),
    "fetch-record": Reader(
        "x.json", m.text("x.json", RECORD), lambda f: read_record(f / "x.json"), (mut.of_json,)
    ),
    "cifar": Reader("train.bin", cifar, Cifar.read),
}
