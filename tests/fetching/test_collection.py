"""`descompress data`: from an address, or a file, to a folder that the readers take."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from archives import tar_gz, tree, zipped
from click.testing import CliRunner
from http_site import Answer

from descompress.cli import main
from descompress.data.cifar import Cifar
from descompress.data.phototour import PhotoTour
from descompress.errors import FetchError, FileError, RequestError
from descompress.fetching import SETS, Got, Order, find_set, get, state
from descompress.fetching.sources import Archive, Checksum, DataSet, Limits
from descompress.fetching.transfer import Patience
from descompress.locks import locked
from hpatches_eval.patches import PatchRelease
from hpatches_eval.sequences import find_sequences

ROOT = Path(__file__).resolve().parents[2]
FILES = {"set/a/ref.png": bytes(range(256)) * 40, "set/b/ref.png": b"2"}
BAD_NAMES = ("tiny", "%2E%2E", ".x.zip", "a%00b", "a" * 200)
QUICK = Patience(stall=1.0, waits=(0.0,))


def digest(content: bytes, algorithm="sha256") -> str:
    return hashlib.new(algorithm, content).hexdigest()


@pytest.fixture
def into(tmp_path):
    return tmp_path / "data"


@pytest.fixture
def content(tmp_path, site):
    """A tar.gz that the server has."""
    content = tar_gz(tmp_path / "made", FILES).read_bytes()
    site.reset(content)
    return content


@pytest.fixture
def publish(site, monkeypatch):
    """Put a set called "tiny" into the table, of these archives."""

    def put(*archives):
        limits = Limits(10**6, 10**6, 100)
        tiny = DataSet("a tiny set", "https://example.org", "1 MB", "*/ref.png", limits, archives)
        monkeypatch.setitem(SETS, "tiny", tiny)

    put(Archive(f"{site.address}/set.tar.gz"))
    return put


def order(into, **options):
    return Order("tiny", into, patience=QUICK, **options)


def run(*words):
    result = CliRunner().invoke(main, ["data", *map(str, words)])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def test_a_set_is_fetched_checked_and_unpacked(content, site, into, publish):
    known = Checksum("md5", digest(content, "md5"), "its page")
    publish(Archive(f"{site.address}/set.tar.gz", len(content), (known,)))
    got = get(order(into))
    assert got.folder == into / "tiny"
    assert tree(got.folder, "set/") == FILES
    assert got.archive == into / "set.tar.gz"
    assert got.archive.read_bytes() == content
    assert got.record is not None
    assert got.record.checked == "md5 as its page has it"
    assert json.loads((into / "set.tar.gz.json").read_text()) == {
        "origin": f"{site.address}/set.tar.gz",
        "bytes": len(content),
        "sha256": digest(content),
        "checked": "md5 as its page has it",
    }
    assert {path.name for path in into.iterdir()} == {"tiny", "set.tar.gz", "set.tar.gz.json"}


def test_what_is_there_is_not_fetched_again(content, site, into, publish):
    get(order(into))
    assert get(order(into)) == Got(into / "tiny")
    (into / "tiny").rename(into / "old")
    assert tree(get(order(into)).folder, "set/") == FILES  # unpacked again
    assert len(site.asked) == 1


def test_without_a_checksum_the_first_file_is_trusted_and_no_other(content, site, into, publish):
    first = get(order(into)).record
    assert first is not None
    assert first.checked == "nobody publishes a checksum: trusted on first use"
    for path in (into / "tiny", into / "set.tar.gz"):
        path.rename(into / f"old.{path.name}")
    site.reset(content)
    assert get(order(into)).record == first
    for path in (into / "tiny", into / "set.tar.gz"):
        path.rename(into / f"older.{path.name}")
    other = gzip_again(content)
    site.reset(other)
    with pytest.raises(FetchError, match=f"sha256 is {digest(other)}.*was {digest(content)}"):
        get(order(into))
    assert not (into / "tiny").exists()


def gzip_again(content):
    import gzip

    return gzip.compress(gzip.decompress(content), 1, mtime=7)


def test_a_wrong_checksum_is_refused_and_the_way_on_is_said(content, site, into, publish):
    known = Checksum("sha256", "0" * 64, "its page")
    publish(Archive(f"{site.address}/set.tar.gz", checksums=(known,)))
    rejected = into / "set.tar.gz.rejected"
    with pytest.raises(FetchError, match=f"its page has {'0' * 64}; kept as {rejected}: ") as error:
        get(order(into))
    assert digest(content) in str(error.value)
    assert f"`--from {rejected} --trust`" in str(error.value)
    assert {path.name for path in into.iterdir()} == {"set.tar.gz.rejected"}
    with pytest.raises(FileError, match="take it with --trust"):
        get(order(into, source=str(rejected)))  # a name of its own does not help
    got = get(order(into, source=str(rejected), trust=True))
    assert tree(got.folder, "set/") == FILES
    assert got.record is not None
    assert got.record.checked == "trusted as asked"


def test_one_of_several_known_checksums_is_enough(content, site, into, publish):
    known = Checksum("md5", "0" * 32, "one"), Checksum("sha1", digest(content, "sha1"), "two")
    publish(Archive(f"{site.address}/set.tar.gz", checksums=known))
    record = get(order(into)).record
    assert record is not None
    assert record.checked == "sha1 as two has it"


def test_a_page_in_place_of_the_archive_is_refused(content, site, into, publish):
    site.reset(b"<!DOCTYPE html><p>Log in")
    with pytest.raises(FetchError, match=r"neither a zip nor a tar.gz .*b'<!DOCTYPE html>"):
        get(order(into))
    assert not (into / "set.tar.gz").exists()
    page = into / "set.tar.gz"
    page.write_bytes(b"<html>")
    with pytest.raises(FetchError, match=f"{page}: neither a zip nor"):
        get(order(into, trust=True))


def test_another_size_than_published_is_refused(content, site, into, publish):
    publish(Archive(f"{site.address}/set.tar.gz", len(content) + 1))
    with pytest.raises(FetchError, match="the published file has"):
        get(order(into))
    into.joinpath("set.tar.gz").write_bytes(content)
    with pytest.raises(FetchError, match=f"{len(content):,} bytes, and the published file has"):
        get(order(into))
    (into / "set.tar.gz").unlink()
    assert get(order(into, trust=True)).record is not None  # fetched as asked


def test_the_next_address_is_tried_where_one_gives_nothing(content, site, into, publish):
    archives = [Archive(f"{site.address}/{name}") for name in ("gone.zip", "set.tar.gz")]
    publish(*archives)
    site.reset(content, Answer(status=404))
    got = get(order(into))
    assert site.paths == ["/gone.zip", "/set.tar.gz"]
    assert got.archive == into / "set.tar.gz"


def test_what_was_begun_is_finished_first(content, site, into, publish):
    publish(Archive(f"{site.address}/one.tar.gz"), Archive(f"{site.address}/two.tar.gz"))
    site.reset(content, Answer(status=404), Answer(cut=100), usual=Answer(status=503))
    with pytest.raises(FetchError, match=r"broke off at 100 bytes .*; what has come is kept"):
        get(order(into))
    assert state("tiny", into) == "0 MB fetched"
    site.reset(content)
    get(order(into))
    assert site.paths == ["/two.tar.gz"]
    assert site.ranges == ["bytes=100-"]


def test_offline_says_where_a_file_fetched_by_hand_goes(into, publish):
    publish(*(Archive(f"http://127.0.0.1:1/{name}") for name in ("a.zip", "a.tar.gz")))
    with pytest.raises(FetchError) as error:
        get(order(into))
    line = str(error.value)
    assert "http://127.0.0.1:1/a.zip: no connection (Connection refused)" in line
    assert f"put a.zip or a.tar.gz into {into}/ and run" in line
    assert f"`descompress data get tiny --into {into}`" in line


def test_a_file_put_there_by_hand_is_found(content, site, into, publish):
    into.mkdir()
    (into / "set.tar.gz").write_bytes(content)
    assert state("tiny", into) == "archive there, not unpacked"
    got = get(order(into))
    assert site.asked == []
    assert got.record is not None
    assert got.record.origin == str(into / "set.tar.gz")
    assert state("tiny", into) == "there"


def test_a_file_elsewhere_is_taken_and_left(content, into, publish, tmp_path):
    path = tmp_path / "by hand.tar.gz"
    path.write_bytes(content)
    assert tree(get(order(into, source=str(path))).folder, "set/") == FILES
    assert path.read_bytes() == content
    assert {each.name for each in into.iterdir()} == {"tiny", "by hand.tar.gz.json"}
    with pytest.raises(FileError, match=r"nowhere.zip: no such file"):
        get(Order("tiny", tmp_path / "other", source=str(tmp_path / "nowhere.zip")))


def test_another_address_is_held_to_what_is_known(content, site, into, publish):
    known = Checksum("md5", digest(content, "md5"), "its page")
    publish(Archive("http://127.0.0.1:1/set.tar.gz", len(content), (known,)))
    got = get(order(into, source=f"{site.address}/mirror/set.tar.gz?download=1"))
    assert site.paths == ["/mirror/set.tar.gz?download=1"]
    assert got.record is not None
    assert got.record.checked == "md5 as its page has it"


@pytest.mark.parametrize(
    "end", ["127.0.0.1:1/", *(f"127.0.0.1:1/{name}" for name in BAD_NAMES), "[::1/a.zip"]
)
def test_an_address_that_names_no_archive_is_refused(into, publish, end):
    with pytest.raises(RequestError, match="not the address of an archive"):
        get(order(into, source=f"http://{end}"))


def test_an_address_that_gives_nothing_is_told_apart_from_those_of_the_table(into, publish):
    with pytest.raises(FetchError, match=r"put other.zip anywhere and run .* --from FILE`"):
        get(order(into, source="http://127.0.0.1:1/other.zip"))


def test_a_file_that_cannot_be_read_is_said(into, publish):
    with pytest.raises(FileError, match=r"/proc/self/mem: cannot be read .Input/output error"):
        get(order(into, source="/proc/self/mem"))


def test_an_archive_keeps_the_address_it_came_from(content, site, into, publish):
    get(order(into))
    (into / "tiny").rename(into / "old")
    record = get(order(into)).record
    assert record is not None
    assert record.origin == f"{site.address}/set.tar.gz"


def test_a_folder_that_is_something_else_is_left_alone(content, into, publish):
    (into / "tiny").mkdir(parents=True)
    (into / "tiny/mine").write_text("x")
    with pytest.raises(FileError, match=r"tiny: is there, but holds no \*/ref.png; move it away"):
        get(order(into))
    assert state("tiny", into) == f"{into / 'tiny'} is something else"
    assert (into / "tiny/mine").read_text() == "x"


def test_a_damaged_record_is_said(content, into, publish):
    get(order(into))
    (into / "tiny").rename(into / "old")
    for text in ("", "[]", '{"a": 1}'):
        (into / "set.tar.gz.json").write_text(text)
        with pytest.raises(FetchError, match=r"set.tar.gz.json: damaged; delete it"):
            get(order(into))


def test_a_set_that_is_being_fetched_is_refused(content, into, publish):
    with locked(into / "tiny", wait=False), pytest.raises(FileError, match="another process"):
        get(order(into))
    with locked(into / "set.tar.gz", wait=False), pytest.raises(FileError, match="another process"):
        get(order(into))
    get(order(into))


def test_a_place_that_cannot_be_written_is_said(content, publish, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(FileError, match="file/data: cannot be written"):
        get(order(tmp_path / "file/data"))


def test_an_unknown_set_names_the_closest():
    with pytest.raises(RequestError, match="cifar10: no such data set; there are cifar-10, "):
        find_set("cifar10")
    with pytest.raises(RequestError, match="there are hpatches, "):
        find_set("???")


def test_the_table_is_sound():
    lengths = {"md5": 32, "sha256": 64}
    for name, found in SETS.items():
        assert found.archives, name
        for archive in found.archives:
            assert archive.url.startswith(("https://", "http://"))
            assert archive.name.endswith((".zip", ".tar.gz"))
            assert (archive.size or 0) <= found.limits.packed
            for checksum in archive.checksums:
                assert len(bytes.fromhex(checksum.digest)) * 2 == lengths[checksum.algorithm]
                assert checksum.said_by


# --- commands


def test_get_and_list_say_what_is_there(content, site, into, publish):
    result = run("get", "tiny", "--into", into)
    assert result.exit_code == 0
    first, second, third = result.stdout.splitlines()
    assert first == f"{into / 'tiny'}: from {site.address}/set.tar.gz"
    assert second.split()[:2] == ["sha256", digest(content)]
    assert "trusted on first use" in second
    assert third.endswith("https://example.org")
    assert "set.tar.gz, MB: 1 of 1" in result.stderr
    assert run("get", "tiny", "--into", into).stdout == f"{into / 'tiny'}: there already\n"
    lines = run("list", "--into", into).stdout.splitlines()
    assert lines[0].split() == ["name", "fetches", "state", "about"]
    assert lines[-1].split() == ["tiny", "1", "MB", "there", "a", "tiny", "set"]
    assert len(lines) == len(SETS) + 1


def test_get_refuses_in_one_line(into, publish, monkeypatch):
    monkeypatch.setattr("time.sleep", lambda _: None)
    result = run("get", "tiny", "nothing", "--into", into)
    assert (result.exit_code, len(result.stderr.splitlines())) == (2, 1)
    assert not into.exists()  # asked for is all or nothing
    assert run("get", "tiny", "cifar-10", "--from", "x.zip").exit_code == 2
    assert run("get").exit_code == 2
    publish(Archive("http://127.0.0.1:1/set.tar.gz"))
    result = run("get", "tiny", "--into", into)
    assert (result.exit_code, len(result.stderr.splitlines())) == (1, 1)


def test_discard_deletes_the_archive_beside_the_set_and_no_other(content, into, publish, tmp_path):
    run("get", "tiny", "--into", into, "--discard")
    assert {each.name for each in into.iterdir()} == {"tiny", "set.tar.gz.json"}
    path, other = tmp_path / "set.tar.gz", tmp_path / "other"
    path.write_bytes(content)
    assert run("get", "tiny", "--into", other, "--from", path, "--discard").exit_code == 0
    assert path.exists()


# --- what is unpacked is what the readers take


def take(name, archive, into):
    """Unpack an archive of the true table's set; no tiny one has its checksum."""
    return get(Order(name, into, source=str(archive), trust=True)).folder


