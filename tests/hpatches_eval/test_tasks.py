"""The tasks against a slow and plain computation of the same, ties and packed bits included."""

import numpy as np
import pytest
from scipy.spatial.distance import cdist
from tiny_release import random_descriptors

from hpatches_eval.descriptors import Descriptors
from hpatches_eval.errors import DataError
from hpatches_eval.evaluation import evaluate, summarise
from hpatches_eval.generation import generate_retrieval, generate_verification
from hpatches_eval.intervals import Bootstrap
from hpatches_eval.metrics import ap, auc
from hpatches_eval.splits import Split
from hpatches_eval.tasklists import Retrieval, Tasks, Verification
from hpatches_eval.tasks import POOLS, imbalanced

COUNTS = {"v_b": 40, "i_a": 25, "v_c": 60}
SPLIT = Split("three", ("i_a", "v_c", "v_b"))  # in another order than the rows


def tasks_of(counts, pairs=500):
    retrieval, _ = generate_retrieval(SPLIT, {k: np.ones(n, bool) for k, n in counts.items()})
    return Tasks(SPLIT, generate_verification(SPLIT, counts, pairs), retrieval)


def coarse(descriptors):
    rows = np.clip(np.rint(descriptors.rows), -1, 1)
    return Descriptors("coarse", descriptors.counts, rows.astype(np.float32))


def packed(descriptors):
    return Descriptors("packed", descriptors.counts, np.packbits(descriptors.rows > 0, axis=1))


class Plain:
    """The protocol, word by word."""

    def __init__(self, descriptors, tasks, metric):
        rows = descriptors.rows
        if descriptors.packed:
            rows = np.unpackbits(rows, axis=1).astype(np.float32)
        self.rows = Descriptors("", descriptors.counts, rows)
        self.tasks = tasks
        self.metric = metric

    def apart(self, one, other):
        a, b = (self.rows.of(SPLIT.test[s], kind)[i : i + 1] for s, kind, i in (one, other))
        return cdist(a, b, self.metric)[0, 0]

    def verification(self, level, field):
        kinds = ["ref", *(f"{level}{i}" for i in range(1, 6))]
        negatives, positives = (
            np.array(
                [
                    np.float32(self.apart((s1, kinds[t1], i1), (s2, kinds[t2], i2)))
                    for s1, t1, i1, s2, t2, i2 in getattr(self.tasks.verification, name)
                ]
            )
            for name in (field, "positives")
        )
        n = len(positives)
        scores = -np.concatenate([negatives, positives])
        labels = np.arange(2 * n) >= n
        cut = n + int(n * 0.2)
        return {
            "balanced_auc": auc(scores, labels),
            "imbalanced_ap": ap(scores[:cut], labels[:cut]),
        }

    def matching(self, level):
        aps = []
        for name in SPLIT.test:
            for i in range(1, 6):
                ref, other = self.rows.of(name, "ref"), self.rows.of(name, f"{level}{i}")
                far = cdist(ref, other, self.metric)
                hit = far.argmin(axis=1) == np.arange(len(far))
                aps.append(ap(-far.min(axis=1), hit, positives=len(far)))
        return np.mean(aps)

    def retrieval(self, level, pool):
        aps = []
        for s, patch in self.tasks.retrieval.queries:
            query = (s, "ref", patch)
            far = [self.apart(query, (s, f"{level}{i}", patch)) for i in range(1, 6)]
            others = [row for row in self.tasks.retrieval.distractors if row[0] != s]
            far += [self.apart(query, (o, "ref", i)) for o, i in others]
            aps.append(ap(-np.array(far[:pool]), np.arange(len(far[:pool])) < 5))
        return np.mean(aps)


