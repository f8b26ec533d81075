import json
from dataclasses import replace

import numpy as np
import pytest
from tiny_sequences import SHAPE, grid, write_sequences

from hpatches_eval.errors import DataError, RequestError
from hpatches_eval.featurefiles import open_features
from hpatches_eval.features import Features
from hpatches_eval.finders import classical
from hpatches_eval.geometry import Estimation
from hpatches_eval.imageevaluation import LARGE, ImageSettings, evaluate_images, without_large
from hpatches_eval.sequences import ImageSequence, find_sequences

AS_THEY_ARE = ImageSettings(size=0)


@pytest.fixture(scope="module")
def sequences(tmp_path_factory):
    return find_sequences(write_sequences(tmp_path_factory.mktemp("sequences")))


def in_turn(*found: Features):
    """A finder that gives these one after the other, whatever the image."""
    left = list(found)
    return lambda image: left.pop(0)


def moved(step: tuple[float, float]) -> list[Features]:
    return [grid(shift=(step[0] * k, step[1] * k)) for k in range(6)]


def one(finder, sequences, settings=AS_THEY_ARE):
    return evaluate_images({"it": finder}, sequences, settings)[0]


def test_features_that_move_as_the_scene_does_are_perfect_in_every_measure(sequences):
    result = one(in_turn(*moved((0, 0)), *moved((4, 2))), sequences)
    assert set(result["summary"]) == {"overall", "illumination", "viewpoint"}
    for means in result["summary"].values():
        for key in ("repeatability", "symmetric_repeatability", "nn_map", "matching_score"):
            assert means[key] == pytest.approx(1)
        assert means["mma"] == means["homography"] == [1] * 10
        assert means["auc"] == pytest.approx({"1": 1, "3": 1, "5": 1}, abs=1e-6)
        assert means["localisation_error"] == pytest.approx(0, abs=1e-4)
    assert result["counts"] == {"sequences": 2, "images": 12, "pairs": 10}
    assert [p["image"] for p in result["pairs"]] == [2, 3, 4, 5, 6] * 2


def test_features_two_pixels_off_have_the_numbers_that_follow_from_that(sequences):
    off = [grid(), *([grid(shift=(2, 0))] * 5)]
    means = one(in_turn(*off), sequences[:1])["summary"]["overall"]
    assert means["mma"] == [0] + [1] * 9
    assert means["localisation_error"] == pytest.approx(2)
    assert means["homography"][0] == 0
    assert means["homography"][2:] == [1] * 8
    # five errors of 2: (0, 0) to (2, 1/5), up to (2, 1), on to (3, 1): 1/5 + 1 of 3
    assert means["auc"] == pytest.approx({"1": 0, "3": 0.4, "5": 3.2 / 5}, abs=1e-3)
    assert means["matches"] == means["inliers"] == means["keypoints"] == len(grid().keypoints)


def test_groups_are_by_what_changes(sequences):
    off = [grid(), *([grid(shift=(5, 0))] * 5)]
    summary = one(in_turn(*off, *moved((4, 2))), sequences)["summary"]
    assert [summary[g]["mma"][2] for g in ("illumination", "viewpoint")] == [0, 1]
    assert summary["overall"]["mma"][2] == 0.5
    assert [summary[g]["pairs"] for g in summary] == [10, 5, 5]


def test_a_finder_that_finds_nothing_scores_nothing_and_is_no_error(sequences):
    empty = Features(*(np.zeros(shape, np.float32) for shape in ((0, 2), (0, 8), 0)))
    result = one(lambda image: empty, sequences)
    means = result["summary"]["overall"]
    assert means["localisation_error"] is None
    assert means["repeatability"] == means["nn_map"] == means["matching_score"] == 0
    assert means["mma"] == means["homography"] == [0] * 10
    assert result["pairs"][0]["corner_errors"] == [None]
    json.dumps(result, allow_nan=False)


def test_the_order_of_the_features_changes_nothing(sequences):
    def shuffled(finder):
        rng = np.random.default_rng(0)

        def find(image):
            found = finder(image)
            order = rng.permutation(len(found.scores))
            return Features(*(getattr(found, k)[order] for k in KEYS))

        return find

    finder = in_turn(*moved((0, 0)), *moved((3.5, 2.5)))
    again = in_turn(*moved((0, 0)), *moved((3.5, 2.5)))
    first, second = (one(f, sequences)["summary"] for f in (finder, shuffled(again)))
    assert first == second


KEYS = ("keypoints", "descriptors", "scores")


def test_only_the_strongest_count(sequences):
    few = one(lambda image: grid(), sequences[:1], replace(AS_THEY_ARE, keypoints=7))
    assert few["pairs"][0]["keypoints"] == [7, 7]


def test_finders_see_the_image_in_the_size_asked_for(sequences):
    shapes = set()

    def find(image):
        shapes.add(image.shape)
        return grid()

    one(find, sequences[:1], ImageSettings(size=120))
    one(find, sequences[:1], ImageSettings(size=80, side="short"))
    one(find, sequences[:1], AS_THEY_ARE)
    assert shapes == {(80, 120), SHAPE}


def test_stored_keypoints_are_of_the_image_on_disk_and_follow_its_resizing(sequences, tmp_path):
    for name, step in (("i_one", (0, 0)), ("v_two", (4, 2))):
        (tmp_path / name).mkdir()
        for k, found in enumerate(moved(step), 1):
            np.savez(tmp_path / name / f"{k}.npz", **{key: getattr(found, key) for key in KEYS})
    result = one(open_features(tmp_path), sequences, ImageSettings(size=123))
    means = result["summary"]["viewpoint"]
    assert means["mma"] == means["homography"] == [1] * 10
    assert means["localisation_error"] == pytest.approx(0, abs=1e-3)
    assert "finding" not in result["seconds"]