def test_hpatches_is_a_patch_release(release, into, tmp_path):
    for number, packed in enumerate((zipped, tar_gz)):
        archive = packed(tmp_path / "hpatches-release", tree(release, "hpatches-release/"))
        found = PatchRelease(take("hpatches", archive, into / str(number)))
        assert found.sequences == ("i_one", "v_two")
        expected = PatchRelease(release).strip("v_two", "t5")
        np.testing.assert_array_equal(found.strip("v_two", "t5"), expected)


def test_hpatches_sequences_are_image_sequences(into, tmp_path):
    top, files = "hpatches-sequences-release", {}
    for name in ("i_one", "v_two"):
        for number in range(1, 7):
            image = np.full((8, 9, 3), 10 * number, np.uint8)
            files[f"{top}/{name}/{number}.ppm"] = cv2.imencode(".ppm", image)[1].tobytes()
            files[f"{top}/{name}/H_1_{number}"] = b"1 0 %d\n0 1 0\n0 0 1\n" % number
        del files[f"{top}/{name}/H_1_1"]
    folder = take("hpatches-sequences", zipped(tmp_path / "x.zip", files), into)
    found = find_sequences(folder)
    assert [each.name for each in found] == ["i_one", "v_two"]
    assert found[1].image(6).tolist() == [[60] * 9] * 8
    assert found[0].homography(4)[0, 2] == 4


