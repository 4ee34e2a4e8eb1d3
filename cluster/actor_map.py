"""Rows given to actors of the cluster by Ray Data, each once, and what they answer.

Enters: rows, and the class of the actors. Leaves: answers, as they are ready, and nothing on the cluster.
"""

import gc
import logging
from collections.abc import Generator, Sequence
from typing import Any

import ray

from cluster.versions import Versions, VersionsDiffer


def map_by_actors(
    rows: Sequence[dict[str, Any]],
    actor: type,
    arguments: tuple[Any, ...],
    *,
    num_actors: int,
    num_cpus: float | None,
    num_gpus: float | None,
) -> Generator[dict[str, Any], None, None]:
    """Gives each row to one of the actors. Ray Data starts an actor that was killed anew and gives it its row again.

    Args:
        actor: a class as of `Dataset.map_batches`, for batches of one row; its constructor takes `Versions` last, and
            its answers have its `refusal` in a column.
        arguments: of its constructor, without the versions.
        num_cpus: each one's share of a node; likewise `num_gpus`. None: as Ray Data has it.

    Raises:
        VersionsDiffer: an actor refused to work, as its node has other packages.
    """
    ray.data.DataContext.get_current().enable_progress_bars = False  # whoever calls knows better what is counted
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    answers = ray.data.from_items(list(rows), override_num_blocks=len(rows)).map_batches(
        actor,
        fn_constructor_args=(*arguments, Versions.here()),
        batch_size=1,
        compute=ray.data.ActorPoolStrategy(size=num_actors),
        num_cpus=num_cpus,
        num_gpus=num_gpus,
    )
    try:
        for row in answers.iter_rows():
            if row["refusal"]:
                raise VersionsDiffer(row["refusal"])
            yield row
    finally:
        del answers
        # Ray Data leaves a cycle behind that holds every answer. While somebody holds one, it lies in a node's memory,
        # and where that is lost, Ray has it computed again (Ray 2.60).
        gc.collect()
