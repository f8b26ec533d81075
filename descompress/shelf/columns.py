"""What the tables of all networks have in common: whose line it is, and what it costs."""

from collections.abc import Mapping, Sequence
from typing import Any

from hpatches_eval.report import piped

TITLES = ("network", "parameters")
LEGEND = (
    "In brackets: how many times fewer parameters than the first. KB: of the file, 1,000 bytes "
    "each. Peers were evaluated in the same run."
)


def compared(networks: Mapping[str, Any], first: str) -> Mapping[str, Any]:
    """The network that the others are compared with: of that name, or else the largest."""
    return networks.get(first) or next(iter(networks.values()), {})


def size(
    name: str, entry: Mapping[str, Any], first: Mapping[str, Any], *, peer: bool
) -> dict[str, Any]:
    """The begin of a line as plain values; a baseline has no size."""
    params = entry.get("params")
    return {
        "network": name,
        "peer": peer,
        "params": params,
        "fewer": first["params"] / params if params and first else None,
        "macs": entry.get("macs"),
        "bytes": entry.get("bytes"),
    }


def cells(row: Mapping[str, Any], unit: float) -> list[str]:
    """The same for people: network, parameters, multiply-accumulates in `unit`, kilobytes."""
    params, macs, size = row["params"], row["macs"], row["bytes"]
    fewer = f" ({row['fewer']:.1f}x)" if params and row["fewer"] else ""
    return [
        f"{row['network']} (peer)" if row["peer"] else f"`{row['network']}`",
        f"{params:,}{fewer}" if params else "",
        f"{macs / unit:.2f}" if macs else "",
        f"{size / 1e3:,.0f}" if size else "",
    ]


def markdown(titles: Sequence[str], lines: Sequence[Sequence[str]], caption: str) -> str:
    """A table for the README; `caption` says what is measured on what."""
    return f"{piped(titles, lines)}\n\n{caption} {LEGEND}\n"
