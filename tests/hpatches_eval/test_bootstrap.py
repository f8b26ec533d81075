import numpy as np
import pytest
from tiny_release import random_descriptors

from hpatches_eval.distances import DISTANCES
from hpatches_eval.evaluation import evaluate
from hpatches_eval.generation import generate_retrieval, generate_verification
from hpatches_eval.intervals import (
    Bootstrap,
    matching_resamples,
    retrieval_resamples,
    verification_resamples,
)
from hpatches_eval.metrics import ap
from hpatches_eval.progress import silent
from hpatches_eval.splits import Split
from hpatches_eval.tasklists import Tasks
from hpatches_eval.tasks import (
    POOLS,
    imbalanced,
    retrieval,
    verification_distances,
    verification_scores,
)

COUNTS = {f"v_{i}": 20 + i for i in range(6)}
SPLIT = Split("six", tuple(COUNTS))


@pytest.fixture(scope="module")
def tasks():
    retrieval_lists, _ = generate_retrieval(SPLIT, {k: np.ones(n, bool) for k, n in COUNTS.items()})
    return Tasks(SPLIT, generate_verification(SPLIT, COUNTS, 3000), retrieval_lists)


@pytest.fixture(scope="module")
def descriptors():
    return random_descriptors(COUNTS, 8, noise=1.2)


def test_every_resample_draws_as_many_sequences_as_there_are():
    times = Bootstrap(resamples=50).draw(7)
    assert times.shape == (50, 7)
    assert (times.sum(axis=1) == 7).all()
    assert len(np.unique(times, axis=0)) > 40


def test_a_seed_gives_the_same_resamples():
    assert np.array_equal(Bootstrap(seed=3).draw(9), Bootstrap(seed=3).draw(9))
    assert not np.array_equal(Bootstrap(seed=3).draw(9), Bootstrap(seed=4).draw(9))


def test_an_interval_holds_the_middle_of_the_values():
    assert Bootstrap(confidence=0.9).interval(np.arange(101.0)) == pytest.approx([5, 95])


def test_matching_resamples_by_hand():
    split = Split("two", ("v_a", "v_b"))
    pairs = {
        "v_a": {d: [0.2] * 5 for d in "eht"},
        "v_b": {d: [0.0, 1.0] * 2 + [0.5] for d in "eht"},
    }
    found = matching_resamples(np.array([[1, 1], [2, 0], [0, 2]]), split, pairs)
    assert found == pytest.approx(np.array([[0.35] * 3, [0.2] * 3, [0.5] * 3]))


def test_retrieval_resamples_weigh_queries_of_a_sequence(tasks, descriptors):
    values = retrieval(descriptors, SPLIT, tasks.retrieval, DISTANCES["L2"], silent)
    times = np.array([[1, 1, 1, 1, 1, 1], [3, 0, 2, 0, 1, 0]])
    mean, full = retrieval_resamples(times, tasks, values)
    weight = times[:, tasks.retrieval.queries[:, 0]]
    for row in range(2):
        expected = np.average(values, axis=2, weights=weight[row])
        assert mean[row] == pytest.approx(expected.mean(axis=1))
        assert full[row] == pytest.approx(expected[:, len(POOLS) - 1])


def test_verification_resamples_are_close_to_pairs_repeated(tasks, descriptors):
    far = verification_distances(descriptors, SPLIT, tasks.verification, DISTANCES["L2"], silent)
    scores = verification_scores(far)
    times = np.array([[1, 1, 1, 1, 1, 1], [3, 0, 2, 0, 1, 0], [0, 4, 0, 0, 0, 2]])
    found = verification_resamples(times, tasks, far, scores)
    kept = imbalanced(far.positives.shape[1])
    lists = tasks.verification
    for row, weight in enumerate(times):
        for i in range(3):
            both = []
            for kind in ("inter", "intra"):
                anchors = getattr(lists, kind)[:, 0], lists.positives[:kept, 0]
                apart = getattr(far, kind)[i], far.positives[i, :kept]
                repeated = [np.repeat(x, weight[a]) for x, a in zip(apart, anchors, strict=True)]
                labels = np.arange(sum(map(len, repeated))) >= len(repeated[0])
                both.append(ap(-np.concatenate(repeated), labels))
            # exact where every sequence counts once, and within the bins' width elsewhere
            assert found[row, i] == pytest.approx(np.mean(both), abs=1e-12 if row == 0 else 1e-3)


def test_intervals_contain_the_measured_value_and_grow_with_confidence(tasks, descriptors):
    narrow, wide = (
        evaluate(descriptors, tasks, bootstrap=Bootstrap(200, confidence))["intervals"]
        for confidence in (0.5, 0.99)
    )
    means = evaluate(descriptors, tasks, bootstrap=Bootstrap(9))["summary"]
    for task, values in means.items():
        for level, value in values.items():
            low, high = wide[task][level]
            assert low < narrow[task][level][0] < narrow[task][level][1] < high
            assert low < value < high


def test_the_measured_interval_covers_the_truth_about_as_often_as_it_says():
    # 200 data sets of 30 sequences whose true mean is 0.5: 95 % intervals miss it about 10 times.
    rng = np.random.default_rng(0)
    split = Split("x", tuple(f"v_{i}" for i in range(30)))
    hits = 0
    for seed in range(200):
        values = rng.uniform(0, 1, (30, 3))
        pairs = {
            name: {d: [float(v)] * 5 for d, v in zip("eht", row, strict=True)}
            for name, row in zip(split.test, values, strict=True)
        }
        bootstrap = Bootstrap(resamples=200, seed=seed)
        low, high = bootstrap.intervals(matching_resamples(bootstrap.draw(30), split, pairs))["e"]
        hits += low < 0.5 < high
    assert 0.88 <= hits / 200 <= 0.99
