"""What is measured of the shipped networks and their peers, as charts."""

from collections.abc import Iterable, Mapping
from typing import Any

from ..benching.columns import best, quickest
from ..benching.contestants import IMAGES, PATCHES
from ..charts import Chart, Point
from ..errors import ArtifactError
from ..shelf import imagepages, patchpages

FASTEST = "fastest batch and backend"


def patch_chart(index: Mapping[str, Any], record: Mapping[str, Any]) -> Chart:
    """Matching mAP of patch networks.

    Args:
        index: Of the shipped networks.
        record: What `descompress bench` measured.

    Raises:
        ArtifactError: There are no patch networks.
    """
    times = _times(record, PATCHES)
    points = [_point(row, row["matching"], 1e6, times) for row in patchpages.rows(index)]
    costs = "million multiply-accumulates a patch", f"microseconds a patch, {FASTEST}"
    return Chart(_some(points), costs, "matching mAP, %")


def image_chart(index: Mapping[str, Any], record: Mapping[str, Any]) -> Chart:
    """Matches of image networks at most 3 px off.

    Raises:
        ArtifactError: There are no image networks.
    """
    times = _times(record, IMAGES)
    rows = [row for row in imagepages.rows(index) if row["mma3"] is not None]
    points = [_point(row, row["mma3"], 1e9, times) for row in rows]
    costs = "10^9 multiply-accumulates an image", f"milliseconds an image, {FASTEST}"
    return Chart(_some(points), costs, "MMA@3, %")


def _times(record: Mapping[str, Any], kind: str) -> dict[str, float]:
    """The median of the fastest entry of each name."""
    entries = quickest(entry for entry in record["entries"] if entry["kind"] == kind)
    return {entry["name"]: best(entry)["median"] for entry in entries}


def _point(
    row: Mapping[str, Any], accuracy: float, unit: float, times: Mapping[str, float]
) -> Point:
    macs = row["macs"] / unit if row["macs"] else None
    return Point(row["network"], accuracy, (macs, times.get(row["network"])), peer=row["peer"])


def _some(points: Iterable[Point]) -> list[Point]:
    found = list(points)
    if not found:
        raise ArtifactError("no networks of this kind are shipped here")
    return found
