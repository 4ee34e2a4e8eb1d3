"""A model's predictions at rest: one folder for one model, one set of recordings and one way to sum up windows.

    _PREDICTIONS.json                what this is; written first, so that nothing else is ever mixed in
    part-00003-<hash>.parquet        one row per recording of one shard of their features
    refused-00003-<hash>.parquet     those of the shard whose probabilities are not finite (absent if there are none)
    quarantine.parquet               the recordings without a prediction and why
    _COMPLETE.json                   the counts, written last: with it the predictions are complete

Enters: tables, part by part. Leaves: one table. Run again after an interruption, only missing parts are predicted.
"""

import dataclasses
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from storage.errors import InvalidInput, ObjectNotFound, StorageError
from storage.feature_schemas import QUARANTINE_SCHEMA
from storage.json_text import parse_json
from storage.object_store import ObjectStore
from storage.parquet import read_parquet, to_parquet

NUM_BEST = 5

PREDICTIONS_SCHEMA = pa.schema(
    [
        pa.field("recording", pa.string(), nullable=False),  # its path below the folder
        pa.field("num_windows", pa.int32(), nullable=False),
        # The most probable labels, best first; null where the model has fewer.
        *(
            field
            for place in range(1, NUM_BEST + 1)
            for field in (pa.field(f"label_{place}", pa.string()), pa.field(f"probability_{place}", pa.float32()))
        ),
        # What the model says: the most probable label, or, where there may be several, all from the threshold on.
        pa.field("labels", pa.list_(pa.string()), nullable=False),
        pa.field("probabilities", pa.list_(pa.float32()), nullable=False),  # in the order of _PREDICTIONS.json's labels
    ]
)

_ABOUT, _COMPLETE, _QUARANTINE = "_PREDICTIONS.json", "_COMPLETE.json", "quarantine.parquet"


@dataclass(frozen=True, kw_only=True, slots=True)
class RecordingPrediction:
    """What a model says of one recording.

    Attributes:
        best: (label, probability) of the most probable labels, best first, at most NUM_BEST.
        labels: the most probable one, or, where there may be several, all from a threshold on.
        probabilities: of every label, in the order of the model's.
    """

    recording: str
    num_windows: int
    best: tuple[tuple[str, float], ...]
    labels: tuple[str, ...]
    probabilities: tuple[float, ...]


def part_bytes(predictions: Sequence[RecordingPrediction]) -> bytes:
    """A part: Parquet of PREDICTIONS_SCHEMA."""
    rows = []
    for prediction in predictions:
        row = dataclasses.asdict(prediction)
        for place, (label, probability) in enumerate(row.pop("best"), start=1):
            row |= {f"label_{place}": label, f"probability_{place}": probability}
        rows.append(row)
    return to_parquet(pa.Table.from_pylist(rows, schema=PREDICTIONS_SCHEMA))


class Predictions:
    """The predictions in one place. One job writes them at a time; reading is always safe.

    Args:
        place: a store that holds nothing else.
    """

    def __init__(self, place: ObjectStore) -> None:
        self._place = place

    @property
    def uri(self) -> str:
        return self._place.uri

    def claim(self, about: Mapping[str, Any]) -> None:
        """Makes the place that of these predictions.

        Raises:
            InvalidInput: it holds other files, or other predictions.
        """
        data = json.dumps(about, indent=1, sort_keys=True).encode()
        if self._place.size_bytes(_ABOUT) is None and next(iter(self._place.list("")), None) is not None:
            raise InvalidInput("out", given=self.uri, allowed="an empty folder", remedy="Choose another one.")
        if not self._place.put_if_absent(_ABOUT, data) and self._place.get(_ABOUT) != data:
            there = self.about()
            differs = sorted(name for name in {*about, *there} if about.get(name) != there.get(name))
            raise InvalidInput(
                "out",
                given=self.uri,
                allowed="an empty folder, or one with a part of the same predictions",
                remedy=f"Its {_ABOUT} says what it holds; it differs in {', '.join(differs)}. Choose another one.",
            )

    def finished_parts(self, wanted: Collection[str]) -> set[str]:
        """Those of `wanted` that are there; any others, of shards that have been made again since, are deleted.

        Unless these are just the wanted ones, the predictions are not complete any longer: that is told first.
        """
        there = self._names("part")
        if there.keys() != set(wanted):
            self._place.delete(_COMPLETE)
        kept = there.keys() & set(wanted)
        for name, key in [*there.items(), *self._names("refused").items()]:
            if name not in kept:
                self._place.delete(key)
        return kept

    def write_part(self, name: str, data: bytes, refused: Sequence[Mapping[str, str]] = ()) -> None:
        """Stores the predictions of one shard of features.

        Args:
            data: as `part_bytes` makes them.
            refused: recordings of the shard that have none, as rows of QUARANTINE_SCHEMA.
        """
        if refused:  # first, so that a part is never without them
            table = pa.Table.from_pylist(list(refused), schema=QUARANTINE_SCHEMA)
            self._place.put(f"refused-{name}.parquet", to_parquet(table))
        self._place.put(f"part-{name}.parquet", data)

    def commit(self, quarantine: pa.Table, *, num_recordings: int) -> dict[str, int]:
        """Stores the quarantine, of the features and of what was refused, and the counts.

        Args:
            quarantine: of the features, as QUARANTINE_SCHEMA.

        Raises:
            StorageError: predictions and quarantine together are not all recordings.
        """
        refused = [read_parquet(self._place, info.key) for info in self._place.list("refused-")]
        quarantine = pa.concat_tables([quarantine, *refused])
        num_predicted, num_quarantined = self.read(columns=["recording"]).num_rows, quarantine.num_rows
        if num_predicted + num_quarantined != num_recordings:
            raise StorageError(
                f"{self.uri}: {num_predicted} recordings with predictions and {num_quarantined} quarantined are not "
                f"{num_recordings}. Nothing was committed; delete the folder and run again."
            )
        counts = {
            "num_recordings": num_recordings,
            "num_predicted": num_predicted,
            "num_quarantined": num_quarantined,
        }
        self._place.put(_QUARANTINE, to_parquet(quarantine))
        self._place.put(_COMPLETE, json.dumps(counts).encode())
        return counts

    def about(self) -> dict[str, Any]:
        """What `claim` was given; empty where nothing was predicted."""
        try:
            return dict(parse_json(self._place.get(_ABOUT)))
        except ObjectNotFound:
            return {}
        except (ValueError, TypeError) as e:
            raise StorageError(f"{self.uri}/{_ABOUT} is damaged ({e}). Delete the folder and run again.") from e

    def is_complete(self) -> bool:
        return self._place.size_bytes(_COMPLETE) is not None

    def read(self, *, columns: Sequence[str] | None = None) -> pa.Table:
        """All predictions that are there, in the order of the recordings; None for all columns."""
        wanted = PREDICTIONS_SCHEMA.names if columns is None else list(columns)
        keys = sorted(info.key for info in self._place.list("part-"))
        tables = (read_parquet(self._place, key, columns=wanted) for key in keys)
        return pa.concat_tables([PREDICTIONS_SCHEMA.empty_table().select(wanted), *tables])

    def quarantine(self) -> pa.Table:
        """The recordings without a prediction, as the features' QUARANTINE_SCHEMA.

        Raises:
            StorageError: the predictions are not complete.
        """
        return read_parquet(self._place, _QUARANTINE)

    def _names(self, kind: str) -> dict[str, str]:
        """Name → key of what is there."""
        keys = (info.key for info in self._place.list(f"{kind}-"))
        return {key.removeprefix(f"{kind}-").removesuffix(".parquet"): key for key in keys}
