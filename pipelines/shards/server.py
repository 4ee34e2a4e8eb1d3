"""The life of the process that computes shards: the child of `isolated_worker.py`, and the only one who calls this."""

import dataclasses
from typing import Any

from pipelines.decoding.rules import Undecodable
from pipelines.isolation import server
from pipelines.isolation.server import Answer, Lost, OnClip
from pipelines.shards.request import ShardRequest
from pipelines.shards.worker import ShardWorker


def serve(pipe_fd: int, lifeline_fd: int, hand_fd: int) -> None:
    """The child's whole life: makes a worker, then computes shards until the parent is gone."""
    server.serve(pipe_fd, lifeline_fd, hand_fd, answer_of=_answer_of)


def _answer_of(worker: ShardWorker) -> Answer:
    def answer(request: str, lost: Lost, on_clip: OnClip) -> dict[str, Any]:
        refused = {clip_id: Undecodable(*why) for clip_id, why in lost.items()}
        return dataclasses.asdict(worker.compute(ShardRequest.from_json(request), refused=refused, on_clip=on_clip))

    return answer
