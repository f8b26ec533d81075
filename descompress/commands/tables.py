"""Numbers as aligned text."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..costs import Cost


def table(rows: list[tuple[str, ...]]) -> str:
    """Rows of cells as aligned columns; columns of numbers are aligned at their right ends."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(_line(row, widths) for row in rows)


def layer_table(cost: "Cost") -> str:
    """What each layer costs, and all of them."""
    rows = [("layer", "kind", "params", "MACs", "output")]
    for layer in cost.layers:
        counts = f"{layer.params:,}", f"{layer.macs:,}"
        rows.append((layer.name, layer.kind, *counts, "x".join(map(str, layer.shape))))
    rows.append(("all", "", f"{cost.params:,}", f"{cost.macs:,}", ""))
    return table(rows)


def _line(row: tuple[str, ...], widths: list[int]) -> str:
    cells = [
        cell.rjust(width) if cell[:1].isdigit() and "x" not in cell else cell.ljust(width)
        for cell, width in zip(row, widths, strict=True)
    ]
    return "  ".join(cells).rstrip()
