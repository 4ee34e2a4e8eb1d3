"""The folders of experiments: numbered in the order in which they were begun, as people like to speak of them.

    experiments/0001/experiment.json      which one it is; a number is given once and never changes
    experiments/0001/out_of_fold.parquet  written when all its folds are complete

Enters: an experiment's id. Leaves: its number. Any process that asks for the same id is told the same number.
"""

import json
import re
from collections.abc import Mapping
from typing import Any

from storage.errors import StorageError
from storage.object_store import ObjectStore

_KEY = re.compile(r"experiments/(\d{4,})/experiment\.json")


def experiment_number(store: ObjectStore, experiment_id: str, *, about: Mapping[str, Any]) -> int:
    """The experiment's number: the one it has, or the next that nobody has taken.

    Args:
        about: what else its file tells (JSON values).

    Raises:
        StorageError: the file of an experiment is damaged.
    """
    known = list_experiments(store)
    if experiment_id in known:
        return known[experiment_id]
    number = max(known.values(), default=0)
    data = json.dumps({"experiment_id": experiment_id, **about}, sort_keys=True, indent=1).encode()
    while True:  # another process may take the same number at the same time
        number += 1
        if store.put_if_absent(f"{experiment_folder(number)}/experiment.json", data):
            return number
        if _id_of(store, number) == experiment_id:
            return number


def list_experiments(store: ObjectStore) -> dict[str, int]:
    """experiment_id → number, in the order of the numbers.

    Raises:
        StorageError: the file of an experiment is damaged.
    """
    found = [_KEY.fullmatch(info.key) for info in store.list("experiments/")]
    numbers = sorted(int(match[1]) for match in found if match)
    known: dict[str, int] = {}
    for number in numbers:
        known.setdefault(_id_of(store, number), number)
    return known


def experiment_folder(number: int) -> str:
    """The prefix of its objects, without a slash at the end."""
    return f"experiments/{number:04d}"


def _id_of(store: ObjectStore, number: int) -> str:
    key = f"{experiment_folder(number)}/experiment.json"
    try:
        return str(json.loads(store.get(key))["experiment_id"])
    except (ValueError, KeyError, TypeError) as e:
        raise StorageError(f"{store.uri}: {key} is damaged ({e}). Delete its folder and run the job again.") from e
