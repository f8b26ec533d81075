"""Archives in the published layouts, and in layouts nobody should publish."""

import io
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path


def tar_gz(path: Path, files: Mapping[str, bytes], *members: tarfile.TarInfo) -> Path:
    """A tar.gz of these files, and of these members without content."""
    with tarfile.open(path, "w:gz", compresslevel=1) as archive:
        for member in members:
            archive.addfile(member)
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def zipped(path: Path, files: Mapping[str, bytes], modes: Mapping[str, int] | None = None) -> Path:
    """A zip of these files, some with the mode bits of Unix; names are taken as they are."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, content in files.items():
            info = zipfile.ZipInfo("x")
            info.filename = name
            info.external_attr = (modes or {}).get(name, 0) << 16
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, content)
    return path


def tree(folder: Path, below: str = "") -> dict[str, bytes]:
    """The files of a folder by their paths, with something before them."""
    files = sorted(each for each in folder.rglob("*") if each.is_file())
    return {f"{below}{each.relative_to(folder).as_posix()}": each.read_bytes() for each in files}
