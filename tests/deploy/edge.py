"""deploy/nginx.conf at work on loopback, and an upstream that records what reaches it."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import random
import re
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

DEPLOY = Path(__file__).parents[2] / "deploy"
HOST = "127.0.0.1"
JSON = {"Content-Type": "application/json"}


@dataclass(frozen=True)
class Request:
    """What reached the upstream; header names in lower case."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True)
class Response:
    """What the upstream answers, or what the client got; header names in lower case."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b'{"success": true}'

    @property
    def json(self) -> Any:
        """The body, read as JSON."""
        return json.loads(self.body)


def public(seconds: int = 60, body: bytes = b'{"success": true}', **headers: str) -> Response:
    """An answer that edges may keep."""
    control = {"Cache-Control": f"public, max-age=0, s-maxage={seconds}"}
    return Response(200, control | headers, body)


class Upstream:
    """Stands where PostgREST stands, and gives its answer to every request."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.answer: Response | Callable[[Request], Response] = public()

    @property
    def last(self) -> Request:
        """The latest request."""
        return self.requests[-1]

    @contextlib.contextmanager
    def running(self) -> Iterator[str]:
        """Serve, and yield the address."""
        upstream = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def serve(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                headers = {name.lower(): value for name, value in self.headers.items()}
                request = Request(self.command, self.path, headers, body)
                upstream.requests.append(request)
                answer = upstream.answer
                response = answer if isinstance(answer, Response) else answer(request)
                self.send_response(response.status)
                for name, value in (JSON | dict(response.headers)).items():
                    self.send_header(name, value)
                if response.status != 304:
                    self.send_header("Content-Length", str(len(response.body)))
                self.end_headers()
                if response.status != 304 and self.command != "HEAD":
                    self.wfile.write(response.body)

            do_GET = do_HEAD = do_POST = do_PATCH = do_DELETE = do_OPTIONS = serve  # noqa: N815

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                pass

        server = ThreadingHTTPServer((HOST, 0), Handler)
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"{HOST}:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
            server.server_close()


@dataclass(frozen=True)
class Edge:
    """A running nginx."""

    port: int
    folder: Path

    def ask(
        self,
        path: str,
        method: str = "GET",
        body: object = None,
        *,
        address: str = HOST,
        **headers: str,
    ) -> Response:
        """Send one request from that loopback address; underscores in header names are hyphens."""
        connection = http.client.HTTPConnection(
            HOST, self.port, timeout=20, source_address=(address, 0)
        )
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
        with contextlib.closing(connection):
            connection.request(method, path, body, JSON | sent if body is not None else sent)
            answer = connection.getresponse()
            got = {name.lower(): value for name, value in answer.getheaders()}
            return Response(answer.status, got, answer.read())

    def post(self, path: str, body: object = None, **headers: str) -> Response:
        """POST as JSON."""
        return self.ask(path, "POST", {} if body is None else body, **headers)

    def log(self) -> str:
        """The access log."""
        return (self.folder / "access.log").read_text()


def rendered(folder: Path, port: int, upstream: str, proxy: str | None = None) -> Path:
    """A whole nginx configuration around the shipped file, whose "adapt" lines are adapted.

    `proxy` is the address of a proxy that it believes, as its comment on CDNs says.
    """
    shipped = (DEPLOY / "nginx.conf").read_text()
    changes = {
        r"server 127\.0\.0\.1:3000;": f"server {upstream};",
        r"listen 80 default_server;": f"listen {HOST}:{port} default_server;",
        r"/var/cache/pgbooking\b": f"{folder}/cache",
        r"/var/log/nginx/access\.log\b": f"{folder}/access.log",
    }
    if proxy:
        changes |= {
            r"# +set_real_ip_from 192\.0\.2\.0/24;": f"set_real_ip_from {proxy};",
            r"# +real_ip_header X-Forwarded-For;": "real_ip_header X-Forwarded-For;",
        }
    for pattern, replacement in changes.items():
        shipped, found = re.subn(pattern, replacement, shipped)
        assert found == 1, f"{pattern} stands {found} times in deploy/nginx.conf"
    (folder / "pgbooking.conf").write_text(shipped)
    temporary = "\n".join(
        f"  {name}_temp_path {folder}/{name};"
        for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    main = folder / "nginx.conf"
    main.write_text(
        f"{'user root;' if os.geteuid() == 0 else ''}\n"
        f"daemon off;\nworker_processes 2;\npid {folder}/pid;\nerror_log {folder}/error.log;\n"
        f"events {{}}\nhttp {{\n{temporary}\n  include {folder}/pgbooking.conf;\n}}\n"
    )
    return main


@contextlib.contextmanager
def running_edge(
    nginx: str, folder: Path, upstream: str, proxy: str | None = None
) -> Iterator[Edge]:
    """Start nginx with the shipped file."""
    port = free_port()
    configuration = rendered(folder, port, upstream, proxy)
    process = subprocess.Popen([nginx, "-c", str(configuration), "-e", str(folder / "error.log")])
    try:
        wait_for_port(port, process, folder / "error.log")
        yield Edge(port, folder)
    finally:
        process.terminate()
        process.wait()


def free_port() -> int:
    """A port that nobody listens on, below those that the system gives to whoever connects."""
    while True:
        port = random.randrange(20_000, 32_000)
        with contextlib.suppress(OSError), socket.socket() as listener:
            listener.bind((HOST, port))
            return port


def wait_for_port(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    """Return when somebody listens; fail with the log where the process has ended."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text()
        with contextlib.suppress(ConnectionRefusedError), socket.create_connection((HOST, port)):
            return
        time.sleep(0.01)
    raise AssertionError(f"nobody listens on port {port}: {log.read_text()}")


def wait_until(condition: Callable[[], bool], seconds: float = 10) -> None:
    """Return when it holds; fail where it does not in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it has not come about"
        time.sleep(0.01)
