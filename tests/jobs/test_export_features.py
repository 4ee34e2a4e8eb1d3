"""The export job: which features are meant, and where they go."""

from pathlib import Path

import numpy as np
import pytest
from feature_toys import make_rows
from PIL import Image

from jobs import export_features
from storage.feature_schemas import QUARANTINE_SCHEMA
from storage.feature_store import FeatureStore, Shard
from storage.object_store import open_store


@pytest.fixture
def words(tmp_path: Path) -> list[str]:
    """A store with two sets of features."""
    store = open_store(str(tmp_path / "store"))
    for fingerprint, top_db in (("f00d", 80.0), ("beef", None)):
        features = FeatureStore(store, dataset="esc50", fingerprint=fingerprint)
        shard = Shard(index=0, clips_hash="aa", num_clips=3, num_rows=3, num_quarantined=0)
        features.write_shard(shard, make_rows(np.zeros((3, 4, 6), dtype=np.float16)), QUARANTINE_SCHEMA.empty_table())
        features.commit([shard], spec={"db_reference": "max", "top_db": top_db}, versions={})
    return [f"storage.uri={tmp_path}/store", f"out={tmp_path}/out"]


def test_the_formats(words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for form, file in (("npy", "c00002/0.npy"), ("array", "features.npy"), ("png", "c00000/0.png")):
        given = [words[0], f"out={tmp_path}/{form}", "fingerprint=f00d", f"format={form}"]
        assert export_features.main(given) == 0
        assert (tmp_path / form / file).is_file()
        assert (tmp_path / form / "index.parquet").is_file()
        assert "rows 3/3" in capsys.readouterr().out
    assert np.load(tmp_path / "array" / "features.npy").shape == (3, 4, 6)
    assert Image.open(tmp_path / "png" / "c00000" / "0.png").size == (6, 4)


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ([], "dataset=esc50 fingerprint=beef, dataset=esc50 fingerprint=f00d"),
        (["fingerprint=cafe"], "Choose one of these"),
        (["fingerprint=beef", "format=png"], "range_db: got None; allowed: [low,high] in dB"),
        (["format=png", "range_db=[0,-80]"], "range_db=[-80,0]"),
        (["fingerprint=f00d", "format=array", "out=s3://bucket/x"], "a local folder"),
        (["out="], "Give out=<folder>"),
    ],
)
def test_what_cannot_be_is_told_and_nothing_is_written(
    words: list[str], more: list[str], told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert export_features.main([*words, *more]) == 2
    assert told in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
