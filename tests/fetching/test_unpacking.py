"""What is unpacked is what was packed, inside its folder, or nothing."""

import gzip
import io
import stat
import tarfile
import zipfile

import pytest
from archives import tar_gz, tree, zipped
from hypothesis import given, settings
from hypothesis import strategies as st

from descompress.errors import FileError
from descompress.fetching.sources import Limits
from descompress.fetching.unpacking import unpack
from hpatches_eval.progress import silent

LIMITS = Limits(packed=10**6, unpacked=10**5, files=20)
FILES = {"set/a/ref.png": b"1" * 5000, "set/b/ref.png": b"2", "set/a/e1.png": b""}
KINDS = {"zip": zipped, "tar": tar_gz}


@pytest.fixture(params=KINDS)
def pack(request, tmp_path):
    """Write an archive of these files."""
    return lambda files: KINDS[request.param](tmp_path / "archive", files)


def opened(path, limits=LIMITS, marker="*/ref.png"):
    """The files of the folder that `path` becomes; what else there is in its place must stay."""
    before = {each.name for each in path.parent.iterdir()}
    try:
        unpack(path, path.parent / "out", marker, limits, silent)
    except FileError:
        assert {each.name for each in path.parent.iterdir()} == before
        raise
    assert {each.name for each in path.parent.iterdir()} == before | {"out"}
    return tree(path.parent / "out", "set/")


def test_files_come_out_as_they_went_in(pack):
    assert opened(pack(FILES)) == FILES


def test_folders_around_the_set_are_left_out(pack):
    deep = {f"x/y/{name}": content for name, content in FILES.items()}
    assert opened(pack(deep)) == FILES


def test_a_set_at_the_top_is_taken_as_it_is(pack):
    flat = {"info.txt": b"1", "patches0000.bmp": b"2"}
    unpacked = opened(pack(flat), marker="info.txt")
    assert unpacked == {f"set/{name}": content for name, content in flat.items()}


def test_what_file_managers_add_is_left_out(pack):
    junk = {"__MACOSX/set/._a": b"", "set/.DS_Store": b"", "set/a/._ref.png": b"", "set/q._": b"1"}
    assert opened(pack({**FILES, **junk})) == {**FILES, "set/q._": b"1"}


def test_an_archive_of_something_else_is_refused(pack):
    for files in ({"a/b.txt": b""}, {"a/x": b"", "b/c/ref.png": b""}):
        with pytest.raises(FileError, match=r"holds no \*/ref.png, is it the archive of another"):
            opened(pack(files))


@pytest.mark.parametrize(
    "name",
    ["../out.png", "/etc/out.png", "set/../../out.png", "C:/out.png", "c:out.png", ".."],
)
def test_names_that_leave_the_folder_are_refused(pack, tmp_path, name):
    with pytest.raises(FileError, match="leaves its folder; nothing is unpacked"):
        opened(pack({**FILES, name: b"bad"}))
    assert not (tmp_path.parent / "out.png").exists()


def test_names_with_backslashes_are_refused(pack):
    with pytest.raises(FileError, match="not a name for every system"):
        opened(pack({**FILES, "set\\..\\x": b"bad"}))


@pytest.mark.parametrize(
    "kind",
    [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE,
     tarfile.GNUTYPE_SPARSE, b"?"],
)  # fmt: skip
def test_links_and_devices_in_a_tar_are_refused(tmp_path, kind):
    member = tarfile.TarInfo("set/a/link")
    member.type, member.linkname = kind, "../../../outside"
    with pytest.raises(FileError, match="'set/a/link' is a link or a device"):
        opened(tar_gz(tmp_path / "archive", FILES, member))


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFCHR, stat.S_IFBLK, stat.S_IFIFO])
def test_links_and_devices_in_a_zip_are_refused(tmp_path, kind):
    files = {**FILES, "set/a/link": b"/etc"}
    with pytest.raises(FileError, match="'set/a/link' is a link or a device"):
        opened(zipped(tmp_path / "archive", files, {"set/a/link": kind | 0o777}))


def test_modes_are_not_kept(tmp_path):
    modes = dict.fromkeys(FILES, stat.S_IFREG | 0o6777)
    opened(zipped(tmp_path / "archive", FILES, modes))
    assert stat.S_IMODE((tmp_path / "out/a/ref.png").stat().st_mode) & 0o7111 == 0


def test_folders_may_be_named_before_their_files(tmp_path):
    folder = tarfile.TarInfo("set/a")
    folder.type = tarfile.DIRTYPE
    assert opened(tar_gz(tmp_path / "one", FILES, folder)) == FILES
    (tmp_path / "out").rename(tmp_path / "first")
    assert opened(zipped(tmp_path / "two", {"set/": b"", "set/a/": b"", **FILES})) == FILES


