"""Charts: bars of layers, fronts of accuracy against cost, and the options that draw them."""

import json
import shutil

import cv2
import numpy as np
import pytest
from calls import run

from descompress import charts
from descompress.charts import Chart, Point, front, plot_fronts, plot_layers, short
from descompress.commands.fronts import image_chart, patch_chart
from descompress.costs import cost
from descompress.errors import ArtifactError
from descompress.nets import build
from descompress.shelf import read_index

pytest.importorskip("matplotlib")


@pytest.fixture
def drawn(monkeypatch):
    """Figures in place of files, as they would be saved."""
    figures = []
    monkeypatch.setattr(charts, "_save", lambda figure, path, force: figures.append(figure))
    return figures


def chart() -> Chart:
    points = [
        Point("large", 66.0, (39.0, 500.0)),
        Point("small", 62.0, (1.0, 40.0)),
        Point("worse", 60.0, (5.0, None), peer=True),
        Point("old", 40.0, (None, None), peer=True),
    ]
    return Chart(points, ("MMACs", "microseconds"), "mAP, %")


def test_the_front_is_what_nothing_cheaper_is_as_good_as():
    points = [(5.0, 60.0), (1.0, 50.0), (4.0, 60.0), (9.0, 59.0), (1.0, 55.0), (10.0, 70.0)]
    assert front(points) == [(1.0, 55.0), (4.0, 60.0), (10.0, 70.0)]
    assert front([]) == []


@pytest.mark.parametrize(
    ("count", "said"),
    [(0, "0"), (999, "999"), (1000, "1.00 k"), (39_092_224, "39.1 M"), (512_000_000, "512 M"),
     (26_051_788_800, "26.1 G")],
)  # fmt: skip
def test_counts_have_three_digits_and_a_unit(count, said):
    assert short(count) == said


def test_each_layer_has_a_bar_of_what_it_holds_and_one_of_what_it_computes(drawn):
    nets = {"net": cost(build("l2net")), "small": cost(build("desdis"))}
    plot_layers(nets, "layers.png")
    panels = drawn[0].axes
    assert len(panels) == 4
    for (name, counted), row in zip(nets.items(), (panels[:2], panels[2:]), strict=True):
        for panel, field in zip(row, ("params", "macs"), strict=True):
            widths = [int(bar.get_width()) for bar in panel.patches]
            assert widths == [getattr(layer, field) for layer in counted.layers]
            assert panel.get_title().startswith(f"{name}: {short(sum(widths))} ")
    labels = [label.get_text() for label in panels[0].get_yticklabels()]
    assert labels[0] == "features.0  conv 3x3"
    assert "1.05 M, 79%" in {text.get_text() for text in panels[0].texts}
    assert panels[0].get_xlim() == panels[2].get_xlim()


def test_a_point_stands_at_its_cost_and_one_without_any_is_a_level_line(drawn):
    plot_fronts(chart(), "front.png")
    macs, times = drawn[0].axes
    places = [tuple(c.get_offsets()[0]) for c in macs.collections]
    assert places == [(39.0, 66.0), (1.0, 62.0), (5.0, 60.0)]
    assert len(times.collections) == 2
    for panel in (macs, times):
        assert panel.lines[0].get_ydata() == pytest.approx([62.0, 66.0])
        assert list(panel.lines[1].get_ydata()) == [40.0, 40.0]
    assert {text.get_text() for text in macs.texts} == {"large", "small", "worse", "old"}
    assert {text.get_text() for text in times.texts} == {"large", "small", "old"}
    assert (macs.get_xlabel(), macs.get_ylabel()) == ("MMACs", "mAP, %")


def test_names_of_points_that_are_close_do_not_cover_each_other(drawn):
    points = [Point(f"network.{k}", 60 + 0.4 * k, (1 + 0.1 * k,)) for k in range(4)]
    plot_fronts(Chart(points, ["cost"], "accuracy"), "front.png")
    boxes = [text.get_window_extent() for text in drawn[0].axes[0].texts]
    assert len(boxes) == 4
    for k, box in enumerate(boxes):
        assert not any(box.overlaps(other) for other in boxes[:k])
        assert drawn[0].axes[0].bbox.contains(*box.min)


def test_in_a_crowd_the_best_and_the_peers_keep_their_names(drawn):
    crowd = [
        Point(f"a-long-name-of-a-network.{k}", 60 - 0.01 * k, (2 + 0.02 * k,)) for k in range(9)
    ]
    known = [Point("best", 61.0, (1.9,)), Point("peer", 59.9, (2.1,), peer=True)]
    plot_fronts(Chart([*crowd, *known], ["cost"], "accuracy"), "front.png")
    names = {text.get_text() for text in drawn[0].axes[0].texts}
    assert {"best", "peer"} <= names
    assert len(names) < 11


