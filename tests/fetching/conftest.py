import resource

import pytest
from http_site import serving


@pytest.fixture(scope="session")
def server():
    with serving() as site:
        yield site


@pytest.fixture
def site(server, monkeypatch):
    """A server of 300,007 bytes, reached directly."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.delenv(name, raising=False)
    server.reset(bytes(range(251)) * 1195 + bytes(62))
    yield server
    server.release.set()


@pytest.fixture
def disk_of():
    """Make the disk full for files longer than so many bytes."""
    usual = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, usual[1]))
    resource.setrlimit(resource.RLIMIT_FSIZE, usual)