@pytest.mark.parametrize(
    ("change", "distance", "metric"),
    [
        (lambda d: d, "L2", "euclidean"),
        (lambda d: d, "L1", "cityblock"),
        (coarse, "L2", "euclidean"),
        (coarse, "L1", "cityblock"),
        (packed, "Hamming", "cityblock"),
    ],
)
def test_every_number_is_that_of_the_plain_protocol(change, distance, metric):
    descriptors = change(random_descriptors(COUNTS, 16, noise=1.2))
    tasks = tasks_of(COUNTS, pairs=200)
    expected = Plain(descriptors, tasks, metric)
    found = evaluate(descriptors, tasks, distance=distance, bootstrap=Bootstrap(resamples=9))
    # the float32 norm of verification may differ in its last bit from the plain one
    close = 1e-9 if descriptors.name != "random" else 1e-4
    for level in "eht":
        for kind in ("inter", "intra"):
            scores = expected.verification(level, kind)
            assert found["verification"][level][kind] == pytest.approx(scores, abs=close)
        assert found["matching"][level] == pytest.approx(expected.matching(level), abs=1e-9)
        for pool in (100, 20_000):
            score = expected.retrieval(level, pool)
            assert found["retrieval"][level][str(pool)] == pytest.approx(score, abs=1e-9)


def test_perfect_descriptors_score_one():
    descriptors = random_descriptors(COUNTS, 16, noise=0.0)
    found = evaluate(descriptors, tasks_of(COUNTS))
    for level in "eht":
        assert found["verification"][level]["intra"] == {"balanced_auc": 1, "imbalanced_ap": 1}
        assert found["matching"][level] == 1
        assert set(found["retrieval"][level].values()) == {1}


def test_constant_descriptors_take_every_tie_as_the_protocol_says():
    rows = np.ones((16 * sum(COUNTS.values()), 4), np.float32)
    found = evaluate(Descriptors("constant", COUNTS, rows), tasks_of(COUNTS))
    # verification: negatives first; after n of them the k-th positive has precision k / (k + n)
    k, n = np.arange(1, 101), 500
    expected = np.mean((k / (k + n) + (k - 1) / (k - 1 + n)) / 2)
    assert found["verification"]["h"]["inter"]["imbalanced_ap"] == pytest.approx(expected)
    assert found["verification"]["h"]["inter"]["balanced_auc"] == 0
    # retrieval: positives first
    assert found["retrieval"]["t"]["20000"] == 1
    # matching: everyone's neighbour is patch 0, right once, as the first retrieved
    counts = np.array([COUNTS[name] for name in SPLIT.test])
    assert found["matching"]["e"] == pytest.approx(np.mean(1 / counts))


def test_pools_are_the_first_distractors_of_other_sequences():
    # One query; its own sequence fills the first 200 distractors, which must not count.
    counts = {"v_b": 300, "i_a": 10, "v_c": 200}
    descriptors = random_descriptors(counts, 4, noise=0)
    place = {name: SPLIT.test.index(name) for name in SPLIT.test}
    own = np.stack([np.full(200, place["v_c"]), np.arange(200)], 1)
    near = np.stack([np.full(95, place["i_a"]), np.zeros(95)], 1)
    far = np.stack([np.full(300, place["v_b"]), np.arange(300)], 1)
    for sequence, value in (("v_c", 0.0), ("i_a", 2.0), ("v_b", 0.5)):
        descriptors.rows[descriptors.start(sequence) :][: 16 * counts[sequence]] = value
    for kind in ("e1", "e2", "e3", "e4", "e5"):
        descriptors.of("v_c", kind)[:] = 1.0  # beyond v_b, before i_a
    lists = Retrieval(own[:1].astype(np.int32), np.concatenate([own, near, far]).astype(np.int32))
    pairs = generate_verification(SPLIT, counts, 10)
    found = evaluate(descriptors, Tasks(SPLIT, pairs, lists))["retrieval"]["e"]
    assert found["100"] == 1  # 5 and the 95 of i_a, all farther
    k = np.arange(1, 6)
    for pool, ahead in (("500", 300), ("20000", 300)):
        before = np.where(k == 1, 1e-10 / ahead, (k - 1) / (k - 1 + ahead))
        assert found[pool] == pytest.approx(np.mean((before + k / (k + ahead)) / 2))