@pytest.mark.parametrize("name", [name for name in SETS if name.startswith("phototour")])
def test_phototour_is_read_as_it_is_published(name, tour, into, tmp_path):
    files = tree(tour)
    sheet = cv2.imread(str(tour / "patches0000.png"), cv2.IMREAD_GRAYSCALE)
    files["patches0000.bmp"] = cv2.imencode(".bmp", sheet)[1].tobytes()
    del files["patches0000.png"]
    files["interest.txt"] = b"1 2 3\n"
    found = PhotoTour.read(take(name, zipped(tmp_path / "x.zip", files), into))
    expected = PhotoTour.read(tour)
    np.testing.assert_array_equal(found.patches, expected.patches)
    np.testing.assert_array_equal(found.test_pairs()[0], expected.test_pairs()[0])


@pytest.mark.parametrize(
    ("name", "top", "train", "test", "labels"),
    [
        ("cifar-10", "cifar-10-batches-bin", "data_batch_{}.bin", "test_batch.bin", 1),
        ("cifar-100", "cifar-100-binary", "train.bin", "test.bin", 2),
    ],
)
def test_cifar_is_read_as_it_is_published(name, top, train, test, labels, into, tmp_path):
    record = bytes([7] * labels) + bytes(range(256)) * 12
    names = {train.format(number) for number in range(1, 6)} | {test}
    files = {f"{top}/{each}": record for each in sorted(names)}
    archive = tar_gz(tmp_path / "x.tar.gz", {**files, f"{top}/readme.html": b"<p>"})
    found = Cifar.read(take(name, archive, into))
    assert found.name.lower() == name
    assert found.labels.tolist() == [7] * (len(names) - 1)
    assert found.test_images[0].tobytes() == record[labels:]


