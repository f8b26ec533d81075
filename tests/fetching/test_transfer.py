"""A file arrives whole and unmixed, however the server behaves."""

import json
import shutil
import socket
from collections import namedtuple

import pytest
from http_site import Answer
from hypothesis import given, settings
from hypothesis import strategies as st

from descompress.errors import FetchError, FileError
from descompress.fetching.transfer import Part, Patience, Wanted, fetch

QUICK = Patience(stall=0.3, waits=(0.0, 0.0))
SIZE = 300_007


class Spoken:
    """What a progress was told."""

    def __init__(self):
        self.said = []

    def __call__(self, stage, done, total):
        self.said.append((stage, done, total))


@pytest.fixture
def part(tmp_path):
    return Part(tmp_path / "set.tar.gz")


def get(site, part, url="", *, size=None, most=10**6, progress=None, patience=QUICK):
    wanted = Wanted(url or f"{site.address}/set.tar.gz", size, most)
    fetch(wanted, part, patience, progress or Spoken())


def test_a_file_arrives_in_one_connection(site, part):
    get(site, part)
    assert part.path.read_bytes() == site.content
    assert site.ranges == [None]
    assert site.asked[0]["Accept-Encoding"] == "identity"


def test_progress_is_in_megabytes_and_complete_once(site, part):
    site.reset(bytes(2_000_001))
    spoken = Spoken()
    get(site, part, most=10**7, progress=spoken)
    assert {stage for stage, *_ in spoken.said} == {"set.tar.gz, MB"}
    assert {total for *_, total in spoken.said} == {3}
    done = [done for _, done, _ in spoken.said]
    assert done == sorted(done)
    assert done.count(3) == 1
    assert {0, 1, 3} <= set(done)


def test_a_broken_connection_is_taken_up_where_it_broke(site, part):
    site.reset(site.content, Answer(cut=100_000), Answer(cut=50_000))
    get(site, part)
    assert part.path.read_bytes() == site.content
    assert site.ranges == [None, "bytes=100000-", "bytes=150000-"]
    assert [each.get("If-Range") for each in site.asked] == [None, '"one"', '"one"']


def test_a_later_run_goes_on_where_the_first_gave_up(site, part):
    site.reset(site.content, Answer(cut=100_000), usual=Answer(status=503))
    with pytest.raises(FetchError, match=r"broke off at 100,000 bytes \(503"):
        get(site, part)
    assert len(site.asked) == 3  # one that brought something, and one after each wait
    site.reset(site.content)
    get(site, part)
    assert site.ranges == ["bytes=100000-"]
    assert part.path.read_bytes() == site.content


def test_what_is_whole_is_not_asked_for_again(site, part):
    get(site, part)
    get(site, part)
    assert len(site.asked) == 1


def test_tries_are_counted_from_the_last_new_byte(site, part):
    cuts = [Answer(cut=50_000), Answer(status=503)] * 4
    site.reset(site.content, *cuts)
    get(site, part)
    assert part.path.read_bytes() == site.content


def test_a_server_that_ignores_ranges_is_read_anew(site, part):
    site.reset(site.content, Answer(cut=100_000, ranges="ignored"), usual=Answer(ranges="ignored"))
    get(site, part)
    assert site.ranges == [None, "bytes=100000-"]
    assert part.path.read_bytes() == site.content


def test_without_an_etag_the_date_tells_versions_apart(site, part):
    dated = {"Last-Modified": "Sat, 01 Jan 2000 00:00:00 GMT", "ETag": 'W/"weak"'}
    site.reset(site.content, Answer(cut=9, headers=dated), usual=Answer(headers=dated))
    get(site, part)
    assert site.asked[1]["If-Range"] == dated["Last-Modified"]
    assert site.ranges == [None, "bytes=9-"]


def test_without_either_nothing_is_continued(site, part):
    site.reset(site.content, Answer(cut=9, headers={}), usual=Answer(headers={}))
    get(site, part)
    assert site.ranges == [None, None]
    assert part.path.read_bytes() == site.content


def test_a_file_that_changed_between_two_parts_is_fetched_anew(site, part):
    site.reset(bytes(SIZE), Answer(cut=100_000))
    with pytest.raises(FetchError):
        get(site, part, patience=Patience(0.3, ()))
    new = site.content[::-1] + b"!"
    site.reset(new, usual=Answer(headers={"ETag": '"two"'}))
    get(site, part)
    assert part.path.read_bytes() == new


@pytest.mark.parametrize(
    "second",
    [
        Answer(ranges="forced", headers={"ETag": '"two"'}),  # If-Range is not understood
        Answer(ranges="wrong"),
    ],
)
def test_a_part_that_does_not_fit_is_thrown_away(site, part, second):
    site.reset(site.content, Answer(cut=100_000), second)
    get(site, part)
    assert site.ranges == [None, "bytes=100000-", None]
    assert part.path.read_bytes() == site.content


