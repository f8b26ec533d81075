"""The table of data sets: where each is published, and what is known of its archive.

A checksum stands here only where someone can be named who says it, and so does a size to the byte.
An archive without either is trusted on first use: its own checksum is recorded beside it.
"""

from dataclasses import dataclass
from difflib import get_close_matches
from urllib.parse import unquote, urlsplit

from ..errors import RequestError

GB = 10**9


@dataclass(frozen=True)
class Checksum:
    """What the digest of a file should be.

    Args:
        algorithm: A name that `hashlib` knows.
        said_by: Who says so.
    """

    algorithm: str
    digest: str
    said_by: str


@dataclass(frozen=True)
class Archive:
    """A file to fetch.

    Args:
        size: In bytes; None where nobody says it.
        checksums: One of them must be right; with none, the file is trusted on first use.
    """

    url: str
    size: int | None = None
    checksums: tuple[Checksum, ...] = ()

    @property
    def name(self) -> str:
        """Name of the file, as the address ends."""
        return unquote(urlsplit(self.url).path).rpartition("/")[2]


@dataclass(frozen=True)
class Limits:
    """What an archive may grow to; more is refused, whoever sent it.

    Args:
        packed: Bytes of the archive.
        unpacked: Bytes of all files in it.
        files: How many.
    """

    packed: int
    unpacked: int
    files: int


@dataclass(frozen=True)
class DataSet:
    """A set: its archives are alternatives, the one to prefer first.

    Args:
        page: Says the terms of use and what to cite.
        amount: About how much is fetched, in words of its publisher.
        marker: A pattern of files that tells the folder to read from others around it.
    """

    about: str
    page: str
    amount: str
    marker: str
    limits: Limits
    archives: tuple[Archive, ...]


_HPATCHES = "https://github.com/hpatches/hpatches-dataset"
_HUB = "https://huggingface.co/datasets/vbalnt/hpatches/resolve/main"  # the authors', since 2025
_ICVL = "http://icvl.ee.ic.ac.uk/vbalnt"  # until 2024; it may come back, and copies keep the names
_BROWN = "http://matthewalunbrown.com/patchdata"
_CIFAR = "https://www.cs.toronto.edu/~kriz"


def _tour(scene: str, harris: str, dog: str) -> dict[str, DataSet]:
    """One scene of the PhotoTour patches, around maxima of DoG and around Harris corners.

    Args:
        harris, dog: MD5 of the archives.
    """
    said, limits = "torchvision.datasets.PhotoTour", Limits(5 * GB, 8 * GB, 10_000)
    copied = (Checksum("md5", dog, f"{said}, for the copy at icvl.ee.ic.ac.uk,"),)

    def tour(points: str, *archives: Archive) -> DataSet:
        about = f"PhotoTour patches of {scene} around {points}"
        return DataSet(about, f"{_BROWN}/patchdata.html", "1-2 GB", "info.txt", limits, archives)

    return {
        f"phototour-{scene}": tour(
            "maxima of DoG",
            Archive(f"{_BROWN}/{scene}.zip", checksums=copied),
            Archive(f"{_ICVL}/{scene}.zip", checksums=copied),
        ),
        f"phototour-{scene}-harris": tour(
            "Harris corners",
            Archive(f"{_BROWN}/{scene}_harris.zip", checksums=(Checksum("md5", harris, said),)),
        ),
    }


SETS: dict[str, DataSet] = {
    "hpatches": DataSet(
        about="HPatches, the patches of 116 sequences",
        page=_HPATCHES,
        amount="4.2 GB",
        marker="*/ref.png",
        limits=Limits(8 * GB, 16 * GB, 10_000),
        archives=(
            Archive(f"{_HUB}/hpatches-release.zip"),
            Archive(
                f"{_ICVL}/hpatches/hpatches-release.tar.gz",
                checksums=(
                    Checksum(
                        "md5",
                        "0ab830d37fceb2b4c86cb1cc6cc79a61",
                        "public PyTorch loaders of this address (class HPatches)",
                    ),
                ),
            ),
        ),
    ),
    "hpatches-sequences": DataSet(
        about="HPatches, the whole images and their homographies",
        page=_HPATCHES,
        amount="1.3 GB",
        marker="*/H_1_2",
        limits=Limits(4 * GB, 8 * GB, 10_000),
        archives=(
            Archive(
                f"{_HUB}/hpatches-sequences-release.zip",
                size=1_279_545_572,
                checksums=(
                    Checksum(
                        "sha256",
                        "99cf7e1ca167896eb4ca2fe3d903beff6566243a3c0c8e07a13a2596648ad670",
                        "the hub's entry for large files, as public scripts that fetch it note it",
                    ),
                ),
            ),
            Archive(f"{_ICVL}/hpatches/hpatches-sequences-release.tar.gz"),
        ),
    ),
    **_tour(
        "liberty",
        harris="c731fcfb3abb4091110d0ae8c7ba182c",
        dog="fdd9152f138ea5ef2091746689176414",
    ),
    **_tour(
        "notredame",
        harris="69f8c90f78e171349abdf0307afefe4d",
        dog="509eda8535847b8c0a90bbb210c83484",
    ),
    **_tour(
        "yosemite",
        harris="a73253d1c6fbd3ba2613c45065c00d46",
        dog="533b2e8eb7ede31be40abc317b2fd4f0",
    ),
    "cifar-10": DataSet(
        about="CIFAR-10, binary version",
        page=f"{_CIFAR}/cifar.html",
        amount="162 MB",
        marker="data_batch_1.bin",
        limits=Limits(GB, GB, 100),
        archives=(
            Archive(
                f"{_CIFAR}/cifar-10-binary.tar.gz",
                size=170_052_171,  # as TensorFlow's CIFAR-10 tutorial prints it
                checksums=(
                    Checksum("md5", "c32a1d4ab5d03f1284b67883e8d87530", "the set's own page"),
                ),
            ),
        ),
    ),
    "cifar-100": DataSet(
        about="CIFAR-100, binary version",
        page=f"{_CIFAR}/cifar.html",
        amount="161 MB",
        marker="train.bin",
        limits=Limits(GB, GB, 100),
        archives=(
            Archive(
                f"{_CIFAR}/cifar-100-binary.tar.gz",
                checksums=(
                    Checksum("md5", "03b5dce01913d631647c71ecec9e9cb8", "the set's own page"),
                ),
            ),
        ),
    ),
}


def find_set(name: str) -> DataSet:
    """The set called `name`.

    Raises:
        RequestError: There is none.
    """
    if name not in SETS:
        near = get_close_matches(name, SETS, n=3, cutoff=0.3) or list(SETS)
        raise RequestError(f"{name}: no such data set; there are {', '.join(near)}, ...")
    return SETS[name]