# --- processes


def started(*words):
    command = [sys.executable, "-m", "descompress", "data", *map(str, words)]
    env = os.environ | {"PYTHONPATH": str(ROOT), "no_proxy": "127.0.0.1"}
    return subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def wait_for(condition):
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def size_of(path):
    return path.stat().st_size if path.exists() else 0


@pytest.fixture
def batch(site, tmp_path):
    """A tar.gz of CIFAR-10's layout that packing does not make smaller, and the server has it."""
    noise = np.random.default_rng(0).integers(0, 256, 400_000, np.uint8).tobytes()
    content = tar_gz(tmp_path / "made", {"cifar/data_batch_1.bin": noise}).read_bytes()
    site.reset(content)
    return content


def test_a_process_that_is_killed_while_it_fetches_is_gone_on_with(batch, site, into):
    words = ("get", "cifar-10", "--into", into, "--trust", "--from", f"{site.address}/a.tar.gz")
    part, cuts = into / "a.tar.gz.part", (70_000, 140_000, 300_000)
    before = 0
    for cut in cuts:
        site.plan.append(Answer(cut=cut - before, stall=True))
        process = started(*words)
        wait_for(lambda cut=cut: size_of(part) == cut)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        site.release.set()
        site.release.clear()
        before = cut
        assert {each.name for each in into.iterdir()} == {part.name, f"{part.name}.json"}
    process = started(*words)
    _, errors = process.communicate()
    assert process.returncode == 0, errors
    assert site.ranges == [None, *(f"bytes={cut}-" for cut in cuts)]
    assert (into / "a.tar.gz").read_bytes() == batch
    assert len((into / "cifar-10/data_batch_1.bin").read_bytes()) == 400_000


def test_of_two_processes_one_fetches_and_one_says_so(batch, site, into):
    words = ("get", "cifar-10", "--into", into, "--trust", "--from", f"{site.address}/a.tar.gz")
    site.plan.append(Answer(cut=100_000, stall=True))
    first = started(*words)
    wait_for(lambda: size_of(into / "a.tar.gz.part") == 100_000)
    second = started(*words)
    _, errors = second.communicate()
    assert second.returncode == 1
    assert errors.decode().strip().endswith("cifar-10: another process is writing it")
    site.release.set()
    _, errors = first.communicate()
    assert first.returncode == 0, errors
    assert (into / "a.tar.gz").read_bytes() == batch
    assert len(site.asked) == 1


def test_ctrl_c_is_one_word_and_keeps_what_came(batch, site, into):
    words = ("get", "cifar-10", "--into", into, "--trust", "--from", f"{site.address}/a.tar.gz")
    site.plan.append(Answer(cut=100_000, stall=True))
    process = started(*words)
    wait_for(lambda: size_of(into / "a.tar.gz.part") == 100_000)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate()
    assert (process.returncode, errors.decode().splitlines()[-1]) == (130, "Interrupted")
    assert size_of(into / "a.tar.gz.part") == 100_000
