import io

import pytest
from rich.console import Console

from hpatches_eval.report import Row, caption, markdown, table


def result(name, value):
    means = {"e": value + 0.1, "h": value, "t": value - 0.1, "mean": value}
    tasks = ("verification", "matching", "retrieval_mean_of_pools", "retrieval_full_pool")
    interval = {key: [value - 0.05, value + 0.05] for key in means}
    return {
        "name": name,
        "distance": "L2",
        "split": "full",
        "summary": {
            task: {k: v - 0.01 * i for k, v in means.items()} for i, task in enumerate(tasks)
        },
        "intervals": dict.fromkeys(tasks, interval) | {"confidence": 0.95},
        "counts": {
            "sequences": 116,
            "patches": 156_000,
            "pairs": 1_000_000,
            "queries": 10_000,
            "distractors": 20_000,
        },
    }


ROWS = [
    Row(result("hardnet", 0.7), {"params": "1,334,560", "MACs": "39.1M"}),
    Row(result("sift|65", 0.5)),
]


def test_markdown_has_a_line_for_each_descriptor_and_empty_cells_where_nothing_is_known():
    lines = markdown(ROWS).splitlines()
    assert lines[0] == (
        "| mAP | params | MACs | verification | matching | retrieval (mean of pools) | "
        "retrieval (full pool) |"
    )
    assert lines[1] == "| --- | ---: | ---: | ---: | ---: | ---: | ---: |"
    assert lines[2].startswith(
        "| hardnet<br>L2 | 1,334,560 | 39.1M | 70.00<br>[65.0, 75.0]<br>80.0/70.0/60.0 | "
        "69.00<br>[65.0, 75.0]<br>79.0/69.0/59.0 |"
    )
    assert lines[3].startswith(
        r"| sift\|65<br>L2 |  |  | 50.00<br>[45.0, 55.0]<br>60.0/50.0/40.0 |"
    )
    assert len({line.replace(r"\|", "").count("|") for line in lines[:4]}) == 1


@pytest.mark.parametrize("width", [100, 200])
def test_the_terminal_table_says_the_same_and_breaks_no_number(width):
    out = io.StringIO()
    Console(file=out, width=width).print(table(ROWS))
    text = out.getvalue()
    for piece in ("hardnet", "1,334,560", "70.00", "[65.0, 75.0]", "80.0/70.0/60.0", "sift|65"):
        assert piece in text


def test_the_caption_says_what_was_measured_and_both_meanings_are_titled():
    text = caption(ROWS)
    for piece in ("95% bootstrap", "Split full: 116 sequences", "1,000,000 pairs", "20,000 distr"):
        assert piece in text
    assert "mean of pools" in markdown(ROWS)
    assert "full pool" in markdown(ROWS)


@pytest.mark.parametrize("columns", [{}, {"compression": "7.7x"}])
def test_columns_are_optional(columns):
    assert ("compression" in markdown([Row(result("a", 0.5), columns)])) == bool(columns)
