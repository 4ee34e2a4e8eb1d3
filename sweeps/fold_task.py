"""One planned trial as a Ray task, as a rule a fold: started by the driver, trained in a worker, recorded there.

Enters: what the trial is trained on and where its results go. Leaves: rows in the results table, the embeddings of an
experiment's test clips, and news of every epoch and seed.
"""

import contextlib
import dataclasses
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import ray

from cluster.versions import Versions
from storage.features import Features
from storage.object_store import ObjectStore
from storage.out_of_fold import save_embeddings
from storage.split import Split
from sweeps.adoption import NOTHING, Adopted
from sweeps.news import FoldNews, NewsQueue, SeedNews
from sweeps.records import Suggestion
from sweeps.trial_actor import EpochNews, FailedTraining, TrialContext, train_recorded
from training import SeedResult, TrialData, TrialResult, load_trial_data
from training.fuse_choice import FuseSeeds


@dataclass(frozen=True, kw_only=True, slots=True)
class Turn:
    """A trial to be trained, what it gets of GPUs, and which of its seeds are there already."""

    suggestion: Suggestion
    num_gpus: float
    adopted: Adopted = NOTHING

    @property
    def number(self) -> int:
        return self.suggestion.number

    @property
    def fold(self) -> int | None:
        return self.suggestion.fold

    def alone(self) -> "Turn | None":
        """With a GPU for itself; None where it had one already, or trains on none."""
        return dataclasses.replace(self, num_gpus=1.0) if 0 < self.num_gpus < 1 else None


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """Where a trial's results go.

    Attributes:
        run_id: in the results table.
        folder: of an experiment in the store, for embeddings of test clips; None where none are kept.
        feature_spec: for the cards of the models; None where none are kept.
        versions: of the driver's packages.
    """

    run_id: str
    folder: str | None
    store: ObjectStore
    feature_spec: Mapping[str, Any] | None
    fuse_seeds: FuseSeeds
    versions: Versions | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class FoldStarter:
    """Starts trials.

    Attributes:
        splits: by their hash.
        log_mels: the features of all clips in Ray's object store; None where every trial has embeddings.
        embedded: trial_id → its data with embeddings.
        max_failures: times a trial whose process died is begun again.
    """

    place: Place
    splits: Mapping[str, Split]
    log_mels: ray.ObjectRef | None
    embedded: Mapping[str, TrialData]
    num_cpus: float
    max_failures: int

    def start(self, turn: Turn, queue: NewsQueue) -> ray.ObjectRef:
        """Returns at once; the reference is to a `TrialResult` or a `FailedTraining`. `put_down` ends it."""
        config = turn.suggestion.config
        data = ray.put(self.embedded[config.trial_id]) if config.trial_id in self.embedded else None
        log_mels = self.log_mels if data is None else None  # or the task would wait for what it does not need
        task = ray.remote(num_cpus=self.num_cpus, num_gpus=turn.num_gpus, max_retries=self.max_failures)
        return task(_train_fold).remote(turn, log_mels, self.splits[config.split_hash], self.place, queue, data)


def _train_fold(
    turn: Turn,
    features: Features | None,
    split: Split,
    place: Place,
    queue: NewsQueue,
    embedded: TrialData | None,
) -> TrialResult | FailedTraining:
    """Runs in a Ray worker, on log-mels or on embeddings."""
    config, number, fold = turn.suggestion.config, turn.number, turn.fold
    if embedded is None:
        assert features is not None
        embedded = load_trial_data(features, split, unseen_labels=config.loss.unseen_labels)
    context = TrialContext(
        sweep_id=place.run_id,
        store=place.store,
        data=embedded,
        feature_spec=place.feature_spec,
        versions=place.versions,
    )

    def on_seed(result: SeedResult) -> None:
        _keep_embeddings(place, fold, result)
        nothing = np.empty((0, 0), np.float32)
        plain = dataclasses.replace(result, best_weights={}, test_embeddings=nothing)
        queue.tell(SeedNews(number=number, fold=fold, result=plain))

    def hear(news: EpochNews) -> None:
        queue.tell(FoldNews(number=number, fold=fold, news=news))

    with _asked_to_pause() as pause:
        ended = train_recorded(
            config, context, hear, on_seed, fuse_seeds=place.fuse_seeds, pause=pause, adopted=turn.adopted
        )
    # The results are in the table; weights and predictions need not travel.
    return ended if isinstance(ended, FailedTraining) else dataclasses.replace(ended, seeds=())


def _keep_embeddings(place: Place, fold: int | None, result: SeedResult) -> None:
    if place.folder is None:
        return
    assert fold is not None
    save_embeddings(
        place.store,
        place.folder,
        fold=fold,
        seed=result.seed,
        clip_ids=result.test.clip_ids,
        embeddings=result.test_embeddings,
    )


def put_down(running: Sequence[ray.ObjectRef], *, patience_s: float) -> None:
    """Ends trials that run, each with a checkpoint of its last step where it can store one within `patience_s`."""
    for reference in running:
        ray.cancel(reference, recursive=False)
    _, late = ray.wait(list(running), num_returns=len(running), timeout=patience_s) if running else ([], [])
    for reference in late:
        ray.cancel(reference, force=True)


@contextlib.contextmanager
def _asked_to_pause() -> Iterator[Callable[[], bool]]:
    """Whether the driver wants the task to end: for `ray.cancel` Ray 2.60 runs the handler of SIGINT in the task's
    thread, which would otherwise raise KeyboardInterrupt in the middle of a step."""
    asked = threading.Event()
    before = signal.signal(signal.SIGINT, lambda number, frame: asked.set())
    try:
        yield asked.is_set
    finally:
        signal.signal(signal.SIGINT, before)
