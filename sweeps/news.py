"""What planned trials, folds of an experiment among them, tell while they train, on its way from Ray's workers.

News are for people and logs: the results table has everything before it is told, and so a training never ends because
nobody hears of it. Enters: news, in any worker. Leaves: the same in the driver, those of a worker in its order.
"""

import logging
from dataclasses import dataclass

import ray
from ray.util.queue import Queue
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from sweeps.records import TrialState
from sweeps.trial_actor import EpochNews
from training import SeedResult


@dataclass(frozen=True, kw_only=True, slots=True)
class FoldNews:
    """An epoch of a trial, as told while it trains.

    Attributes:
        number: of the trial among those that were planned.
        fold: that it is tested on; None on the split of a sweep.
    """

    number: int
    fold: int | None
    news: EpochNews


@dataclass(frozen=True, kw_only=True, slots=True)
class SeedNews:
    """A seed of a trial is trained to its end; without its weights and embeddings, which lie in the store."""

    number: int
    fold: int | None
    result: SeedResult


@dataclass(frozen=True, kw_only=True, slots=True)
class FoldEnded:
    """A trial has ended, now or before this process began; `state` is None for one that stays open."""

    number: int
    fold: int | None
    state: TrialState | None


News = FoldNews | SeedNews | FoldEnded


class NewsQueue:
    """Travels to workers by pickle. Neither end raises when the other is out of reach; each says so once.

    Its actor stands on the driver's own node: no other node can take the news away when it dies.
    """

    def __init__(self) -> None:
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        self._queue = Queue(actor_options={"num_cpus": 0, "scheduling_strategy": here})
        self._is_lost = False

    def tell(self, news: News) -> None:
        """Returns once the news cannot get lost by the end of this worker."""
        if not self._is_lost:
            try:
                self._queue.put(news)
            except ray.exceptions.RayError as e:
                self._lose(e)

    def heard(self) -> list[News]:
        """What was told since the last call."""
        if not self._is_lost:
            try:
                return list(self._queue.get_nowait_batch(self._queue.qsize()))
            except ray.exceptions.RayError as e:
                self._lose(e)
        return []

    def close(self) -> None:
        """Ends the actor; for the driver."""
        self._queue.shutdown(force=True)

    def _lose(self, error: Exception) -> None:
        self._is_lost = True
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        logging.getLogger(__name__).warning(
            "the progress of folds can no longer be told (%s); training goes on, and the results table has all of it",
            reason,
        )
