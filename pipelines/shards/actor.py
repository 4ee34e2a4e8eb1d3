"""What Ray Data makes actors of. Imports neither Ray nor anything that computes, so that an actor is there at once."""

import json
from typing import Any

from pipelines.shards.isolated_worker import IsolatedWorker
from storage import traffic


class ShardActor:
    """A batch of requests in, a row of counts, or an error as data, for each out.

    Args: as `IsolatedWorker`.
    """

    def __init__(self, make_worker: bytes, clip_time_limit_s: float) -> None:
        from cluster.metrics import count_s3_bytes  # with Ray, which is there where actors are made, and not before

        traffic.listen(count_s3_bytes)
        self._worker = IsolatedWorker(make_worker, clip_time_limit_s=clip_time_limit_s)
        self._worker.start()

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[Any]]:
        return {"outcome": [json.dumps(self._worker.outcome(str(request))) for request in batch["request"]]}