def test_images_of_a_pair_are_of_the_difficulty_at_hand():
    # Descriptors say their type; a pair (ref, image 3) is as far apart as the type tells.
    counts = dict.fromkeys(COUNTS, 4)
    rows = np.concatenate([np.repeat(np.arange(16.0), 4)] * 3)[:, None].astype(np.float32)
    descriptors = Descriptors("types", counts, rows)
    pair = np.array([[0, 0, 1, 2, 3, 2]] * 5, np.int32)
    tasks = Tasks(SPLIT, Verification(pair, pair, pair), tasks_of(counts).retrieval)
    from hpatches_eval.distances import DISTANCES
    from hpatches_eval.progress import silent
    from hpatches_eval.tasks import verification_distances

    far = verification_distances(descriptors, SPLIT, tasks.verification, DISTANCES["L2"], silent)
    assert far.inter[:, 0].tolist() == [3, 8, 13]  # e3, h3, t3 are the 3rd, 8th and 13th type


def test_the_imbalanced_protocol_keeps_a_fifth():
    assert [imbalanced(n) for n in (1_000_000, 20_000, 9, 4)] == [200_000, 4000, 1, 0]


def test_fewer_pairs_than_it_keeps_one_of_are_refused():
    descriptors = random_descriptors(COUNTS, 16)
    with pytest.raises(DataError, match="4 verification pairs of a kind: at least 5"):
        evaluate(descriptors, tasks_of(COUNTS, pairs=4))
    evaluate(descriptors, tasks_of(COUNTS, pairs=5))


def test_the_summary_is_what_papers_print():
    verified = {
        level: {
            "inter": {"balanced_auc": 0, "imbalanced_ap": inter},
            "intra": {"balanced_auc": 0, "imbalanced_ap": inter - 0.2},
        }
        for level, inter in (("e", 0.9), ("h", 0.8), ("t", 0.7))
    }
    retrieved = {d: {str(k): i / 10 for i, k in enumerate(POOLS)} for d in "eht"}
    scores = {
        "verification": verified,
        "matching": {"e": 0.6, "h": 0.4, "t": 0.2},
        "retrieval": retrieved,
    }
    found = summarise(scores)
    assert found["verification"] == pytest.approx({"e": 0.8, "h": 0.7, "t": 0.6, "mean": 0.7})
    assert found["matching"]["mean"] == pytest.approx(0.4)
    assert found["retrieval_mean_of_pools"]["h"] == pytest.approx(0.3)
    assert found["retrieval_full_pool"]["mean"] == pytest.approx(0.6)


def test_a_result_says_what_it_was_made_from():
    descriptors = random_descriptors(COUNTS, 16)
    tasks = tasks_of(COUNTS)
    found = evaluate(descriptors, tasks)
    assert found["counts"] == {
        "sequences": 3,
        "patches": 125,
        "pairs": 500,
        "queries": len(tasks.retrieval.queries),
        "distractors": len(tasks.retrieval.distractors),
    }
    assert (found["split"], found["distance"], found["dim"]) == ("three", "L2", 16)
    assert {"numpy", "scipy"} < found["versions"].keys()
    other = random_descriptors(COUNTS, 16, seed=1)
    again = evaluate(other, tasks)["sha256"]
    assert again["tasks"] == found["sha256"]["tasks"]
    assert again["descriptors"] != found["sha256"]["descriptors"]
    assert len(again["descriptors"]) == 64


def test_progress_reaches_the_end_of_every_task():
    seen = []
    evaluate(
        random_descriptors(COUNTS, 16), tasks_of(COUNTS), progress=lambda *step: seen.append(step)
    )
    for stage in ("verification", "matching", "retrieval"):
        steps = [(done, total) for name, done, total in seen if name == stage]
        assert steps[-1][0] == steps[-1][1] == len(steps)
