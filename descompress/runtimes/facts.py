"""What an exported network says of itself, under one key of its ONNX metadata."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, get_args

from ..errors import ArtifactError

KEY, FORMAT = "descompress", 1
Kind = Literal["patches", "images"]
Precision = Literal["fp32", "int8"]


@dataclass(frozen=True)
class Facts:
    """What an exported network reads and writes.

    Args:
        kind: "patches" reads `patches`, float32 (b, 1, 32, 32) in any grey unit, and writes
            `descriptors` (b, dim). "images" reads `images`, float32 (b, 1, h, w), grey in [0, 1],
            h and w multiples of `cell`, and writes `scores` (b, 1, h, w), the probability that a
            pixel is a keypoint, and `descriptors` (b, dim, h / cell, w / cell), unit vectors.
        spec: Of the network, as `Spec.to_json` says it.
        dim: Length of the descriptors.
        precision: Of most of the convolutions.
        name: Of the file that was exported, without its ending.
        cell: Pixels on a side of a cell of the maps; 0 for patches.
    """

    kind: Kind
    spec: str
    dim: int
    precision: Precision = "fp32"
    name: str = ""
    cell: int = 0

    def to_json(self) -> str:
        """One line of JSON."""
        return json.dumps({"format": FORMAT, **asdict(self)}, sort_keys=True)

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, str], where: str) -> "Facts":
        """The facts in the metadata of an ONNX file.

        Raises:
            ArtifactError: There are none, or they are not what `descompress export` writes.
        """
        if KEY not in metadata:
            raise ArtifactError(
                f"{where}: says nothing of what it reads and writes; write it with "
                "`descompress export`"
            )
        try:
            said = json.loads(metadata[KEY])
        except (ValueError, RecursionError):
            said = None
        if not isinstance(said, dict) or said.pop("format", None) != FORMAT or not _fits(said):
            raise ArtifactError(f"{where}: its metadata are not of format {FORMAT}, or damaged")
        return cls(**said)


_KINDS: dict[str, Any] = {"kind": Kind, "precision": Precision}


def _fits(said: Mapping[str, Any]) -> bool:
    types = {f.name: int if f.name in ("dim", "cell") else str for f in fields(Facts)}
    return (
        said.keys() == types.keys()
        and all(type(said[name]) is kind for name, kind in types.items())
        and all(said[name] in get_args(kind) for name, kind in _KINDS.items())
        and said["dim"] > 0
        and (said["cell"] > 0) == (said["kind"] == "images")
    )
