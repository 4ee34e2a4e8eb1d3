"""A shard worker in a child process, as `pipelines/isolation` has it.

Enters: a shard request. Leaves: what came of it, as plain data. The child reads, decodes, computes and writes; a clip
that kills it twice becomes a quarantine row. Imports nothing that computes, as the parent lives in Ray's processes.
"""

from typing import Any

from pipelines.isolation.isolated_process import IsolatedProcess

_REMEDY = "Nothing was committed. Lower pipeline.num_actors, or take the clip out, and run again."


class IsolatedWorker:
    """Computes shards in a child process, which is replaced when it dies. Used by one thread.

    Args:
        make_worker: pickle of a function without arguments that makes a `ShardWorker`; only the child unpickles it.
        clip_time_limit_s: how long one clip may take from the read file to its log-mel.
    """

    def __init__(self, make_worker: bytes, *, clip_time_limit_s: float) -> None:
        self._process = IsolatedProcess(
            make_worker, clip_time_limit_s=clip_time_limit_s, remedy=_REMEDY, server="pipelines.shards.server"
        )

    def outcome(self, request: str) -> dict[str, Any]:
        """Computes and stores one shard.

        Args:
            request: a `ShardRequest` as JSON.

        Returns:
            The fields of a `Shard`, or an error as data, as Ray Data 2.60 loses the cause of an exception that a worker
            raises; `shard_of` tells them apart.
        """
        return self._process.outcome(request)

    def start(self) -> None:
        """Starts the child, so that it imports and plans while the caller does something else."""
        self._process.start()

    @property
    def peak_bytes(self) -> int | None:
        """As of `IsolatedProcess`."""
        return self._process.peak_bytes

    def close(self) -> None:
        """Ends the child; the next call would start another one."""
        self._process.close()
