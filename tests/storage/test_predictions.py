"""Predictions at rest: nothing is mixed, nothing is lost, and any reader of Parquet can use them."""

from pathlib import Path

import pandas as pd
import pytest
from feature_toys import RecordingStore

from storage.errors import InvalidInput, StorageError
from storage.feature_schemas import QUARANTINE_SCHEMA
from storage.object_store import ObjectStore, open_store
from storage.predictions import Predictions, RecordingPrediction, part_bytes

NOTHING = QUARANTINE_SCHEMA.empty_table()


def of(recording: str) -> RecordingPrediction:
    return RecordingPrediction(
        recording=recording,
        num_windows=2,
        best=(("dog", 0.75), ("cat", 0.25)),
        labels=("dog",),
        probabilities=(0.25, 0.75),
    )


def test_parts_come_back_as_one_table_that_pandas_reads(tmp_path: Path) -> None:
    predictions = Predictions(open_store(str(tmp_path)))
    predictions.write_part("00001-b", part_bytes([of("c")]))
    predictions.write_part("00000-a", part_bytes([of("a"), of("b")]))
    predictions.write_part("00002-c", part_bytes([]))
    table = pd.concat([pd.read_parquet(path) for path in sorted(tmp_path.glob("part-*.parquet"))])
    assert list(table["recording"]) == ["a", "b", "c"] == predictions.read().column("recording").to_pylist()
    assert list(table["label_2"]) == ["cat"] * 3
    assert table["label_3"].isna().all()
    assert list(table["probabilities"].iloc[0]) == [0.25, 0.75]


def test_predictions_are_complete_once_all_recordings_are_accounted_for(store: ObjectStore) -> None:
    predictions = Predictions(store)
    predictions.write_part("00000-a", part_bytes([of("a"), of("b")]))
    with pytest.raises(StorageError, match="2 recordings with predictions and 0 quarantined are not 3"):
        predictions.commit(NOTHING, num_recordings=3)
    assert not predictions.is_complete()
    assert predictions.commit(NOTHING, num_recordings=2)["num_predicted"] == 2
    assert predictions.is_complete()
    assert predictions.quarantine().num_rows == 0


def test_parts_of_shards_that_are_no_longer_there_go(store: ObjectStore) -> None:
    predictions = Predictions(store)
    for name in ("00000-a-0", "00001-b-1"):
        predictions.write_part(name, part_bytes([of(name)]))
    assert predictions.finished_parts(["00000-a-0", "00001-b-0"]) == {"00000-a-0"}
    assert predictions.read().column("recording").to_pylist() == ["00000-a-0"]


class _Dying(RecordingStore):
    """A store of a process that is killed when it comes to a part."""

    def delete(self, key: str) -> None:
        if key.startswith("part-"):
            raise KeyboardInterrupt
        self._inner.delete(key)


def test_predictions_whose_parts_are_about_to_go_are_no_longer_complete(store: ObjectStore) -> None:
    predictions = Predictions(store)
    for name in ("00000-a-0", "00001-b-1"):
        predictions.write_part(name, part_bytes([of(name)]))
    predictions.commit(NOTHING, num_recordings=2)
    assert predictions.finished_parts(["00000-a-0", "00001-b-1"]) == {"00000-a-0", "00001-b-1"}
    assert predictions.is_complete()
    with pytest.raises(KeyboardInterrupt):
        Predictions(_Dying(store)).finished_parts(["00000-a-0", "00001-b-0"])
    assert not predictions.is_complete()
    assert predictions.read().num_rows == 2


def test_predictions_that_lack_a_part_are_no_longer_complete(store: ObjectStore) -> None:
    predictions = Predictions(store)
    predictions.write_part("00000-a-0", part_bytes([of("a")]))
    predictions.commit(NOTHING, num_recordings=1)
    assert predictions.finished_parts(["00000-a-0", "00001-b-0"]) == {"00000-a-0"}
    assert not predictions.is_complete()


def _refusal(recording: str) -> dict[str, str]:
    return {"clip_id": recording, "variant": "original", "uri": recording, "reason": "not_finite", "detail": "NaN"}


def test_refused_recordings_are_quarantined_with_their_part_and_go_with_it(store: ObjectStore) -> None:
    predictions = Predictions(store)
    predictions.write_part("00000-a-0", part_bytes([of("a")]), [_refusal("b")])
    predictions.write_part("00001-b-0", part_bytes([of("c")]))
    counts = predictions.commit(NOTHING, num_recordings=3)
    assert counts == {"num_recordings": 3, "num_predicted": 2, "num_quarantined": 1}
    assert predictions.quarantine().to_pylist() == [_refusal("b")]
    assert predictions.finished_parts(["00000-a-1", "00001-b-0"]) == {"00001-b-0"}
    assert predictions.commit(NOTHING, num_recordings=1)["num_quarantined"] == 0


def test_a_place_is_never_shared(store: ObjectStore, tmp_path: Path) -> None:
    predictions = Predictions(store)
    predictions.claim({"model": 1})
    predictions.claim({"model": 1})
    assert predictions.about() == {"model": 1}
    with pytest.raises(InvalidInput, match=r"a part of the same predictions\..*it differs in device, model\."):
        predictions.claim({"model": 2, "device": "cpu"})
    damaged = open_store(str(tmp_path / "damaged"))
    damaged.put("_PREDICTIONS.json", b"{")
    with pytest.raises(StorageError, match=r"_PREDICTIONS\.json is damaged"):
        Predictions(damaged).claim({"model": 1})
    other = open_store(str(tmp_path / "other"))
    other.put("thesis.txt", b"")
    with pytest.raises(InvalidInput, match="an empty folder"):
        Predictions(other).claim({"model": 1})
    assert [info.key for info in other.list("")] == ["thesis.txt"]
