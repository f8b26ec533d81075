"""Entry points of `torch.hub`: every shipped network by its name, and any file.

    torch.hub.load("path/to/a/clone", "hardnet.cdp5", source="local")
    torch.hub.load("path/to/a/clone", "load", "my.safetensors", source="local")

The weights are in the clone; nothing more is fetched.
"""

from collections.abc import Callable

from descompress import load
from descompress.nets import Net
from descompress.shelf import names, read_index

dependencies = ["cv2", "h5py", "jaxtyping", "safetensors", "scipy", "torch"]


def __dir__() -> list[str]:
    return [*names(), "dependencies", "load"]


def __getattr__(name: str) -> Callable[[], Net]:
    if name.startswith("__") or name not in names():
        raise AttributeError(f"there is no network {name!r}")

    def network() -> Net:
        return load(name)

    network.__doc__ = read_index()["networks"][name]["about"]
    return network
