import io

import pytest
from rich.console import Console

from hpatches_eval.imagereport import caption, draw, markdown, table


def means(value: float, error: float | None = 1.25) -> dict:
    return {
        "pairs": 5,
        **dict.fromkeys(("repeatability", "nn_map", "matching_score"), value),
        "localisation_error": error,
        "mma": [value + 0.01 * t for t in range(10)],
        "homography": [value - 0.01 * t for t in range(10)],
        "auc": {"1": value, "3": value + 0.1, "5": value + 0.2},
        "keypoints": 998.6,
        "matches": 400.2,
        "inliers": 300.0,
    }


def result(name: str, *, apart: bool = True) -> dict:
    stages = {"detection": 0.012, "description": 0.0034} if apart else {}
    keys = ("repeatability", "mma_3", "homography_3", "nn_map", "matching_score")
    return {
        "name": name,
        "distance": "L2",
        "summary": {
            "overall": means(0.5),
            "illumination": means(0.6),
            "viewpoint": means(0.4, None),
        },
        "intervals": {key: [0.41, 0.62] for key in keys},
        "counts": {"sequences": 11, "images": 66, "pairs": 55},
        "seconds": stages | {"finding": 0.02, "matching": 0.0051},
        "settings": {
            "size": 640,
            "side": "long",
            "keypoints": 1000,
            "repeats": 1,
            "within": 3.0,
            "estimation": {"method": "ransac", "threshold": 3.0, "seed": 0},
            "bootstrap": {"resamples": 1000, "confidence": 0.95, "seed": 0},
        },
    }


RESULTS = [result("net|work"), result("whole", apart=False)]


def test_markdown_has_a_cell_for_each_measure_with_all_its_lines():
    lines = markdown(RESULTS).splitlines()
    assert lines[0].startswith("| per cent | keypoints | matches | repeatability | MLE, px | MMA@3")
    cells = [cell.strip() for cell in lines[2].replace(r"\|", "/").split("|")[1:-1]]
    named = dict(zip([c.strip() for c in lines[0].split("|")[1:-1]], cells, strict=True))
    assert named["per cent"] == "net/work<br>L2<br>illumination<br>viewpoint"
    assert named["keypoints"] == "999<br><br>999<br>999"
    assert named["repeatability"] == "50.0<br>[41.0, 62.0]<br>60.0<br>40.0"
    assert named["MLE, px"] == "1.25<br><br>1.25<br>-"
    assert named["MMA@3"] == "52.0<br>[41.0, 62.0]<br>62.0<br>42.0"
    assert named["H@3"] == "48.0<br>[41.0, 62.0]<br>58.0<br>38.0"
    assert named["H@1/3/5"].startswith("50.0/48.0/46.0<br><br>60.0/58.0/56.0")
    assert named["AUC@1/3/5"].startswith("50.0/60.0/70.0")
    assert named["ms: detect, describe, match"].startswith("12.0, 3.4, 5.1")


def test_where_detection_and_description_are_one_their_sum_stands_for_both():
    assert "| 20.0, 5.1" in markdown(RESULTS).splitlines()[3]


def test_stored_features_have_no_time_but_that_of_matching():
    stored = result("files") | {"seconds": {"matching": 0.0051}}
    assert "| -, 5.1" in markdown([stored])


def test_a_single_group_has_no_further_lines():
    alone = result("a") | {"summary": {"overall": means(0.5)}}
    assert "illumination" not in markdown([alone]).splitlines()[2]


def test_the_terminal_table_says_the_same():
    out = io.StringIO()
    Console(file=out, width=200).print(table(RESULTS))
    for piece in ("net|work", "[41.0, 62.0]", "50.0/48.0/46.0", "12.0, 3.4, 5.1", "viewpoint"):
        assert piece in out.getvalue()


def test_the_caption_says_how_it_was_measured():
    text = caption(RESULTS)
    for piece in ("55 pairs of 11 sequences", "long side 640 px", "1000 keypoints", "RANSAC at 3"):
        assert piece in text
    other = result("a")
    other["settings"] |= {"size": 0, "repeats": 10}
    assert "images as they are" in caption([other])
    assert "10 times a pair" in caption([other])


def test_curves_are_in_per_cent_over_1_to_10_px_for_each_group():
    pytest.importorskip("matplotlib")
    axes = draw(RESULTS).axes
    assert len(axes) == 6
    assert [axis.get_title() for axis in axes[:2]] == [
        "Mean matching accuracy, overall",
        "Mean matching accuracy, illumination",
    ]
    line = axes[5].lines[1]  # homography correctness, viewpoint, the second result
    assert line.get_label() == "whole"
    assert line.get_xdata().tolist() == list(range(1, 11))
    assert line.get_ydata() == pytest.approx([40 - t for t in range(10)])
