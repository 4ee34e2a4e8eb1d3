"""The folders of experiments: numbered in the order in which they were begun, as people like to speak of them.

    experiments/0001/experiment.json      which one it is; a number is given once and never changes
    experiments/0001/out_of_fold.parquet  written when all its folds are complete
    experiments/0002/removed.json         all that is left of one that was removed

Enters: an experiment's id. Leaves: its number. Any process that asks for the same id is told the same number.
"""

import datetime
import json
import logging
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from storage.clock import utc_now
from storage.errors import InvalidInput, ObjectNotFound
from storage.json_text import parse_json
from storage.object_store import ObjectInfo, ObjectStore

_KEY = re.compile(r"experiments/(\d{4,})/(.+)")
_FILE, _TOMBSTONE = "experiment.json", "removed.json"

# In the order in which they go: without its end a fold is open, whatever else there is of it, so that a removal that
# was interrupted leaves an experiment that can go on.
_TABLES = ("trials", "seeds", "predictions", "epochs", "failures", "suggestions", "sweeps")


@dataclass(frozen=True, kw_only=True, slots=True)
class Experiment:
    """Attributes:
    number: what people call it.
    experiment_id: under which the results tables have it, as they have a sweep.
    begun_at: when its number was given.
    """

    number: int
    experiment_id: str
    begun_at: datetime.datetime

    @property
    def folder(self) -> str:
        return experiment_folder(self.number)

    @property
    def name(self) -> str:
        """Its id without the hash."""
        return self.experiment_id.rpartition("-")[0]


def experiment_number(store: ObjectStore, experiment_id: str, *, about: Mapping[str, Any]) -> int:
    """The experiment's number: the one it has, or the next that nobody has taken.

    A number is not given again, but for the highest one when somebody deletes its folder by hand; `remove_experiment`
    leaves something behind.

    Args:
        about: what else its file tells (JSON values).
    """
    known = {experiment.experiment_id: experiment.number for experiment in list_experiments(store)}
    if experiment_id in known:
        return known[experiment_id]
    number = max(_files(store), default=0)
    begun_at = utc_now().isoformat(timespec="seconds")
    data = json.dumps({"experiment_id": experiment_id, "begun_at": begun_at, **about}, sort_keys=True, indent=1)
    while True:  # another process may take the same number at the same time
        number += 1
        if store.put_if_absent(f"{experiment_folder(number)}/{_FILE}", data.encode()):
            return number
        taken = _read(store, number, _warn)
        if taken is not None and taken.experiment_id == experiment_id:
            return number


def list_experiments(store: ObjectStore, *, warn: Callable[[str], None] | None = None) -> tuple[Experiment, ...]:
    """Every experiment that has a number, by number.

    Args:
        warn: hears of each file that is damaged; such an experiment is left out, as it must not stop all others. None
            for a warning of Python's logging.
    """
    found: dict[str, Experiment] = {}
    for number, names in sorted(_files(store).items()):
        experiment = _read(store, number, warn or _warn) if _FILE in names else None
        if experiment is not None:
            found.setdefault(experiment.experiment_id, experiment)
    return tuple(found.values())


def find_experiment(store: ObjectStore, number: int) -> Experiment:
    """The experiment of this number.

    Raises:
        InvalidInput: there is none.
    """
    known = list_experiments(store)
    for experiment in known:
        if experiment.number == number:
            return experiment
    numbers = ", ".join(str(experiment.number) for experiment in known)
    raise InvalidInput(
        "experiment",
        given=number,
        allowed=f"one of {numbers}" if known else f"none: {store.uri} holds no experiment",
        remedy="jobs/experiments.py lists them.",
    )


def objects_of_experiment(store: ObjectStore, experiment: Experiment) -> Iterator[ObjectInfo]:
    """All that is of this experiment alone, in the order in which it may go; its own file comes last.

    Features, splits and embeddings of frozen backbones are not among it: others may share them.
    """
    name = experiment.experiment_id
    prefixes = [f"results/{table}/sweep={name}/" for table in _TABLES]
    prefixes += [f"checkpoints/{name}/", f"models/{name}/", f"reports/{name}.html", f"reports/{name}/"]
    for prefix in prefixes:
        yield from store.list(prefix)
    own = list(store.list(f"{experiment.folder}/"))
    yield from sorted(own, key=lambda info: info.key.endswith(f"/{_FILE}"))


def remove_experiment(store: ObjectStore, experiment: Experiment) -> None:
    """Deletes all that is of this experiment alone; its number is not given again. May be repeated."""
    store.put_if_absent(f"{experiment.folder}/{_TOMBSTONE}", json.dumps({"name": experiment.name}).encode())
    for info in list(objects_of_experiment(store, experiment)):
        if not info.key.endswith(f"/{_TOMBSTONE}"):
            store.delete(info.key)


def experiment_folder(number: int) -> str:
    """The prefix of its objects, without a slash at the end."""
    return f"experiments/{number:04d}"


def _files(store: ObjectStore) -> dict[int, set[str]]:
    """Number → names of the objects in its folder."""
    found: dict[int, set[str]] = {}
    for info in store.list("experiments/"):
        match = _KEY.fullmatch(info.key)
        if match:
            found.setdefault(int(match[1]), set()).add(match[2])
    return found


def _read(store: ObjectStore, number: int, warn: Callable[[str], None]) -> Experiment | None:
    """None for one that is gone or damaged."""
    key = f"{experiment_folder(number)}/{_FILE}"
    try:
        said = parse_json(store.get(key))
        begun_at = datetime.datetime.fromisoformat(said.get("begun_at") or _modified_at(store, key))
        return Experiment(number=number, experiment_id=str(said["experiment_id"]), begun_at=begun_at)
    except ObjectNotFound:
        return None
    except (ValueError, KeyError, TypeError, AttributeError) as e:
        warn(
            f"{store.uri}: {key} is damaged ({e!r}), and the experiment of this number is left out. Put the file back "
            "from a copy, or delete its folder."
        )
        return None


def _modified_at(store: ObjectStore, key: str) -> str:
    """For files that do not tell when they were begun."""
    seconds = next((info.modified_at for info in store.list(key)), 0.0)
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).isoformat(timespec="seconds")


def _warn(text: str) -> None:
    logging.getLogger(__name__).warning("%s", text)