def test_charts_are_written_with_a_palette(tmp_path):
    plot_fronts(chart(), tmp_path / "front.png")
    assert (tmp_path / "front.png").read_bytes()[25] == 3  # of a PNG: indexed colours
    assert cv2.imread(str(tmp_path / "front.png")).shape[1] == 1100


# -- the options ----------------------------------------------------------------------------------


def test_cost_draws_the_layers_of_files_and_shipped_networks(shelf_folder, tmp_path):
    out = tmp_path / "layers.png"
    assert run("cost", "net", shelf_folder / "net.dw.safetensors", "--plot", out)[0] == 0
    assert cv2.imread(str(out)).shape[1] == 1000
    status, said = run("cost", "net", "--plot", out)
    assert (status, "exists already; --force replaces it" in said) == (1, True)
    before = out.read_bytes()
    assert run("cost", "net", "--plot", out, "--force")[0] == 0
    assert out.read_bytes() != before


def test_cost_refuses_a_place_for_the_picture_before_it_reads_a_network(tmp_path):
    status, said = run("cost", "nowhere", "--plot", tmp_path / "no" / "layers.png")
    assert (status, "there is no folder" in said) == (1, True)


def bench(tmp_path, name: str = "net"):
    def entry(on: str, threads: int, median: float) -> dict:
        timing = {"median": median, "low": median, "high": median}
        return {
            "name": name,
            "on": on,
            "kind": "patches",
            "threads": threads,
            "best_batch": 16,
            "microseconds_per_patch": {"1": {**timing, "median": 99.0}, "16": timing},
        }

    entries = [entry("eager-fp32", 1, 20.0), entry("openvino-int8", 1, 5.0), entry("x", 2, 1.0)]
    record = {"format": 1, "entries": entries, "around": []}
    (tmp_path / "bench.json").write_text(json.dumps(record))
    return tmp_path / "bench.json"


def test_shipped_networks_stand_at_their_measured_accuracy_work_and_time(shelf_folder, tmp_path):
    index = read_index()
    points = patch_chart(index, json.loads(bench(tmp_path).read_text())).points
    by_name = {point.name: point for point in points}
    assert list(by_name) == ["net", "net.dw", "other", "sift"]
    entry = index["networks"]["net"]
    assert by_name["net"].accuracy == entry["measured"]["matching"]["mean"]
    assert by_name["net"].costs == (entry["macs"] / 1e6, 5.0)
    assert by_name["net.dw"].costs[1] is None
    assert by_name["sift"].costs == (None, None)
    assert [p.peer for p in points] == [False, False, True, True]


def test_image_networks_have_a_chart_of_their_own():
    times = {"total": {"median": 81.0}}
    entries = [
        {"kind": "images", "name": "superpoint", "threads": 1, "milliseconds_per_image": times}
    ]
    chart = image_chart(read_index(), {"entries": entries})
    first = next(point for point in chart.points if point.name == "superpoint")
    assert first.costs == (pytest.approx(26.05, abs=0.01), 81.0)
    assert "hardnet" not in {point.name for point in chart.points}


def test_weights_plot_draws_them(shelf_folder, tmp_path):
    out = tmp_path / "front.png"
    assert run("weights", "plot", out, "--bench", bench(tmp_path))[0] == 0
    assert np.ptp(cv2.imread(str(out))) == 255
    assert run("weights", "plot", out, "--bench", bench(tmp_path))[0] == 1
    shutil.copy(bench(tmp_path), shelf_folder / "bench.json")
    assert run("weights", "plot", out, "--force")[0] == 0


def test_weights_plot_without_a_run_or_networks_of_the_kind_is_one_line(shelf_folder, tmp_path):
    status, said = run("weights", "plot", tmp_path / "p.png", "--bench", tmp_path / "none.json")
    assert (status, "descompress bench NET... --json" in said) == (1, True)
    with pytest.raises(ArtifactError, match="no networks of this kind"):
        image_chart(read_index(), {"entries": []})
    status, said = run(
        "weights", "plot", tmp_path / "p.png", "--images", "--bench", bench(tmp_path)
    )
    assert (status, len(said.splitlines())) == (1, 1)
    assert not (tmp_path / "p.png").exists()