def test_real_features_of_a_shifted_scene_are_mostly_right(sequences):
    means = one(classical("sift", 200), sequences)["summary"]["viewpoint"]
    assert means["mma"][2] > 0.9
    assert means["homography"][2] == 1


@pytest.mark.parametrize("method", ["ransac", "magsac"])
def test_repeats_estimate_with_one_seed_after_the_other(sequences, method):
    settings = replace(AS_THEY_ARE, repeats=3, estimation=Estimation(method, seed=4))
    rng = np.random.default_rng(0)
    noisy = [replace(f, keypoints=f.keypoints + rng.normal(0, 2, f.keypoints.shape)
                     .astype(np.float32)) for f in moved((0, 0))]  # fmt: skip
    pairs = one(in_turn(*noisy), sequences[:1], settings)["pairs"]
    again = replace(settings, repeats=1, estimation=Estimation(method, seed=6))
    last = one(in_turn(*noisy), sequences[:1], again)["pairs"]
    assert [p["corner_errors"][2:] for p in pairs] == [p["corner_errors"] for p in last]
    assert any(len(set(p["corner_errors"])) > 1 for p in pairs)


def test_the_mean_over_repeats_is_what_is_given(sequences):
    settings = replace(AS_THEY_ARE, repeats=4)
    result = one(classical("orb", 60), sequences, settings)
    errors = np.array([[e or np.inf for e in p["corner_errors"]] for p in result["pairs"]], float)
    assert errors.shape == (10, 4)
    assert result["summary"]["overall"]["homography"][2] == pytest.approx(np.mean(errors < 3))


def test_intervals_are_of_resampled_sequences(sequences):
    off = [grid(), *([grid(shift=(5, 0))] * 5)]
    result = one(in_turn(*off, *moved((4, 2))), sequences)
    assert result["intervals"]["mma_3"] == [0, 1]  # both sequences can be drawn twice
    same = one(in_turn(*moved((0, 0)), *moved((4, 2))), sequences)
    assert same["intervals"]["mma_3"] == [1, 1]


def test_seconds_are_means_by_stage_and_the_finder_s_own_where_it_tells(sequences):
    def find(image):
        return replace(grid(), seconds={"detection": 2.0, "description": 0.5})

    seconds = one(find, sequences)["seconds"]
    assert (seconds["detection"], seconds["description"]) == (2, 0.5)
    assert {"finding", "matching", "estimation"} <= seconds.keys()
    assert seconds["finding"] < 1


def test_several_finders_are_told_apart_and_progress_counts_sequences(sequences):
    told = []
    finders = {"a": classical("orb", 20), "b": lambda image: grid()}
    results = evaluate_images(finders, sequences, AS_THEY_ARE, lambda *p: told.append(p))
    assert [(r["name"], r["distance"], r["dim"]) for r in results] == [
        ("a", "Hamming", 256),
        ("b", "L2", 8),
    ]
    assert told == [(f"images of {n}", k, 2) for n in "ab" for k in (1, 2)]


def test_what_a_result_was_made_with_is_in_it(sequences):
    result = one(lambda image: grid(), sequences[:1], ImageSettings(size=200))
    assert result["settings"]["size"] == 200
    assert result["settings"]["estimation"] == {"method": "ransac", "threshold": 3, "seed": 0}
    assert {"numpy", "opencv"} <= result["versions"].keys()


def test_d2_net_s_protocol_drops_eight_sequences(tmp_path):
    assert len(LARGE) == 8
    paths = [tmp_path / name for name in ("i_dc", "i_dome", "v_talent", "v_wall")]
    kept = without_large([ImageSequence(path) for path in paths])
    assert [sequence.name for sequence in kept] == ["i_dome", "v_wall"]


@pytest.mark.parametrize("key", ["keypoints", "descriptors", "scores"])
def test_numbers_that_are_not_finite_are_refused_with_the_finder_and_the_image(sequences, key):
    def find(image):
        found = grid()
        getattr(found, key)[3] = np.nan
        return found

    with pytest.raises(DataError, match=f"it: i_one/1: {key} that are not finite"):
        one(find, sequences)


def test_without_sequences_there_is_nothing_to_do():
    with pytest.raises(RequestError, match="no sequences"):
        evaluate_images({"it": lambda image: grid()}, [])


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"size": -1}, "size -1: 0, or 16 to 16,384 pixels"),
        ({"size": 99_999_999}, "size 99999999"),
        ({"size": 15}, "size 15"),
        ({"side": "wide"}, "side 'wide': there are long, short"),
        ({"keypoints": 0}, "keypoints 0: 1 to 16,777,216"),
        ({"keypoints": 99_999_999_999}, "keypoints 99999999999: 1 to"),
        ({"repeats": 0}, "repeats 0: at least 1"),
    ],
)
def test_settings_that_make_no_sense_are_refused(changed, message):
    with pytest.raises(RequestError, match=message):
        ImageSettings(**changed)


@pytest.mark.parametrize(
    ("name", "accuracy", "repeated"), [("rootsift", 52.4, 48.2), ("orb", 53.4, 67.6)]
)
@pytest.mark.slow
def test_classical_features_measure_on_real_sequences_what_others_measured(
    shared, name, accuracy, repeated
):
    found = find_sequences(shared / "sequences")
    means = one(classical(name, 1000), found, ImageSettings())["summary"]["overall"]
    assert 100 * means["mma"][2] == pytest.approx(accuracy, abs=0.1)
    assert 100 * means["repeatability"] == pytest.approx(repeated, abs=0.1)
