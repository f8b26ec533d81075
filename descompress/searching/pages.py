"""Parts of a web page that needs nothing but itself."""

import re
from collections.abc import Iterable, Sequence
from html import escape

STYLE = """
:root { color-scheme: light dark; --ink: #1c2430; --soft: #5b6675; --line: #d9dee5;
  --page: #ffffff; --band: #f4f6f9; --blue: #2463c4; --orange: #d97706; --green: #15803d;
  --red: #c0262d; --dots: #b3bcc8; }
@media (prefers-color-scheme: dark) { :root { --ink: #e5e9ef; --soft: #9aa6b5; --line: #343d49;
  --page: #14181e; --band: #1c222b; --blue: #7aa7f0; --orange: #f0a040; --green: #4fc27a;
  --red: #f07178; --dots: #55606e; } }
body { margin: 0; background: var(--page); color: var(--ink);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
main { max-width: 60rem; margin: 0 auto; padding: 2rem 1.25rem 4rem; }
h1 { font-size: 1.6rem; line-height: 1.25; margin: 0 0 .5rem; }
h2 { font-size: 1.15rem; margin: 2.4rem 0 .6rem; }
p { margin: .5rem 0; max-width: 46rem; } .soft { color: var(--soft); }
.cards { display: flex; flex-wrap: wrap; gap: .75rem; margin: 1.2rem 0; }
.card { flex: 1 1 9rem; background: var(--band); border-radius: 8px; padding: .7rem .9rem; }
.card b { display: block; font-size: 1.35rem; } .card span { color: var(--soft); }
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: .32rem .7rem .32rem 0; border-bottom: 1px solid var(--line);
  vertical-align: top; overflow-wrap: break-word; }
th { color: var(--soft); font-weight: 600; white-space: nowrap; }
td.n, th.n { text-align: right; white-space: nowrap; } tr.chosen td { font-weight: 600; }
code, pre { font: 13px/1.5 ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; }
pre { background: var(--band); border-radius: 8px; padding: .8rem 1rem; white-space: pre-wrap;
  overflow-wrap: anywhere; }
svg { width: 100%; height: auto; } svg text { fill: var(--soft); font-size: 12px; }
svg .grid { stroke: var(--line); } svg .limit { stroke: var(--red); stroke-dasharray: 5 4; }
svg polyline.front { fill: none; stroke: var(--blue); stroke-width: 1.5; }
svg circle.front { fill: var(--blue); } svg circle.tried { fill: var(--dots); }
svg circle.verified { fill: var(--orange); } svg circle.winner { fill: var(--green); }
svg .shift { stroke: var(--soft); stroke-dasharray: 2 3; }
.key span { margin-right: 1.1rem; white-space: nowrap; }
.key i { display: inline-block; width: .7em; height: .7em; border-radius: 50%; margin-right: .4em; }
summary { cursor: pointer; }
"""


def page(title: str, parts: Iterable[str]) -> str:
    """A whole document; `parts` are HTML."""
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n"
        + "\n".join(parts)
        + "\n</main>\n</body>\n</html>\n"
    )


def heading(text: str) -> str:
    """Of a section."""
    return f"<h2>{escape(text)}</h2>"


def paragraph(text: str, kind: str = "") -> str:
    """A paragraph of plain text."""
    return f'<p class="{kind}">{escape(text)}</p>' if kind else f"<p>{escape(text)}</p>"


def command(text: str) -> str:
    """Something to type."""
    return f"<pre>{escape(text)}</pre>"


def cards(figures: Sequence[tuple[str, str]]) -> str:
    """Figures to see first, each with what it is."""
    inner = "".join(
        f'<div class="card"><b>{escape(figure)}</b><span>{escape(what)}</span></div>'
        for figure, what in figures
    )
    return f'<div class="cards">{inner}</div>'


def table(rows: Sequence[Sequence[str]], chosen: int | None = None) -> str:
    """Rows of plain text, the first being the header; columns of numbers are aligned right.

    Args:
        chosen: The row, from 0 after the header, to be seen first.
    """
    header, *body = rows
    right = [bool(body) and all(_is_number(row[i]) for row in body) for i in range(len(header))]
    lines = [_row(header, right, "th")]
    lines += [
        _row(row, right, "td", " class='chosen'" if i == chosen else "")
        for i, row in enumerate(body)
    ]
    return f'<div class="wide"><table>{"".join(lines)}</table></div>'


def folded(summary: str, inner: str) -> str:
    """What opens when it is asked for."""
    return f"<details><summary>{escape(summary)}</summary>{inner}</details>"


def key(entries: Sequence[tuple[str, str]]) -> str:
    """What the colours of a picture mean: (name of a colour, meaning)."""
    inner = "".join(
        f'<span><i style="background: var(--{colour})"></i>{escape(text)}</span>'
        for colour, text in entries
    )
    return f'<p class="key soft">{inner}</p>'


def _row(cells: Sequence[str], right: Sequence[bool], tag: str, extra: str = "") -> str:
    inner = "".join(
        f"<{tag}{' class=n' if number else ''}>{_breakable(cell)}</{tag}>"
        for cell, number in zip(cells, right, strict=True)
    )
    return f"<tr{extra}>{inner}</tr>"


def _breakable(text: str) -> str:
    """Text that goes on in the next line behind a + or a / where it is too long."""
    return re.sub("[+/]", r"\g<0><wbr>", escape(text))


def _is_number(cell: str) -> bool:
    return cell[:1].isdigit() or cell[:1] == "-" or not cell
