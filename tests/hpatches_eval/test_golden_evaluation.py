"""What the reference benchmark printed for real patches, in ../shared/golden."""

import json

import pytest

from hpatches_eval.csvfolder import CsvFolder
from hpatches_eval.descriptors import load
from hpatches_eval.evaluation import evaluate
from hpatches_eval.splits import find_split
from hpatches_eval.tasklists import Tasks, read_retrieval, read_verification

TOLERANCE = 1e-9  # asked for: 1e-6


@pytest.fixture(scope="module")
def golden(shared):
    folder = shared / "golden"
    return folder, json.loads((folder / "expected.json").read_text())


def largest_difference(found, expected):
    if isinstance(expected, dict):
        assert found.keys() == expected.keys()
        return max(largest_difference(found[key], expected[key]) for key in expected)
    if isinstance(expected, list):
        assert len(found) == len(expected)
        return max(map(largest_difference, found, expected))
    return abs(found - expected)


@pytest.mark.parametrize("distance", ["L2", "L1"])
@pytest.mark.parametrize("name", ["sift", "coarse", "unit"])
def test_every_number_of_the_reference_is_reproduced(golden, name, distance):
    folder, expected = golden
    split = find_split("golden", folder / "splits.json")
    descriptors = load(CsvFolder(folder / "descriptors" / name), split.test)
    tasks = Tasks(
        split,
        read_verification(folder / "tasks", split, descriptors.counts),
        read_retrieval(folder / "tasks", split, descriptors.counts),
    )
    result = evaluate(descriptors, tasks, distance=distance)
    for task, numbers in expected[f"{name}-{distance}"].items():
        assert largest_difference(result[task], numbers) < TOLERANCE, task
