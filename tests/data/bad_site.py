"""A web server on this machine that misbehaves as told, for the download tests."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Site:
    """What the server sends, and what it was asked.

    Args:
        body: the file.
        etag: its version.
        cuts: how many bytes of the body each of the next answers sends before it hangs up; None sends all.
        ranges: whether it honours Range.
        status: answered instead of the file.
        pause: seconds before the body.
        length: Content-Length it claims instead of the true one.
        redirect: where it sends everybody.
        before: called at each request, to change the site under the client.
        asked: (path, Range, If-Range) of each request.
        sent: bytes of body sent.
    """

    body: bytes
    etag: str = '"one"'
    cuts: list[int | None] = field(default_factory=list)
    ranges: bool = True
    status: int = 200
    pause: float = 0.0
    length: int | None = None
    redirect: str = ""
    before: Callable[[Site], None] | None = None
    asked: list[tuple[str, str, str]] = field(default_factory=list)
    sent: int = 0


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_GET(self) -> None:
        site = self.server.site
        site.asked.append((self.path, self.headers.get("Range", ""), self.headers.get("If-Range", "")))
        if site.before:
            site.before(site)
        self.close_connection = True
        if site.redirect or site.status != 200:
            self.send_response(302 if site.redirect else site.status)
            if site.redirect:
                self.send_header("Location", site.redirect)
            self.send_header("Content-Length", "0")
            self.send_header("Connection", "close")
            self.end_headers()
            return
        start = 0
        wanted = self.headers.get("Range", "")
        if site.ranges and wanted and self.headers.get("If-Range", site.etag) == site.etag:
            start = int(wanted.removeprefix("bytes=").removesuffix("-"))
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(site.body) - 1}/{len(site.body)}")
        else:
            self.send_response(200)
        body = site.body[start:]
        self.send_header("Content-Length", str(len(body) if site.length is None else site.length))
        self.send_header("ETag", site.etag)
        self.send_header("Connection", "close")
        self.end_headers()
        cut = site.cuts.pop(0) if site.cuts else None
        self.wfile.flush()
        time.sleep(site.pause)
        piece = body if cut is None else body[: max(0, cut - start)]
        site.sent += len(piece)
        self.wfile.write(piece)

    def log_message(self, *args: object) -> None:
        """No log."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    site: Site

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that hung up is part of the test."""


@contextmanager
def serve(site: Site) -> Iterator[str]:
    """Run the site; gives its address."""
    server = _Server(("127.0.0.1", 0), _Handler)
    server.site = site
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
