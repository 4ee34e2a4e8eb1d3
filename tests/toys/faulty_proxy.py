"""An HTTP proxy on loopback between a store and its S3 server that spoils some of the requests, by a seeded draw.

python tests/toys/faulty_proxy.py <host:port of the server> <seed> <share of requests to spoil> <seconds>

A late answer, and work that is begun late, come after these seconds: the client has given up and asked again by then.

Prints its own port, then serves until its standard input ends, and prints how often it did what. It is a process of its
own, so that it does not share an interpreter with the server.
"""

import http.client
import json
import random
import socket
import struct
import sys
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

FAULTS = ("500", "503", "lost answer", "reset before", "broken answer", "late answer", "late work")
_ERROR = '<?xml version="1.0"?><Error><Code>{}</Code><Message>injected</Message></Error>'
_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length", "expect"}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: "_Proxy"

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        fault = self.server.draw()
        if fault == "500":
            self._answer(500, [], _ERROR.format("InternalError").encode())
        elif fault == "503":
            self._answer(503, [], _ERROR.format("SlowDown").encode())
        elif fault == "reset before":
            self._reset()
        else:
            if fault == "late work":
                time.sleep(self.server.late_s)
            status, headers, answer = self._forward(body)
            if fault == "late answer":
                time.sleep(self.server.late_s)
            if fault == "lost answer":  # the server has carried it out
                self._reset()
            else:
                self._answer(status, headers, answer, cut=fault == "broken answer" and len(answer) > 1)

    do_GET = do_PUT = do_DELETE = do_HEAD = do_POST = _serve

    def _forward(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        connection = http.client.HTTPConnection(self.server.upstream, timeout=60)
        try:
            headers = {name: value for name, value in self.headers.items() if name.lower() not in _HOP}
            connection.request(
                self.command, self.path, body=body, headers={**headers, "Content-Length": str(len(body))}
            )
            response = connection.getresponse()
            return response.status, response.getheaders(), response.read()
        finally:
            connection.close()

    def _answer(self, status: int, headers: list[tuple[str, str]], body: bytes, *, cut: bool = False) -> None:
        self.send_response(status)
        for name, value in headers:
            if name.lower() not in {*_HOP, "date", "server"}:
                self.send_header(name, value)
        length = dict((name.lower(), value) for name, value in headers).get("content-length")
        self.send_header("Content-Length", length or str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body[: len(body) // 2] if cut else body)
        if cut:
            self._reset()

    def _reset(self) -> None:
        self.wfile.flush()
        self.close_connection = True
        # Closed with nothing lingering: the client sees a reset and not an orderly end.
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()

    def handle(self) -> None:
        try:
            super().handle()
        except (OSError, ValueError):
            pass  # the client was killed, or the connection is the one that was reset above

    def finish(self) -> None:
        try:
            super().finish()
        except (OSError, ValueError):
            pass

    def log_message(self, *_: object) -> None:
        pass


class _Proxy(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, upstream: str, seed: int, share: float, late_s: float) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.upstream, self.late_s, self.done = upstream, late_s, Counter[str]()
        self._chance, self._share, self._lock = random.Random(seed), share, threading.Lock()

    def draw(self) -> str | None:
        with self._lock:
            fault = self._chance.choice(FAULTS) if self._chance.random() < self._share else None
            self.done[fault or "passed on"] += 1
        return fault

    def handle_error(self, *_: object) -> None:
        pass


def main() -> None:
    upstream, seed, share, late_s = sys.argv[1:]
    with _Proxy(upstream, int(seed), float(share), float(late_s)) as proxy:
        print(proxy.server_port, flush=True)
        threading.Thread(target=proxy.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        sys.stdin.read()
        proxy.shutdown()
        print(json.dumps(proxy.done), flush=True)


if __name__ == "__main__":
    main()
