"""What Ray Data makes actors of. Imports neither Ray nor anything that computes, so that an actor is there at once."""

import json
from typing import TYPE_CHECKING, Any

from pipelines.shards.isolated_worker import IsolatedWorker
from storage import traffic

if TYPE_CHECKING:
    from cluster.versions import Versions  # with Ray, which is there where actors are made, and not before


class ShardActor:
    """A batch of requests in, a row of counts, or an error as data, for each out.

    Args: as `IsolatedWorker`; `versions` of the driver, who is refused where others are installed here.
    """

    def __init__(self, make_worker: bytes, clip_time_limit_s: float, versions: "Versions") -> None:
        from cluster.metrics import count_s3_bytes  # likewise

        traffic.listen(count_s3_bytes)
        self._refusal = versions.refusal()
        self._worker = IsolatedWorker(make_worker, clip_time_limit_s=clip_time_limit_s)
        if not self._refusal:
            self._worker.start()

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[Any]]:
        requests = [str(request) for request in batch["request"]]
        outcomes = [{} if self._refusal else self._worker.outcome(request) for request in requests]
        return {"outcome": list(map(json.dumps, outcomes)), "refusal": [self._refusal] * len(requests)}
