import resource
from contextlib import contextmanager

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
    """The disk is full for files longer than so many bytes, within `with disk_of(size):`.

    No longer: the file that a test's outcome is written to may be longer by itself.
    """
    return _disk_of


@contextmanager
def _disk_of(size):
    usual = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, usual[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, usual)
