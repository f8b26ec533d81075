"""Tables of results, in per cent: as rich text for a terminal, and as Markdown."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .patches import DIFFICULTIES

if TYPE_CHECKING:
    from rich.table import Table

TASKS = {
    "verification": "verification",
    "matching": "matching",
    "retrieval_mean_of_pools": "retrieval (mean of pools)",
    "retrieval_full_pool": "retrieval (full pool)",
}


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the table.

    Args:
        result: As `evaluate` gives it.
        columns: What else to say about it, such as params and MACs; text by title.
    """

    result: Mapping[str, Any]
    columns: Mapping[str, str] = field(default_factory=dict)


def table(rows: Sequence[Row]) -> "Table":
    """A table to print with rich."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    extra = _extra(rows)
    out = Table(box=SIMPLE_HEAD, caption=caption(rows), caption_justify="left")
    out.add_column("mAP", overflow="fold")
    for title in (*extra, *TASKS.values()):
        out.add_column(title, justify="right")
    for row in rows:
        out.add_row(*_cells(row, extra, "\n"), end_section=True)
    return out


def markdown(rows: Sequence[Row]) -> str:
    """The same table for a README."""
    extra = _extra(rows)
    titles = ["mAP", *extra, *TASKS.values()]
    return f"{piped(titles, [_cells(row, extra, '<br>') for row in rows])}\n\n{caption(rows)}\n"


def piped(titles: Sequence[str], lines: Iterable[Sequence[str]], words: int = 1) -> str:
    """A Markdown table, without a line break at its end.

    Args:
        words: Columns that are aligned to the left, the first ones.
    """
    rule = [*(["---"] * words), *("---:" for _ in titles[words:])]
    cells = ([cell.replace("|", "\\|") for cell in line] for line in lines)
    return "\n".join(f"| {' | '.join(line)} |" for line in (titles, rule, *cells))


def caption(rows: Sequence[Row]) -> str:
    """What the numbers mean and what they were measured on."""
    first = rows[0].result
    counts, intervals = first["counts"], first["intervals"]
    return (
        "Per cent: the mean over Easy, Hard and Tough, its "
        f"{intervals['confidence']:.0%} bootstrap interval over sequences, and Easy/Hard/Tough. "
        f"Verification is imbalanced, mean of inter and intra. Split "
        f"{first['split']}: {counts['sequences']:,} sequences, {counts['patches']:,} points, "
        f"{counts['pairs']:,} pairs of each kind, {counts['queries']:,} queries, "
        f"{counts['distractors']:,} distractors."
    )


def _extra(rows: Sequence[Row]) -> list[str]:
    return list(dict.fromkeys(title for row in rows for title in row.columns))


def _cells(row: Row, extra: Sequence[str], newline: str) -> list[str]:
    means, intervals = row.result["summary"], row.result["intervals"]
    return [
        f"{row.result['name']}{newline}{row.result['distance']}",
        *(str(row.columns.get(title, "")) for title in extra),
        *(_score(means[task], intervals[task]["mean"], newline) for task in TASKS),
    ]


def _score(means: Mapping[str, float], interval: Sequence[float], newline: str) -> str:
    low, high = (100 * end for end in interval)
    levels = "/".join(f"{100 * means[level]:.1f}" for level in DIFFICULTIES)
    return newline.join([f"{100 * means['mean']:.2f}", f"[{low:.1f}, {high:.1f}]", levels])
