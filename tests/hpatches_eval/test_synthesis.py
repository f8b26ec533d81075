import cv2
import numpy as np
import pytest
from click.testing import CliRunner

from hpatches_eval.cli import main
from hpatches_eval.errors import DataError, OutputError, RequestError
from hpatches_eval.sequences import ImageSequence, find_sequences
from hpatches_eval.synthesis import write_sequence

IMAGE = cv2.GaussianBlur(
    np.random.default_rng(0).integers(0, 256, (200, 260)).astype(np.uint8), (0, 0), 4
)
IMAGE = cv2.normalize(IMAGE, None, 0, 255, cv2.NORM_MINMAX)


def test_views_are_where_their_homographies_say(tmp_path):
    write_sequence(IMAGE, tmp_path / "v_noise", seed=3)
    sequence = ImageSequence(tmp_path / "v_noise")
    np.testing.assert_array_equal(sequence.image(1), IMAGE)
    shift = []
    for number in range(2, 7):
        seen, homography = sequence.image(number), sequence.homography(number)
        expected = cv2.warpPerspective(IMAGE, homography, IMAGE.shape[::-1], borderValue=0)
        shown = cv2.warpPerspective(np.ones_like(IMAGE), homography, IMAGE.shape[::-1]) > 0
        inner = cv2.erode(shown.astype(np.uint8), np.ones((9, 9))) > 0
        assert np.corrcoef(seen[inner], expected[inner])[0, 1] > 0.97
        shift.append(np.abs(homography - np.eye(3)).max())
    assert shift[0] < shift[-1]


def test_light_changes_and_the_view_does_not(tmp_path):
    write_sequence(IMAGE, tmp_path / "i_noise", seed=3)
    sequence = ImageSequence(tmp_path / "i_noise")
    change = []
    for number in range(2, 7):
        np.testing.assert_array_equal(sequence.homography(number), np.eye(3))
        change.append(np.abs(sequence.image(number).astype(float) - IMAGE).mean())
    assert change[-1] > change[0] > 1


def test_the_same_seed_gives_the_same_sequence(tmp_path):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        (tmp_path / name).mkdir()
        write_sequence(IMAGE, tmp_path / name / "v_x", seed=seed)
    read = {n: (tmp_path / n / "v_x/4.png").read_bytes() for n in "abc"}
    assert read["a"] == read["b"] != read["c"]


def test_what_does_not_fit_is_refused(tmp_path):
    with pytest.raises(RequestError, match="name the sequence i_"):
        write_sequence(IMAGE, tmp_path / "noise")
    with pytest.raises(DataError, match="too small; 128 fit"):
        write_sequence(IMAGE[:100], tmp_path / "v_noise")
    write_sequence(IMAGE, tmp_path / "v_noise")
    with pytest.raises(OutputError, match="exists already"):
        write_sequence(IMAGE, tmp_path / "v_noise")


def test_a_folder_of_photographs_becomes_sequences(tmp_path):
    (tmp_path / "photographs/more").mkdir(parents=True)
    cv2.imwrite(str(tmp_path / "photographs/a.png"), IMAGE)
    cv2.imwrite(str(tmp_path / "photographs/more/b.jpg"), IMAGE)

    def run(*args: object):
        return CliRunner().invoke(main, ["synthesize", *map(str, args)])

    assert run(tmp_path / "photographs", tmp_path / "out").exit_code == 0
    found = find_sequences(tmp_path / "out")
    assert [sequence.name for sequence in found] == ["i_a", "i_b", "v_a", "v_b"]
    assert run(tmp_path / "photographs", tmp_path / "out").exit_code == 1
    assert run(tmp_path / "photographs", tmp_path / "new", "--seed", -1).exit_code == 2
    within = run(tmp_path / "photographs/more", tmp_path / "photographs", "--force")
    assert within.exit_code == 1
    assert "what it is made of" in within.stderr
    assert (tmp_path / "photographs/more/b.jpg").is_file()
    cv2.imwrite(str(tmp_path / "photographs/b.png"), IMAGE)
    twice = run(tmp_path / "photographs", tmp_path / "new")
    assert "b is the name of two photographs" in twice.stderr
    (tmp_path / "empty").mkdir()
    assert "no images" in run(tmp_path / "empty", tmp_path / "new").stderr
    assert not (tmp_path / "new").exists()
