"""EC2's instance metadata service (IMDSv2), as a spot instance has it, for as long as a `with` block lasts."""

import json
import secrets
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class InstanceMetadata:
    """Refuses who has no token that is valid now.

    Attributes:
        values: name below meta-data/ → what is there.
        is_away: connections end without an answer.
        num_asked: requests for a value, by name.
        num_tokens: that were given out.
    """

    def __init__(self, host: str = "127.0.0.1", *, address: str = "127.0.0.1", life_cycle: str = "spot") -> None:
        self.values = {"instance-life-cycle": life_cycle, "local-ipv4": address}
        self.is_away = False
        self.num_asked: dict[str, int] = {}
        self.num_tokens = 0
        self._tokens: set[str] = set()
        self._server = ThreadingHTTPServer((host, 0), _handler(self))
        self.endpoint = f"http://{host}:{self._server.server_address[1]}"

    def __enter__(self) -> "InstanceMetadata":
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def announce(self, when: str) -> None:
        """The instance will be terminated."""
        self.values["spot/instance-action"] = json.dumps({"action": "terminate", "time": when})

    def expire_tokens(self) -> None:
        self._tokens.clear()

    def answer(self, method: str, path: str, headers: Any) -> tuple[int, str]:
        """Status and body."""
        if (method, path) == ("PUT", "/latest/api/token"):
            if not 1 <= int(headers.get("X-aws-ec2-metadata-token-ttl-seconds", "0")) <= 21600:
                return 400, ""
            self.num_tokens += 1
            self._tokens.add(token := secrets.token_hex(16))
            return 200, token
        name = path.removeprefix("/latest/meta-data/")
        self.num_asked[name] = self.num_asked.get(name, 0) + 1
        if headers.get("X-aws-ec2-metadata-token") not in self._tokens:
            return 401, ""
        return (200, self.values[name]) if name in self.values else (404, "")


def _handler(metadata: InstanceMetadata) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def _reply(self) -> None:
            if metadata.is_away:
                self.close_connection = True
                return
            status, body = metadata.answer(self.command, self.path, self.headers)
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body.encode())

        do_GET = do_PUT = _reply

        def log_message(self, *_: Any) -> None:
            pass

    return Handler
