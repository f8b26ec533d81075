"""Image networks on the shelf: their record, index, cards and table, beside patch networks."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner

import descompress
from descompress import shelf
from descompress.cli import main
from descompress.errors import ArtifactError
from descompress.shelf import imagepages, pages, patchpages
from descompress.shelf.gathering import gather
from descompress.spec import Spec

NETS = {"superpoint": ([8] * 10, 16), "superpoint.tiny": ([4] * 10, 8)}  # widths and dim
RECIPE = """
about = "{name} in a word"

[card]
title = "The network {name}"
licence = "none"
trained_on = "noise"
environment = "a test"
command = "descompress train superpoint {name}.safetensors"
"""
COMMAND = "descompress eval superpoint superpoint.tiny --sequences seq --baseline orb --repeats 10"


def means(share: float, error: float | None, count: float) -> dict[str, Any]:
    """Of a group: MMA is `share` at 3 px, H@1, H@3 and H@5 are a quarter, a half and all of it."""
    homography = [share / 4, 0.0, share / 2, 0.0, share, *[0.0] * 5]
    return {
        "pairs": 10,
        "repeatability": share / 5,
        "symmetric_repeatability": 0.99,
        "nn_map": 0.99,
        "matching_score": 0.99,
        "localisation_error": error,
        "mma": [0.0, 0.0, share, *[0.99] * 7],
        "homography": homography,
        "auc": {"1": 0.99, "3": 0.99, "5": 0.99},
        "keypoints": count,
        "matches": count / 2,
        "inliers": 0.99,
    }


def entry(name: str, file: Path | None = None, share: float = 0.8) -> dict[str, Any]:
    """Of a record, as `eval` writes it; MMA@3 is `share` overall."""
    ends = {"mma_3": [0.1, 0.25], "homography_3": [0.3, 0.45678], "repeatability": [0.05, 0.5]}
    known = {"file": file.name, "bytes": 1234, "sha256": shelf.sha256(file)} if file else {}
    return {
        **dict.fromkeys(("file", "bytes", "sha256")),
        **known,
        "params": 500 if file else None,
        "macs": 2_500_000_000 if file else None,
        "name": name,
        "summary": {
            "overall": means(share, 1.2345, 1234.56),
            "illumination": means(0.4, 1.0, 1000.0),
            "viewpoint": means(0.2, None, 900.04),
        },
        "intervals": ends | {"nn_map": [0.9, 0.99], "matching_score": [0.9, 0.99]},
        "distance": "L2",
        "dim": 16,
        "seconds": {"finding": 0.1},
    }


def record(*entries: dict[str, Any]) -> dict[str, Any]:
    settings = {
        "size": 640,
        "side": "long",
        "keypoints": 1000,
        "repeats": 10,
        "within": 3.0,
        "estimation": {"method": "ransac", "threshold": 3.0, "seed": 0},
        "bootstrap": {"resamples": 1000, "confidence": 0.95, "seed": 0},
        "selection": {"radius": 4, "threshold": 0.005, "subpixel": True},
    }
    images = {
        "settings": settings,
        "counts": {"sequences": 2, "images": 12, "pairs": 10},
        "sequences": ["i_one", "v_two"],
        "versions": {"python": "3.11.7"},
        "threads": 1,
        "entries": [*entries],
    }
    return {"format": 1, "command": COMMAND, "images": images}


def add_images(folder: Path) -> None:
    """Two image networks and their record, with ORB as a peer."""
    (folder / "recipes").mkdir(exist_ok=True)
    torch.manual_seed(0)
    for name, (widths, dim) in NETS.items():
        net = descompress.build(Spec("superpoint", {"widths": widths, "dim": dim}))
        descompress.save(net, folder / f"{name}.safetensors")
        (folder / "recipes" / f"{name}.toml").write_text(RECIPE.format(name=name))
    entries = [entry(name, folder / f"{name}.safetensors") for name in sorted(NETS, reverse=True)]
    run = record(*entries, entry("orb", share=0.123456))
    (folder / "measured.images.json").write_text(json.dumps(run))


@pytest.fixture
def images(tmp_path, monkeypatch) -> Path:
    """A folder of image networks alone, with an index; the shipped networks are there now."""
    folder = tmp_path / "images"
    folder.mkdir()
    add_images(folder)
    monkeypatch.setenv("DESCOMPRESS_WEIGHTS", str(folder))
    pages.write(gather(folder), folder)
    return folder


@pytest.fixture
def mixed(shelf_folder) -> Path:
    """Patch networks (net, net.dw) and image networks; the shipped networks are there now."""
    add_images(shelf_folder)
    pages.write(gather(shelf_folder), shelf_folder)
    return shelf_folder


def run(*args: object):
    result = CliRunner().invoke(main, [str(arg) for arg in args])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


# --- the index


def test_shares_are_in_per_cent_and_the_rest_in_pixels_and_numbers(images):
    assert shelf.read_index()["networks"]["superpoint"]["measured"] == {
        "mma3": {
            "overall": 80.0,
            "interval": [10.0, 25.0],
            "illumination": 40.0,
            "viewpoint": 20.0,
        },
        "homography1": {"overall": 20.0, "illumination": 10.0, "viewpoint": 5.0},
        "homography3": {
            "overall": 40.0,
            "interval": [30.0, 45.68],
            "illumination": 20.0,
            "viewpoint": 10.0,
        },
        "homography5": {"overall": 80.0, "illumination": 40.0, "viewpoint": 20.0},
        "repeatability3": {
            "overall": 16.0,
            "interval": [5.0, 50.0],
            "illumination": 8.0,
            "viewpoint": 4.0,
        },
        "localisation_error": {"overall": 1.23, "illumination": 1.0},
        "keypoints": {"overall": 1234.6, "illumination": 1000.0, "viewpoint": 900.0},
        "matches": {"overall": 617.3, "illumination": 500.0, "viewpoint": 450.0},
    }


def test_the_index_says_of_an_image_network_what_it_is_and_at_which_size_it_was_counted(images):
    file = images / "superpoint.tiny.safetensors"
    net = descompress.load(file)
    spent = descompress.cost(net, (480, 640))
    found = shelf.read_index()["networks"]["superpoint.tiny"]
    assert {key: value for key, value in found.items() if key != "measured"} == {
        "title": "The network superpoint.tiny",
        "about": "superpoint.tiny in a word",
        "licence": "none",
        "trained_on": "noise",
        "environment": "a test",
        "command": "descompress train superpoint superpoint.tiny.safetensors",
        "sha256": shelf.sha256(file),
        "bytes": file.stat().st_size,
        "dtype": "float32",
        "net": "superpoint",
        "spec": net.spec.to_json(),
        "params": spent.params,
        "macs": spent.macs,
        "macs_at": [480, 640],
    }


def test_the_index_says_how_images_were_measured_and_which_peers_were(images):
    index = shelf.read_index()
    assert index["image_measurement"] == {
        "command": COMMAND,
        "sequences": ["i_one", "v_two"],
        **{key: record()["images"][key] for key in ("settings", "counts", "versions")},
    }
    assert list(index["image_peers"]) == ["orb"]
    assert index["image_peers"]["orb"].keys() == {"measured"}
    assert index["image_peers"]["orb"]["measured"]["mma3"]["overall"] == 12.35
    assert (
        (images / "index.toml")
        .read_text()
        .startswith(
            "# Written by `descompress weights index`; what was measured is in per cent.\n"
            "# Of images keypoints and matches are numbers, localisation errors in pixels.\n\n"
        )
    )


def test_what_could_not_be_measured_is_left_out(images):
    path = images / "measured.images.json"
    found = json.loads(path.read_text())
    for one in found["images"]["entries"]:
        del one["summary"]["viewpoint"]
        one["summary"]["overall"]["localisation_error"] = None
        one["summary"]["illumination"]["localisation_error"] = None
        one["intervals"] = {}
    path.write_text(json.dumps(found))
    index = gather(images)
    measured = index["networks"]["superpoint"]["measured"]
    assert "localisation_error" not in measured
    assert measured["mma3"] == {"overall": 80.0, "illumination": 40.0}
    assert [row["localisation_error"] for row in pages.rows(index)] == [None] * 3
    assert "| 16.0 | - | 1,235 | 617 |" in pages.table(index)
    page = pages.card("superpoint", index)
    assert "| | overall | 95% interval | illumination |\n| --- | ---: | ---: | ---: |\n" in page
    assert "| MMA@3 | 80.0 | - | 40.0 |\n" in page
    assert "MLE, px" not in page


def test_image_networks_come_behind_patch_networks_which_stay_as_they_are(mixed, measured_weights):
    index, before = shelf.read_index(), gather(measured_weights)
    assert list(index) == [
        *("measurement", "image_measurement", "networks", "peers", "image_peers")
    ]
    assert list(index["networks"]) == ["net", "net.dw", "superpoint", "superpoint.tiny"]
    assert [index["measurement"], index["peers"]] == [before["measurement"], before["peers"]]
    for name in ("net", "net.dw"):
        assert index["networks"][name] == before["networks"][name]
        assert pages.card(name, index) == pages.card(name, before)
    assert patchpages.table(index) == pages.table(before)
    assert index == gather(mixed)


def test_an_index_of_patch_networks_says_nothing_of_images(shelf_folder):
    before = pages.texts(gather(shelf_folder))
    assert list(gather(shelf_folder)) == ["measurement", "networks", "peers"]
    assert before["index.toml"].startswith(
        "# Written by `descompress weights index`; what was measured is in per cent.\n\n"
        "[measurement]\n"
    )
    assert "image" not in before["index.toml"]
    assert "macs_at" not in before["index.toml"]
    (shelf_folder / "measured.images.json").write_text(json.dumps(record(entry("orb"))))
    assert pages.texts(gather(shelf_folder)) == before


def test_image_networks_alone_need_no_record_of_patches(images):
    index = shelf.read_index()
    assert list(index["networks"]) == ["superpoint", "superpoint.tiny"]
    assert (index["measurement"], index["peers"]) == ({}, {})
    assert shelf.find("superpoint") == images / "superpoint.safetensors"


def test_a_record_of_other_networks_alone_adds_nothing(mixed):
    """As where patch networks are shipped elsewhere."""
    for name in ("net", "net.dw"):
        (mixed / f"{name}.safetensors").unlink()
        (mixed / "recipes" / f"{name}.toml").unlink()
    index = gather(mixed)
    assert list(index["networks"]) == ["superpoint", "superpoint.tiny"]
    assert (index["measurement"], index["peers"]) == ({}, {})


def test_a_patch_network_of_ours_may_be_measured_on_images_too(mixed):
    path = mixed / "measured.images.json"
    found = json.loads(path.read_text())
    found["images"]["entries"].append(entry("net", mixed / "net.safetensors"))
    path.write_text(json.dumps(found))
    index = gather(mixed)
    assert list(index["image_peers"]) == ["orb", "net"]
    assert "verification" in index["networks"]["net"]["measured"]
    named = [(row["network"], row["peer"]) for row in imagepages.rows(index)]
    assert named[2:] == [("orb", True), ("net", False)]
    assert "| `net` | 500 (" in imagepages.table(index)
    found["images"]["entries"][-1]["sha256"] = "0"
    path.write_text(json.dumps(found))
    with pytest.raises(ArtifactError, match=r"net\.safetensors: not the file that was measured"):
        gather(mixed)


# --- refusals


def measured(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        run = json.loads((folder / "measured.images.json").read_text())
        change(run)
        (folder / "measured.images.json").write_text(json.dumps(run))

    return edit


def entries(change: Callable[[list[dict[str, Any]]], object]) -> Callable[[Path], None]:
    return measured(lambda run: change(run["images"]["entries"]))


ADVICE = (
    r"`descompress eval NET\.\.\. --sequences ROOT --json measured\.images\.json` writes it, of "
    r"all image networks in one run$"
)
ODD = r"measured\.images\.json: not as `descompress eval` writes it$"


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda f: (f / "measured.images.json").unlink(), rf"cannot be read \(No .*; {ADVICE}"),
        (lambda f: (f / "measured.images.json").write_text("{"), rf"not JSON .*; {ADVICE}"),
        (measured(lambda run: run.update(format=2)), f"not a record of this version; {ADVICE}"),
        (measured(lambda run: run.pop("images")), f"not a record of this version; {ADVICE}"),
        (measured(lambda run: run.update(images=[1])), f"not a record of this version; {ADVICE}"),
        (entries(lambda them: them.clear()), f"not a record of this version; {ADVICE}"),
        (measured(lambda run: run["images"].pop("settings")), ODD),
        (entries(lambda them: them[0].pop("intervals")), ODD),
        (entries(lambda them: them[0]["summary"].pop("overall")), ODD),
        (entries(lambda them: them[2]["summary"]["overall"].update(mma=[0.5])), ODD),
        (entries(lambda them: them.append(3)), ODD),
        (
            entries(lambda them: them.pop(1)),
            rf"superpoint\.safetensors: not in measured\.images\.json; {ADVICE}",
        ),
        (entries(lambda them: them.append(them[2])), r"images\.json: orb is in it twice"),
        (
            entries(lambda them: them[1].update(sha256="0")),
            rf"superpoint\.safetensors: not the file that was measured; {ADVICE}",
        ),
        (
            lambda f: (f / "superpoint.tiny.safetensors").unlink(),
            r"images\.json: measures superpoint\.tiny, which has no file here",
        ),
        (lambda f: (f / "recipes" / "superpoint.toml").unlink(), r"superpoint\.toml: cannot be"),
    ],
)
def test_what_cannot_be_indexed_is_said_in_one_line(images, edit, message):
    edit(images)
    with pytest.raises(ArtifactError, match=message) as error:
        gather(images)
    assert "\n" not in str(error.value)


def test_without_networks_of_a_kind_its_record_is_still_checked(mixed):
    """One that measures a network which is gone is not put by in silence."""
    for name in NETS:
        (mixed / f"{name}.safetensors").unlink()
    with pytest.raises(ArtifactError, match=r"images\.json: measures superpoint, which has no"):
        gather(mixed)


def test_patch_networks_need_their_own_record(mixed):
    run = json.loads((mixed / "measured.json").read_text())
    run["entries"] = [one for one in run["entries"] if one["name"] != "net"]
    (mixed / "measured.json").write_text(json.dumps(run))
    with pytest.raises(ArtifactError, match=r"net\.safetensors: not in measured\.json; .*--patch"):
        gather(mixed)
    (mixed / "measured.json").unlink()
    with pytest.raises(ArtifactError, match=r"measured\.json: cannot be read .* all patch netw"):
        gather(mixed)


@pytest.mark.parametrize("part", ["image_measurement", "image_peers"])
def test_an_index_without_what_image_networks_need_is_damaged(images, part):
    text = (images / "index.toml").read_text()
    (images / "index.toml").write_text(text.replace(f"[{part}", "[other"))
    with pytest.raises(ArtifactError, match=rf"index\.toml: lacks {part}; write it with"):
        shelf.names()


# --- cards and tables

DATA = (
    "10 pairs of 2 sequences (long side 640 px, at most 1,000 keypoints, mutual nearest "
    "neighbours, OpenCV's RANSAC at 3 px, 10 times a pair, the matches in other orders)"
)


def test_a_card_of_an_image_network_has_facts_and_results_of_its_own(images):
    index = shelf.read_index()
    page = (images / "cards" / "superpoint.md").read_text()
    found = index["networks"]["superpoint"]
    assert '```python\nnet = descompress.load("superpoint")\nfind = descompress.finder(net)' in page
    assert (
        f"* parameters: {found['params']:,}; multiply-accumulates of an image of 480 x 640 pixels: "
        f"{found['macs']:,}\n"
    ) in page
    results = page.partition("## What it reaches\n\n")[2]
    assert results.startswith(
        f"On {DATA}, by `{COMMAND}`. Shares are in per cent.\n"
        "\n"
        "| | overall | 95% interval | illumination | viewpoint |\n"
        "| --- | ---: | ---: | ---: | ---: |\n"
        "| MMA@3 | 80.0 | 10.0 to 25.0 | 40.0 | 20.0 |\n"
        "| H@1 | 20.0 | - | 10.0 | 5.0 |\n"
        "| H@3 | 40.0 | 30.0 to 45.7 | 20.0 | 10.0 |\n"
        "| H@5 | 80.0 | - | 40.0 | 20.0 |\n"
        "| repeatability@3 | 16.0 | 5.0 to 50.0 | 8.0 | 4.0 |\n"
        "| MLE, px | 1.23 | - | 1.00 | - |\n"
        "| keypoints | 1,235 | - | 1,000 | 900 |\n"
        "| matches | 617 | - | 500 | 450 |\n"
        "\n"
        "MMA@3: matches at most 3 px off;"
    )


def test_images_as_they_are_and_one_estimate_a_pair_are_said_so(images):
    index = gather(images)
    index["image_measurement"]["settings"] |= {"size": 0, "repeats": 1}
    said = "(images as they are, at most 1,000 keypoints, mutual nearest neighbours, OpenCV's "
    for page in (pages.card("superpoint", index), pages.table(index)):
        assert f"{said}RANSAC at 3 px)" in page


def test_the_table_of_image_networks_compares_with_superpoint(images):
    index = shelf.read_index()
    big, small = (index["networks"][name] for name in NETS)
    scores = "80.0 | 20.0 | 40.0 | 80.0 | 16.0 | 1.23 | 1,235 | 617 |"
    lines = imagepages.table(index).splitlines()
    assert lines[:5] == [
        "| network | parameters | GMACs | KB | MMA@3 | H@1 | H@3 | H@5 | repeatability@3 | "
        "MLE, px | keypoints | matches |",
        "| --- |" + " ---: |" * 11,
        f"| `superpoint` | {big['params']:,} (1.0x) | {big['macs'] / 1e9:.2f} | "
        f"{big['bytes'] / 1000:.0f} | {scores}",
        f"| `superpoint.tiny` | {small['params']:,} ({big['params'] / small['params']:.1f}x) | "
        f"{small['macs'] / 1e9:.2f} | {small['bytes'] / 1000:.0f} | {scores}",
        "| orb (peer) |  |  |  | 12.3 | 3.1 | 6.2 | 12.3 | 2.5 | 1.23 | 1,235 | 617 |",
    ]
    assert lines[6].startswith(f"One run on {DATA}. Shares are in per cent. MMA@3: ")
    assert "GMACs: of an image of 480 x 640 pixels;" in lines[6]
    index["networks"] = {"larger": big, "superpoint": small}
    assert [row["fewer"] < 1 for row in imagepages.rows(index)[:2]] == [True, False]


def test_a_peer_that_is_a_network_has_its_size_in_the_table(images):
    path, peer = images / "measured.images.json", images.parent / "other.safetensors"
    shutil.copy(images / "superpoint.safetensors", peer)
    found = json.loads(path.read_text())
    found["images"]["entries"].append(entry("other", peer))
    path.write_text(json.dumps(found))
    index = gather(images)
    fewer = index["networks"]["superpoint"]["params"] / 500
    assert f"| other (peer) | 500 ({fewer:.1f}x) | 2.50 | 1 |" in imagepages.table(index)


# --- the command


def page_for(*marks: pages.Marks) -> str:
    return "# é\n" + "".join(f"{begin}old\n{end}\ntext\n" for begin, end in marks)


def test_table_prints_both_tables_and_one_list(mixed):
    index = shelf.read_index()
    both = f"{patchpages.table(index)}\n{imagepages.table(index)}"
    assert run("weights", "table").stdout == both
    found = json.loads(run("weights", "table", "--json").stdout)
    assert found == patchpages.rows(index) + imagepages.rows(index)
    assert [row["network"] for row in found] == [
        *("net", "net.dw", "other", "sift", "superpoint", "superpoint.tiny", "orb")
    ]
    assert found[4]["mma3"] == 80.0
    names = [line.split()[0] for line in run("weights", "list").stdout.splitlines()]
    assert names == ["name", "net", "net.dw", "superpoint", "superpoint.tiny"]


@pytest.mark.parametrize("order", [1, -1])
def test_both_tables_go_into_a_page_wherever_their_places_are(mixed, tmp_path, order):
    index, page = shelf.read_index(), tmp_path / "page.md"
    tables = {pages.MARKS: patchpages.table(index), pages.IMAGE_MARKS: imagepages.table(index)}
    marks = [*tables][::order]
    page.write_text(page_for(*marks), encoding="utf-8")
    for _ in range(2):
        assert run("weights", "table", "--into", page).exit_code == 0
        parts = (f"{begin}{tables[begin, end]}{end}\ntext\n" for begin, end in marks)
        assert page.read_text(encoding="utf-8") == "# é\n" + "".join(parts)


@pytest.mark.parametrize(
    ("marks", "missing"),
    [
        ([pages.MARKS], "<!-- image weights table --> and <!-- /image weights table -->"),
        ([pages.IMAGE_MARKS], "<!-- weights table --> and <!-- /weights table -->"),
    ],
)
def test_a_page_that_lacks_one_of_the_places_is_left_alone(mixed, tmp_path, marks, missing):
    page = tmp_path / "page.md"
    page.write_text(page_for(*marks), encoding="utf-8")
    result = run("weights", "table", "--into", page)
    assert result.exit_code == 1
    assert result.stderr == (
        f"Error: {page}: no place for the table: it needs {missing}, once each\n"
    )
    assert page.read_text(encoding="utf-8") == page_for(*marks)


def test_only_the_place_of_a_table_that_there_is_is_asked_for(images, tmp_path):
    index, page = shelf.read_index(), tmp_path / "page.md"
    page.write_text(page_for(pages.IMAGE_MARKS), encoding="utf-8")
    assert run("weights", "table", "--into", page).exit_code == 0
    assert imagepages.table(index) in page.read_text(encoding="utf-8")
    assert run("weights", "table").stdout == imagepages.table(index)
    assert pages.tables(index).keys() == {pages.IMAGE_MARKS}


def test_index_writes_cards_of_both_kinds(mixed):
    result = run("weights", "index")
    assert result.stdout == f"{mixed / 'index.toml'}: net, net.dw, superpoint, superpoint.tiny\n"
    cards = {path.name for path in (mixed / "cards").iterdir()}
    assert cards == {"net.md", "net.dw.md", "superpoint.md", "superpoint.tiny.md"}
