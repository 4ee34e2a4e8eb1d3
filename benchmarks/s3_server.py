"""S3 as moto speaks it, on an address of one's choice, with answers that may be made late.

python benchmarks/s3_server.py <address> <port> <file>

The file holds how many seconds every answer takes longer; none where it is absent. It prints `open` when it listens.
"""

import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server


def main(address: str, port: int, late: Path) -> None:
    answer: Any = DomainDispatcherApplication(create_backend_app)

    def answer_late(environment: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if late.exists():
            time.sleep(float(late.read_text() or 0))
        return answer(environment, start_response)  # type: ignore[no-any-return]

    server = make_server(address, port, answer_late, threaded=True)
    print("open", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]))
