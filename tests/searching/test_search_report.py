"""The page a team decides from: whole, well-formed, and in need of nothing else."""

import re
import sys
from html.parser import HTMLParser

import pytest
import torch

from descompress.nets import build
from descompress.pruning.budgets import Budget
from descompress.searching import Answer, Search, drawing, pages
from descompress.searching.drawing import Mark, Picture, as_svg, ticks, write_png
from descompress.searching.notebooks import Notebook
from descompress.searching.outcomes import additivity, front_rows
from descompress.searching.reports import report
from descompress.searching.tables import Choice, Table
from descompress.spec import Spec

LAYERS = {"2": ("cdp:alpha=2", 0.25), "4": ("depthwise:multiplier=1", 0.5)}
NAME = "net <script>&.safetensors"
COMMAND = "descompress search 'net <script>&.safetensors' out --max-latency 0.5x"


class Page(HTMLParser):
    """What a browser would find."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open, self.tags, self.attributes, self.text = [], [], [], ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in {"meta", "wbr"}:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def found(share, loss):
    return {"share": share, "loss": loss, "served": loss + 0.01, "macs": 500, "params": 50,
            "matching": 0.7}  # fmt: skip


@pytest.fixture(scope="module")
def answer(tmp_path_factory):
    spec = Spec("strided", {"widths": (6, 8), "strides": (4, 4), "kernels": (3, 3), "dim": 8})
    torch.manual_seed(0)
    search = Search(build(spec).eval(), NAME, Budget.parse("latency", "0.5x"), trials=4)
    notebook = Notebook(tmp_path_factory.mktemp("notes"), {})
    whole = {"seconds": 0.02, "batch": 64, "served": 0.001, "macs": 1000, "params": 100}
    notebook.note("whole", whole | {"matching": 0.8})
    for layer, (method, loss) in LAYERS.items():
        costs = {"share": 0.7, "macs": 700, "params": 70, "loss": loss}
        notebook.note_choice(layer, method, costs)
    both = {layer: method for layer, (method, _) in LAYERS.items()}
    one = both | {"4": "keep"}
    notebook.note("verified", {"cdp:alpha=2@2+depthwise:multiplier=1@4": found(0.45, 0.6),
                               "cdp:alpha=2@2": found(0.72, 0.3)})  # fmt: skip
    table = Table(
        0.02,
        {
            layer: [Choice("keep", 0.0, 0.0), Choice(method, loss, 0.006)]
            for layer, (method, loss) in LAYERS.items()
        },
    )
    keep = dict.fromkeys(LAYERS, "keep")
    return Answer(search, notebook, table, 0.01, [keep, one, both], [both, one])


def test_a_page_is_well_formed_and_refers_to_nothing_outside(answer):
    text = report(answer, COMMAND)
    page = Page(text)
    assert page.open == []
    assert not {"script", "link", "iframe", "object", "embed", "img", "base"} & set(page.tags)
    assert not {name for name, _ in page.attributes} & {"src", "href", "srcset", "data", "action"}
    assert "url(" not in text
    assert "@import" not in text
    assert not re.search(r"https?:|//\w", text)
    assert {"svg", "table", "style", "details"} <= set(page.tags)


def test_a_page_says_what_was_asked_found_and_verified(answer):
    said = " ".join(Page(report(answer, COMMAND)).text.split())
    for part in (
        COMMAND,
        f"{NAME}: 1,000 MACs, 100 parameters",
        "asked was at most 10 ms",
        "costs 9 ms, 0.45x of the network",
        "cdp:alpha=2@2+depthwise:multiplier=1@4",
        "14.4 ms (over the budget)",
        "70.0%",
        "was 80.0%",
        "measured losses were 1.20 times the expected ones (median), and 1 of 1 pairs",
        "descompress distill recipe.toml",
        "python",
    ):
        assert part in said, part


def test_expected_and_measured_losses_are_compared(answer):
    # 0.6 for 0.75 and 0.3 for 0.25; the larger stays the larger
    assert additivity(answer) == (pytest.approx(1.2), 1, 1)


def test_a_front_is_a_table(answer):
    assert front_rows(answer) == [
        ("expected loss", "cost", "of the whole", "recipe"),
        ("0.0000", "20 ms", "1.000x", "as it is"),
        ("0.2500", "14 ms", "0.700x", "cdp:alpha=2@2"),
        ("0.7500", "8 ms", "0.400x", "cdp:alpha=2@2+depthwise:multiplier=1@4"),
    ]


PICTURE = Picture(
    "ms", 5.0, [(8.0, 0.1)], [(2.0, 1.0), (10.0, 0.0)], [Mark("a<b", (4.0, 0.25), (5.0, 0.25))]
)


def test_a_picture_has_its_points_where_they_belong():
    page = Page(as_svg(PICTURE))
    assert page.open == []
    circles = re.findall(r'<circle class="(\w+)" cx="([\d.]+)" cy="([\d.]+)"', as_svg(PICTURE))
    places = {(kind, i): (float(x), float(y)) for i, (kind, x, y) in enumerate(circles)}
    (_, tried), (_, high), (_, low), (_, winner) = sorted(places.items(), key=lambda p: p[0][1])
    assert high[0] < winner[0] < tried[0] < low[0]  # by cost
    assert high[1] < winner[1] < tried[1] < low[1]  # a larger loss is higher up
    bottom, top = drawing.HEIGHT - drawing.BOTTOM, high[1]
    assert (bottom - winner[1]) / (bottom - top) == pytest.approx(0.5, abs=0.01)  # sqrt(0.25)
    assert "a&lt;b" in as_svg(PICTURE)


@pytest.mark.parametrize(
    ("top", "known"),
    [(1.0, [0, 0.2, 0.4, 0.6, 0.8, 1.0]), (7.0, [0, 2, 4, 6]),
     (0.05, [0.01 * i for i in range(6)])],
)  # fmt: skip
def test_ticks_are_round(top, known):
    assert ticks(top) == pytest.approx(known)


def test_a_picture_is_written_where_matplotlib_is_there(tmp_path, monkeypatch):
    assert write_png(PICTURE, tmp_path / "front.png")
    assert (tmp_path / "front.png").read_bytes()[1:4] == b"PNG"
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert not write_png(PICTURE, tmp_path / "no.png")
    assert not (tmp_path / "no.png").exists()


def test_columns_of_numbers_are_aligned_right():
    text = pages.table([("name", "n"), ("a", "1"), ("b", "2 ms")], chosen=1)
    assert "<th class=n>n</th>" in text
    assert "<td>b</td><td class=n>2 ms</td>" in text
    assert text.count("<tr class='chosen'>") == 1