def test_a_part_of_another_size_is_thrown_away(site, part):
    site.reset(b"x" * 500, Answer(cut=100))
    with pytest.raises(FetchError):
        get(site, part, patience=Patience(0.3, ()))
    site.reset(b"y" * 400, Answer(ranges="forced"))
    get(site, part)
    assert part.path.read_bytes() == b"y" * 400


def test_a_file_that_shrank_is_fetched_anew(site, part):
    site.reset(b"x" * 500, Answer(cut=400))
    with pytest.raises(FetchError):
        get(site, part, patience=Patience(0.3, ()))
    site.reset(b"y" * 300)
    get(site, part)
    assert site.ranges == ["bytes=400-", None]
    assert part.path.read_bytes() == b"y" * 300


def test_parts_of_another_address_are_not_continued(site, part):
    site.reset(site.content, Answer(cut=100))
    with pytest.raises(FetchError):
        get(site, part, patience=Patience(0.3, ()))
    get(site, part, f"{site.address}/copy/set.tar.gz")
    assert site.ranges == [None, None]


@pytest.mark.parametrize("note", ["", "[]", "{}", '{"url": 1, "x": 2}', "[" * 100_000])
def test_a_damaged_note_means_a_fresh_start(site, part, note):
    part.path.write_bytes(b"other")
    part.note.write_text(note)
    get(site, part)
    assert site.ranges == [None]
    assert part.path.read_bytes() == site.content


@pytest.mark.parametrize("answer", [Answer(chunked=True), Answer(sized=False)])
def test_a_size_nobody_says_is_learned_at_the_end(site, part, answer):
    site.reset(site.content, usual=answer)
    get(site, part)
    assert part.path.read_bytes() == site.content
    assert json.loads(part.note.read_text())["total"] == SIZE


def test_a_chunked_answer_that_breaks_is_continued(site, part):
    site.reset(site.content, Answer(chunked=True, cut=70_000), Answer(cut=1000))
    get(site, part)
    assert site.ranges == [None, "bytes=70000-", "bytes=71000-"]
    assert part.path.read_bytes() == site.content


def test_an_answer_without_a_size_is_held_to_the_published_one(site, part):
    site.reset(site.content, Answer(sized=False, cut=70_000))
    get(site, part, size=SIZE)
    assert part.path.read_bytes() == site.content


@pytest.mark.parametrize("size", [SIZE - 1, SIZE + 1])
def test_another_size_than_the_published_one_is_refused_before_a_byte(site, part, size):
    with pytest.raises(FetchError, match=f"the server has 300,007 bytes .*{size:,}"):
        get(site, part, size=size)
    assert part.size == 0


def test_more_than_allowed_is_refused_said_or_not(site, part):
    with pytest.raises(FetchError, match="300,007 bytes, more than the 300,006 allowed"):
        get(site, part, most=SIZE - 1)
    site.reset(site.content, usual=Answer(chunked=True))
    with pytest.raises(FetchError, match="more than the 300,006 bytes allowed"):
        get(site, part, most=SIZE - 1)
    assert not part.path.exists()


@pytest.mark.parametrize("status", [401, 403, 404, 407, 410])
def test_a_refusal_is_not_asked_again(site, part, status):
    site.reset(site.content, usual=Answer(status=status))
    with pytest.raises(FetchError, match=rf"set.tar.gz: the server says {status} "):
        get(site, part)
    assert len(site.asked) == 1


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_server_in_trouble_is_asked_again(site, part, status):
    site.reset(site.content, Answer(status=status), Answer(status=status))
    get(site, part)
    assert part.path.read_bytes() == site.content


def test_a_part_nobody_asked_for_is_refused(site, part):
    site.reset(site.content, usual=Answer(status=206))
    with pytest.raises(FetchError, match="another part of it"):
        get(site, part)
    site.reset(site.content, usual=Answer(status=204))
    with pytest.raises(FetchError, match="the server says 204"):
        get(site, part)


def test_a_server_that_stalls_is_left_and_asked_again(site, part):
    site.reset(site.content, Answer(cut=100_000, stall=True))
    get(site, part)
    assert site.ranges == [None, "bytes=100000-"]
    assert part.path.read_bytes() == site.content


def test_a_server_that_only_stalls_is_given_up(site, part):
    site.reset(site.content, usual=Answer(cut=0, stall=True))
    with pytest.raises(FetchError, match=r"broke off at 0 bytes .nothing came for too long"):
        get(site, part, patience=Patience(0.05, (0.0,)))