def test_a_name_may_be_there_once(tmp_path):
    path = zipped(tmp_path / "archive", FILES)
    with zipfile.ZipFile(path, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("set/b/ref.png", b"3")
    with pytest.raises(FileError, match=r"'set/b/ref.png' is there twice"):
        opened(path)
    with pytest.raises(FileError, match=r"'set/b/ref.png/x' is there twice"):
        opened(tar_gz(path, {**FILES, "set/b/ref.png/x": b""}))


def test_more_bytes_than_allowed_are_refused(pack):
    path = pack(FILES)
    assert opened(path, Limits(10**6, 5001, 20)) == FILES
    (path.parent / "out").rename(path.parent / "first")
    with pytest.raises(FileError, match="more than the 5,000 bytes or 20 files allowed"):
        opened(path, Limits(10**6, 5000, 20))


def test_more_files_than_allowed_are_refused(pack):
    with pytest.raises(FileError, match="100,000 bytes or 2 files allowed"):
        opened(pack(FILES), Limits(10**6, 10**5, 2))


def test_a_longer_archive_than_allowed_is_refused(pack):
    path = pack(FILES)
    with pytest.raises(FileError, match="more than the 50 bytes allowed"):
        opened(path, Limits(50, 10**5, 20))


@pytest.mark.parametrize("other", [500, 60_000])
def test_a_zip_that_holds_more_or_less_than_it_says_is_refused(tmp_path, other):
    path = zipped(tmp_path / "archive", {"set/a/ref.png": b"1" * 50_000})
    said = (50_000).to_bytes(4, "little")
    assert path.read_bytes().count(said) == 2
    path.write_bytes(path.read_bytes().replace(said, other.to_bytes(4, "little")))
    with pytest.raises(FileError, match="damaged"):
        opened(path)


def test_a_header_that_would_fill_the_memory_is_refused(tmp_path):
    head = tarfile.TarInfo("././@LongLink")
    head.type, head.size = tarfile.GNUTYPE_LONGNAME, 2**25
    with gzip.open(tmp_path / "archive", "wb") as file:
        file.write(head.tobuf(tarfile.GNU_FORMAT) + b"a" * 2**25)
    with pytest.raises(FileError, match="a header is too long"):
        opened(tmp_path / "archive", Limits(10**6, 10**9, 20))


def test_headers_without_end_are_refused(tmp_path):
    head = tarfile.TarInfo("././@LongLink")
    head.type, head.size = tarfile.GNUTYPE_LONGNAME, 512
    with gzip.open(tmp_path / "archive", "wb") as file:
        file.write((head.tobuf(tarfile.GNU_FORMAT) + b"a" * 512) * 2000)
    with pytest.raises(FileError, match="damaged"):
        opened(tmp_path / "archive")


def test_bytes_after_the_end_of_a_tar_are_bounded(tmp_path):
    path = tar_gz(tmp_path / "archive", FILES)
    with gzip.open(path, "ab") as file:
        file.write(bytes(10**6))
    with pytest.raises(FileError, match=r"damaged archive \(more than"):
        opened(path)


def test_a_password_is_refused(tmp_path):
    path = zipped(tmp_path / "archive", FILES)
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(content)
    with pytest.raises(FileError, match=r"damaged archive .*password"):
        opened(path)


@pytest.mark.parametrize("share", [0.2, 0.5, 0.9, 0.999])
def test_a_torn_archive_is_refused(pack, share):
    path = pack(FILES)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(FileError, match="damaged"):
        opened(path)


def test_a_changed_bit_in_a_tar_is_seen_even_where_nothing_is_read(tmp_path):
    path = tar_gz(tmp_path / "archive", FILES)
    content = bytearray(gzip.decompress(path.read_bytes()))
    whole = gzip.compress(bytes(content))
    content[-1] = 1  # padding
    path.write_bytes(gzip.compress(bytes(content))[:-8] + whole[-8:])
    with pytest.raises(FileError, match="CRC"):
        opened(path)


def test_what_a_killed_process_left_is_cleared(pack, tmp_path):
    path = pack(FILES)
    left = tmp_path / ".out.unpacking"
    (left / "set/z").mkdir(parents=True)
    (left / "set/z/ref.png").write_bytes(b"half")
    unpack(path, tmp_path / "out", "*/ref.png", LIMITS, silent)
    assert tree(tmp_path / "out", "set/") == FILES
    assert not left.exists()


def test_a_full_disk_leaves_nothing_behind(pack, disk_of):
    path = pack({**FILES, "set/a/h1.png": bytes(3000)})
    with disk_of(4000), pytest.raises(FileError, match=r"out: cannot be made \(File too large\)"):
        opened(path)


pieces = st.sampled_from(["..", ".", "a", "b", "ref.png", "", "C:", "\\", "\0", "é", "\udcff", "/"])
names = st.lists(pieces, min_size=1, max_size=5).map("/".join)


@settings(max_examples=40)
@given(st.dictionaries(names, st.binary(max_size=5), max_size=4), st.sampled_from(list(KINDS)))
def test_nothing_ever_lands_outside(tmp_path_factory, files, kind):
    root = tmp_path_factory.mktemp("any")
    (root / "in/deep").mkdir(parents=True)
    try:
        path = KINDS[kind](root / "in/deep/archive", files)
    except (ValueError, UnicodeError):
        return  # a name that the format cannot say
    try:
        unpack(path, root / "in/deep/out", "ref.png", LIMITS, silent)
    except FileError:
        assert not (root / "in/deep/out").exists()
    assert {each.name for each in root.iterdir()} == {"in"}
    assert {each.name for each in (root / "in").iterdir()} == {"deep"}
    assert {each.name for each in (root / "in/deep").iterdir()} <= {"archive", "out"}


def content_of(kind):
    file = io.BytesIO()
    if kind == "zip":
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in FILES.items():
                archive.writestr(name, content)
    else:
        with tarfile.open(fileobj=file, mode="w:gz") as archive:
            for name, content in FILES.items():
                info = tarfile.TarInfo(name)
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
    return file.getvalue()


CONTENT = {kind: content_of(kind) for kind in KINDS}


@settings(max_examples=60)
@given(st.sampled_from(list(KINDS)), st.floats(0, 1, exclude_max=True), st.integers(1, 255))
def test_damage_is_refused_or_harmless(tmp_path_factory, kind, where, change):
    root = tmp_path_factory.mktemp("any")
    content = bytearray(CONTENT[kind])
    content[int(where * len(content))] ^= change
    (root / "archive").write_bytes(content)
    try:
        found = opened(root / "archive", marker="a/ref.png" if kind == "zip" else "*/ref.png")
    except FileError:
        return
    if kind == "tar":
        assert found == FILES
