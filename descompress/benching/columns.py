"""Cells of the tables: what a line of the record says to people."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from .contestants import PATCHES

Record: TypeAlias = Mapping[str, Any]
Entry: TypeAlias = Mapping[str, Any]


@dataclass(frozen=True)
class Column:
    """A title, and what stands under it for an entry; "" where there is nothing to say."""

    title: str
    cell: Callable[[Entry], str]


def number(value: float) -> str:
    """Three digits that count, and never fewer than those before the point."""
    digits = 0 if value >= 100 else 1 if value >= 10 else 2
    return f"{value:,.{digits}f}"


def spread(timing: Mapping[str, float]) -> str:
    """The median and the middle half."""
    return f"{number(timing['median'])} ({number(timing['low'])}-{number(timing['high'])})"


def best(entry: Entry) -> Mapping[str, float]:
    """Microseconds a patch in its best batch, or milliseconds an image."""
    if entry["kind"] == PATCHES:
        return entry["microseconds_per_patch"][str(entry["best_batch"])]
    return entry["milliseconds_per_image"]["total"]


def quickest(entries: Iterable[Entry]) -> list[Entry]:
    """Of each name its fastest entry, on the fewest threads; in the order of the names."""
    found: dict[str, Entry] = {}
    for entry in entries:
        other = found.setdefault(entry["name"], entry)
        if (entry["threads"], best(entry)["median"]) < (other["threads"], best(other)["median"]):
            found[entry["name"]] = entry
    return list(found.values())


def columns(record: Record, entries: Sequence[Entry], *, brief: bool) -> list[Column]:
    """The columns for entries of one kind.

    Args:
        brief: For a table of the fastest of each name.
    """
    kind = _patch_columns if entries[0]["kind"] == PATCHES else _image_columns
    threads = [Column("threads", lambda e: str(e["threads"]))]
    return [
        Column("network", _name),
        Column("backend", lambda e: e["on"]),
        *(threads if len(record["settings"]["threads"]) > 1 else []),
        *kind(record, brief=brief),
        *_ratios(record, entries, brief=brief),
        Column("share of peak", _share),
        Column("peak MB", lambda e: _fresh(e, "peak_bytes", 1e-6)),
        Column("cold start, ms", lambda e: _fresh(e, "seconds", 1e3)),
    ]


def _patch_columns(record: Record, *, brief: bool) -> list[Column]:
    batches = record["settings"]["batches"]
    shown = [batch for batch in batches if batch == 1] if brief else batches
    return [
        Column("best: us a patch", lambda e: spread(best(e))),
        Column("in batches of", lambda e: str(e["best_batch"])),
        *(Column(f"us, batch {batch}", _at_batch(batch)) for batch in shown),
    ]


def _image_columns(record: Record, *, brief: bool) -> list[Column]:
    return [
        Column("ms an image", lambda e: spread(best(e))),
        Column("detection (its maps)", _detection),
        Column("description", lambda e: _part(e, "description")),
        Column("matching", lambda e: _part(e, "matching")),
        Column("keypoints", lambda e: f"{e['keypoints']:,}"),
        Column("size", lambda e: "x".join(map(str, e["size"]))),
    ]


def _ratios(record: Record, entries: Sequence[Entry], *, brief: bool) -> list[Column]:
    """How many times as fast; SIFT has a column where it takes part."""
    chosen = {"first": f"x {first_name(entries)}"}
    if not brief:
        chosen["first_same_backend"] = "same backend"
    if any(entry["name"] == "sift" for entry in entries):
        chosen["sift"] = "x SIFT"
    return [Column(title, _ratio(name)) for name, title in chosen.items()]


def first_name(entries: Sequence[Entry]) -> str:
    """The network that ratios are to."""
    networks = [entry for entry in entries if entry["precision"]]
    own = [entry["name"] for entry in networks if not entry["peer"]]
    return next(iter([*own, *(entry["name"] for entry in networks)]), "")


def _name(entry: Entry) -> str:
    return f"{entry['name']} (peer)" if entry["peer"] else entry["name"]


def _at_batch(batch: int) -> Callable[[Entry], str]:
    def cell(entry: Entry) -> str:
        timing = entry["microseconds_per_patch"].get(str(batch))
        return number(timing["median"]) if timing else ""

    return cell


def _ratio(name: str) -> Callable[[Entry], str]:
    def cell(entry: Entry) -> str:
        timing = entry["times_as_fast_as"].get(name)
        return number(timing["median"]) if timing else ""

    return cell


def _part(entry: Entry, part: str) -> str:
    timing = entry["milliseconds_per_image"].get(part)
    return number(timing["median"]) if timing else ""


def _detection(entry: Entry) -> str:
    maps = _part(entry, "maps")
    return _part(entry, "detection") + (f" ({maps})" if maps else "")


def _share(entry: Entry) -> str:
    share = entry["share_of_peak"]
    return f"{share['median']:.2f}" if share else ""


def _fresh(entry: Entry, key: str, unit: float) -> str:
    value = (entry["fresh"] or {}).get(key)
    return "" if value is None else f"{value * unit:,.0f}"