def test_redirections_are_followed_with_the_range(site, part):
    there = Answer(status=302, headers={"Location": "/elsewhere"})
    site.reset(site.content, there, Answer(cut=1000), there)
    get(site, part)
    assert site.paths == ["/set.tar.gz", "/elsewhere"] * 2
    assert site.ranges[3] == "bytes=1000-"
    assert part.path.read_bytes() == site.content


def test_redirections_that_never_end_are_refused(site, part):
    site.reset(site.content, usual=Answer(status=302, headers={"Location": "/set.tar.gz"}))
    with pytest.raises(FetchError, match="the server says 302"):
        get(site, part)


def test_redirections_to_files_are_refused(site, part, tmp_path):
    (tmp_path / "secret").write_text("secret")
    there = {"Location": (tmp_path / "secret").as_uri()}
    site.reset(site.content, usual=Answer(status=302, headers=there))
    with pytest.raises(FetchError, match="302"):
        get(site, part)
    assert part.size == 0


def test_redirections_away_from_encryption_are_refused(site, part):
    import urllib.request

    from descompress.fetching.transfer import _Redirects

    asked = urllib.request.Request("https://example.org/a")
    with pytest.raises(FetchError, match=r"http://example.org/b, which is not encrypted"):
        _Redirects().redirect_request(asked, None, 302, "", {}, "http://example.org/b")
    followed = _Redirects().redirect_request(asked, None, 302, "", {}, "https://example.org/b")
    assert followed is not None
    assert followed.full_url == "https://example.org/b"


def test_no_connection_is_said_at_once(site, part):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
    with pytest.raises(FetchError, match=r"no connection .Connection refused"):
        get(site, part, f"http://127.0.0.1:{port}/a", patience=Patience(1.0, (30.0,)))


@pytest.mark.parametrize("url", ["http://127.0.0.1:x/a", "http://127.0.0.1/a b"])
def test_no_address_is_refused(site, part, url):
    with pytest.raises(FetchError, match="not an address"):
        get(site, part, url)


def test_proxies_of_the_environment_are_used_but_not_where_they_must_not(site, part, monkeypatch):
    monkeypatch.setenv("http_proxy", site.address)
    monkeypatch.setenv("no_proxy", "")
    get(site, part, "http://data.invalid/set.tar.gz")
    assert site.paths == ["http://data.invalid/set.tar.gz"]
    assert part.path.read_bytes() == site.content
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setenv("http_proxy", "http://proxy.invalid:1")
    part.discard()
    get(site, part)
    assert part.path.read_bytes() == site.content


def test_a_full_disk_is_said_and_what_came_is_kept(site, part, disk_of):
    full = r"set.tar.gz.part: cannot be written \(File too large\)"
    with disk_of(200_000), pytest.raises(FileError, match=full):
        get(site, part)
    assert part.size == 200_000
    assert len(site.asked) == 1  # it is not the server's fault
    get(site, part)
    assert site.ranges == [None, "bytes=200000-"]
    assert part.path.read_bytes() == site.content


def test_a_disk_without_room_is_refused_before_a_byte(site, part, monkeypatch):
    usage = namedtuple("usage", "free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(SIZE - 1))
    with pytest.raises(FileError, match="0 MB are to come, and 0 MB are free"):
        get(site, part)
    assert part.size == 0
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(SIZE))
    get(site, part)


answers = st.builds(
    Answer,
    status=st.sampled_from([200] * 5 + [503]),
    cut=st.integers(0, 2000) | st.none(),
    ranges=st.sampled_from(["kept", "ignored", "wrong"]),
    chunked=st.booleans(),
    headers=st.sampled_from([{}, {"ETag": '"a"'}, {"ETag": '"b"'}, {"ETag": 'W/"c"'}]),
)


@settings(max_examples=25)
@given(st.lists(st.tuples(st.booleans(), answers), max_size=8), st.integers(0, 2000))
def test_whatever_happens_the_bytes_are_those_of_one_version(server, tmp_path_factory, plan, size):
    """Answers of two versions, each with tags of its own, in any order; the last one stays."""
    part = Part(tmp_path_factory.mktemp("any") / "set.tar.gz")
    versions = b"o" * size, b"n" * size
    url = server.reset(versions[1])
    for new, answer in plan:
        tags = {name: f'{tag[:-1]}{int(new)}"' for name, tag in answer.headers.items()}
        url = server.reset(versions[new], Answer(**vars(answer) | {"headers": tags}))
        server.usual = Answer(status=404)
        try:
            fetch(Wanted(url, None, 10**6), part, Patience(1.0, (0.0,)), Spoken())
            assert part.path.read_bytes() in versions
            part.discard()
        except FetchError:
            pass
    url = server.reset(versions[1])
    fetch(Wanted(url, None, 10**6), part, Patience(1.0, (0.0, 0.0)), Spoken())
    assert part.path.read_bytes() == versions[1]
