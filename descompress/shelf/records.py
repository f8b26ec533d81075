"""What `descompress eval` wrote of the networks of a folder: of patches, and of whole images.

measured.json           of patch networks and their peers, on --patches
measured.images.json    of image networks and their peers, on --sequences
"""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from ..errors import ArtifactError

Numbers: TypeAlias = Mapping[str, Any]

FORMATS = (1,)  # that are read
TASKS = ("verification", "matching", "retrieval_mean_of_pools", "retrieval_full_pool")
LEVELS = {"e": "easy", "h": "hard", "t": "tough"}


@dataclass(frozen=True)
class Kind:
    """Networks that are measured alike.

    Args:
        name: In messages.
        record: The file with their measurement.
        on: What `descompress eval` needs for it.
        part: Of the file, what holds the entries.
        scores: Of an entry; shares in per cent.
        measurement: What all entries of a file share.
    """

    name: str
    record: str
    on: str
    part: Callable[[Numbers], Any]
    scores: Callable[[Numbers], dict[str, Any]]
    measurement: Callable[[Numbers], dict[str, Any]]

    @property
    def advice(self) -> str:
        """How to get the file."""
        return (
            f"`descompress eval NET... {self.on} --json {self.record}` writes it, of all "
            f"{self.name} networks in one run"
        )

    def read(self, folder: Path) -> Numbers:
        """The content of the file; there is at least one entry in it.

        Raises:
            ArtifactError: There is none, or it is something else.
        """
        path = folder / self.record
        try:
            run = json.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise ArtifactError(
                f"{path}: cannot be read ({error.strerror}); {self.advice}"
            ) from error
        except (ValueError, RecursionError) as error:
            raise ArtifactError(f"{path}: not JSON ({error}); {self.advice}") from None
        known = isinstance(run, dict) and run.get("format") in FORMATS
        part = self.part(run) if known else None
        if not isinstance(part, dict) or not part.get("entries"):
            raise ArtifactError(f"{path}: not a record of this version; {self.advice}")
        return run

    def entries(self, run: Numbers, folder: Path) -> dict[str, Any]:
        """What was measured, by name.

        Raises:
            ArtifactError: One of a name is in it twice.
        """
        found = self.part(run)["entries"]
        names = [entry["name"] for entry in found]
        if twice := [name for name in names if names.count(name) > 1]:
            raise ArtifactError(f"{folder / self.record}: {twice[0]} is in it twice")
        return dict(zip(names, found, strict=True))


@dataclass(frozen=True)
class Score:
    """A measure of whole images.

    Args:
        mean: Of the means of a group of pairs; None where there is nothing to measure.
        interval: What the bootstrap interval of its overall mean is called, if there is one.
    """

    mean: Callable[[Numbers], float | None]
    interval: str | None = None


def _cent(share: float) -> float:
    return round(100 * share, 2)


def _curve(name: str, pixels: int) -> Callable[[Numbers], float]:
    """Of a curve that begins at 1 px."""
    return lambda means: _cent(means[name][pixels - 1])


def _located(means: Numbers) -> float | None:
    error = means["localisation_error"]
    return error if error is None else round(error, 2)


SCORES = {
    "mma3": Score(_curve("mma", 3), "mma_3"),
    "homography1": Score(_curve("homography", 1)),
    "homography3": Score(_curve("homography", 3), "homography_3"),
    "homography5": Score(_curve("homography", 5)),
    "repeatability3": Score(lambda means: _cent(means["repeatability"]), "repeatability"),
    "localisation_error": Score(_located),
    "keypoints": Score(lambda means: round(means["keypoints"], 1)),
    "matches": Score(lambda means: round(means["matches"], 1)),
}


def _image_scores(entry: Numbers) -> dict[str, Any]:
    """Overall with its interval, and by what changes; without what could not be measured."""
    scores = {}
    for key, score in SCORES.items():
        summary, interval = dict(entry["summary"]), entry["intervals"].get(score.interval)
        found = {"overall": score.mean(summary.pop("overall"))}
        found |= {"interval": [*map(_cent, interval)]} if interval else {}
        found |= {group: score.mean(means) for group, means in summary.items()}
        scores[key] = {name: value for name, value in found.items() if value is not None}
    return {key: found for key, found in scores.items() if found}


def _image_measurement(run: Numbers) -> dict[str, Any]:
    shared = {key: run["images"][key] for key in ("sequences", "settings", "counts", "versions")}
    return {"command": run["command"], **shared}


def _patch_scores(entry: Numbers) -> dict[str, Any]:
    fpr95 = {name: _cent(rate) for name, rate in entry["fpr95"].items()}
    return {**dict(_tasks(entry["hpatches"])), "fpr95": fpr95}


def _tasks(result: Numbers) -> Iterator[tuple[str, dict[str, Any]]]:
    for task in TASKS:
        means, interval = result["summary"][task], result["intervals"][task]["mean"]
        levels = {name: _cent(means[level]) for level, name in LEVELS.items()}
        yield task, {"mean": _cent(means["mean"]), "interval": [*map(_cent, interval)], **levels}


def _patch_measurement(run: Numbers) -> dict[str, Any]:
    result, patches = run["entries"][0]["hpatches"], run["patches"]
    extraction = {"extraction": patches["extraction"]} if patches["extraction"] else {}
    return {
        "command": run["command"],
        **extraction,
        "sequences": patches["sequences"],
        "counts": result["counts"],
        "phototour": run["phototour"],
        "confidence": result["intervals"]["confidence"],
        "versions": run["versions"],
    }


PATCHES = Kind(
    name="patch",
    record="measured.json",
    on="--patches ROOT",
    part=lambda run: run,
    scores=_patch_scores,
    measurement=_patch_measurement,
)
IMAGES = Kind(
    name="image",
    record="measured.images.json",
    on="--sequences ROOT",
    part=lambda run: run.get("images"),
    scores=_image_scores,
    measurement=_image_measurement,
)
