"""An HTTP server in a thread that answers as it is told, well or badly."""

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar


@dataclass(frozen=True)
class Answer:
    """How one request is answered.

    Args:
        cut: Bytes after which the connection ends.
        ranges: "kept", "ignored", "wrong" (another part), or "forced" (whatever If-Range says).
        sized: Whether the size is said.
    """

    status: int = 200
    cut: int | None = None
    ranges: str = "kept"
    sized: bool = True
    chunked: bool = False
    stall: bool = False
    headers: dict[str, str] = field(default_factory=lambda: {"ETag": '"one"'})


class Site:
    """What the server has, how it answers, and what it was asked.

    Args:
        plan: Answers to the next requests; then `usual` ones.
    """

    def __init__(self, address: str) -> None:
        self.address = address
        self.release = threading.Event()  # of connections that stall
        self.reset(b"")

    def reset(self, content: bytes, *plan: Answer, usual: Answer = Answer()) -> str:
        """Have this content; the address of it."""
        self.content, self.plan, self.usual = content, list(plan), usual
        self.asked: list[dict[str, str]] = []
        self.paths: list[str] = []
        self.release.clear()
        return f"{self.address}/set.tar.gz"

    @property
    def ranges(self) -> list[str | None]:
        """The parts that were asked for, request by request."""
        return [each.get("Range") for each in self.asked]


class _Handler(BaseHTTPRequestHandler):
    site: ClassVar[Site]
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        site = self.site
        answer = site.plan.pop(0) if site.plan else site.usual
        site.asked.append(dict(self.headers))
        site.paths.append(self.path)
        self.close_connection = True
        if answer.status != 200:
            self._head(answer.status, {"Content-Length": "0", **answer.headers})
            return
        start = self._start(answer)
        if start is not None and start >= len(site.content):
            self._head(
                416, {"Content-Range": f"bytes */{len(site.content)}", "Content-Length": "0"}
            )
            return
        self._send(answer, start)

    def _start(self, answer: Answer) -> int | None:
        found = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        same = self.headers.get("If-Range") in answer.headers.values()
        if found is None or answer.ranges == "ignored" or (answer.ranges == "kept" and not same):
            return None
        return int(found[1]) - (answer.ranges == "wrong")

    def _send(self, answer: Answer, start: int | None) -> None:
        whole, headers = self.site.content, dict(answer.headers)
        body = whole[start or 0 :]
        if start is not None:
            headers["Content-Range"] = f"bytes {start}-{len(whole) - 1}/{len(whole)}"
        if answer.chunked:
            headers["Transfer-Encoding"] = "chunked"
        elif answer.sized:
            headers["Content-Length"] = str(len(body))
        self._head(200 if start is None else 206, headers)
        sent = body[: answer.cut]
        self.wfile.write(b"%x\r\n%s\r\n" % (len(sent), sent) if answer.chunked else sent)
        if answer.chunked and answer.cut is None:
            self.wfile.write(b"0\r\n\r\n")
        if answer.stall:
            self.wfile.flush()
            self.site.release.wait(20)
            self.wfile.write(body[len(sent) :])

    def _head(self, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Connection", "close")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass

    def handle(self) -> None:
        try:
            super().handle()
        except OSError:  # the other side went away
            self.close_connection = True

    def finish(self) -> None:
        with suppress(OSError):
            super().finish()


@contextmanager
def serving() -> Iterator[Site]:
    """A server at work."""
    handler = type("Handler", (_Handler,), {})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    handler.site = Site(f"http://127.0.0.1:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield handler.site
    finally:
        handler.site.release.set()
        server.shutdown()
        server.server_close()
        thread.join()
