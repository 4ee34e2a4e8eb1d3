"""A shard whose clips go to the backend as they were decoded has the rows and reasons of the way of the host."""

import dataclasses
import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from pipelines.decoding.decode import read_pcm
from pipelines.feature_spec import FeatureSpec
from pipelines.manifest import Clip
from pipelines.shards.request import ShardRequest
from pipelines.shards.worker import ShardWorker
from storage.feature_store import FeatureStore
from storage.object_store import open_store

SPEC = FeatureSpec(window_s=0.5, n_fft=512, hop_samples=256, dtype="float32", windows="all", window_hop_s=0.4)
SPECS = {
    "sequential": SPEC,
    "random": dataclasses.replace(SPEC, windows="random", max_windows=2),
    "whole windows only": dataclasses.replace(SPEC, partial_window="drop"),
    "one byte": dataclasses.replace(SPEC, dtype="uint8"),
}


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """Healthy recordings of all kinds, and what cannot become a row."""
    folder, rng = tmp_path / "corpus", np.random.default_rng(0)
    folder.mkdir()
    noise = rng.uniform(-0.5, 0.5, 60_000)
    huge = noise.copy()
    huge[50_000] = 1e30
    nan = noise.copy()
    nan[59_999] = np.nan  # behind the last sample that any first window would hold
    for name, samples, rate_hz, subtype in [
        ("a.wav", noise, 44_100, "PCM_16"),
        ("b.wav", noise[:20_000], 22_050, "PCM_16"),
        ("c.flac", np.stack([noise, -0.5 * noise], axis=1), 48_000, "PCM_24"),
        ("d.wav", noise[:5_000], 8_000, "FLOAT"),
        ("e.wav", noise, 22_254, "PCM_16"),  # a rate without a filter
        ("f.wav", huge, 44_100, "FLOAT"),
        ("g.wav", nan, 44_100, "FLOAT"),
        ("h.wav", noise[:500], 44_100, "PCM_16"),  # shorter than min_duration_s
        ("i.wav", noise[:9_000], 44_100, "PCM_16"),  # shorter than a window
        ("k.ogg", noise, 44_100, "VORBIS"),
        ("l.wav", np.zeros(30_000), 44_100, "PCM_16"),
    ]:
        soundfile.write(folder / name, samples, rate_hz, subtype=subtype)
    (folder / "m.wav").write_bytes(b"no audio")
    (folder / "n.wav").write_bytes((folder / "a.wav").read_bytes()[:50_000])
    return folder


@pytest.mark.parametrize("backend", ["torch", "dali"])
@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS.keys())
def test_rows_and_reasons_are_those_of_the_way_of_the_host(
    corpus: Path, tmp_path: Path, spec: FeatureSpec, backend: str
) -> None:
    ours = _features(corpus, tmp_path / "ours", spec, backend=backend, as_decoded=True)
    theirs = _features(corpus, tmp_path / "theirs", spec, backend=backend)
    assert ours.quarantine().equals(theirs.quarantine())
    assert {"not_finite", "too_short", "not_audio", "truncated"} <= set(ours.quarantine()["reason"].to_pylist())
    our_rows, their_rows = ours.read(), theirs.read()
    assert our_rows.drop_columns("log_mel").equals(their_rows.drop_columns("log_mel"))
    assert np.abs(_log_mel(ours) - _log_mel(theirs)).mean(axis=(1, 2)).max() <= 0.05


def test_16_bit_clips_do_not_meet_the_host_s_resampler(corpus: Path, tmp_path: Path) -> None:
    features = _features(corpus, tmp_path / "store", SPEC, backend="torch", as_decoded=True, decode=_refuse)
    assert set(features.load().clip_ids) >= {"a.wav", "b.wav", "k.ogg", "l.wav"}
    assert "internal_error" not in features.quarantine()["reason"].to_pylist()


@pytest.mark.parametrize(
    ("spec", "backend"),
    [
        (dataclasses.replace(SPEC, variants=("original", "gain(db=-6)")), "torch"),
        (FeatureSpec(representation="kaldi_fbank", n_fft=512, num_mels=40, window_s=0.5), "torch"),
        (SPEC, "cpu"),
    ],
    ids=["variants", "kaldi", "a backend without that way"],
)
def test_what_only_the_host_can_do_goes_by_way_of_the_host(
    corpus: Path, tmp_path: Path, spec: FeatureSpec, backend: str
) -> None:
    ours = _features(corpus, tmp_path / "ours", spec, backend=backend, as_decoded=True, read=_refuse)
    theirs = _features(corpus, tmp_path / "theirs", spec, backend=backend)
    assert ours.read().equals(theirs.read())
    assert ours.quarantine().equals(theirs.quarantine())


def test_the_clip_in_hand_is_named_while_it_is_decoded_and_no_other(corpus: Path, tmp_path: Path) -> None:
    heard: list[str | None] = []
    features = FeatureStore(open_store(str(tmp_path / "store")), dataset="corpus", fingerprint=SPEC.fingerprint)

    def read(source: Any, clip: Clip, spec: FeatureSpec) -> Any:
        assert heard[-1] == clip.clip_id
        return read_pcm(source, clip, spec)

    worker = ShardWorker(SPEC, features, backend="torch", as_decoded=True, read=read)
    shard = worker.compute(_request(corpus), on_clip=heard.append)
    assert shard.num_quarantined == 5
    assert [clip_id for clip_id in heard if clip_id is not None] == [clip.clip_id for clip in _request(corpus).clips]
    assert all(following is None for named, following in itertools.pairwise(heard) if named is not None)


def test_many_long_clips_are_not_kept_for_one_call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipelines.shards.calls._PCM_VALUES_PER_CALL", 100_000)
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    for name in "abcde":
        soundfile.write(corpus / f"{name}.wav", np.random.default_rng(0).uniform(-0.5, 0.5, 60_000), 44_100)
    features = FeatureStore(open_store(str(tmp_path / "store")), dataset="corpus", fingerprint=SPEC.fingerprint)
    worker = ShardWorker(SPEC, features, backend="torch", as_decoded=True)
    backend, sizes = worker._pcm_backend, []
    assert backend is not None

    def counted(clips: Any, starts: Any) -> Any:
        sizes.append(len(clips))
        return type(backend).log_mel_of_pcm(backend, clips, starts)

    monkeypatch.setattr(backend, "log_mel_of_pcm", counted)
    assert worker.compute(_request(corpus)).num_quarantined == 0
    assert sizes == [2, 2, 1]


def _refuse(*_: object) -> Any:
    raise AssertionError("this way was not to be gone")


def _request(corpus: Path) -> ShardRequest:
    names = sorted(path.name for path in corpus.iterdir())
    clips = tuple(Clip(clip_id=name, recording_id=name, uri=name, labels=("noise",)) for name in names)
    return ShardRequest(index=0, clips_hash="0" * 12, root=str(corpus), endpoint_url=None, clips=clips)


def _features(corpus: Path, store: Path, spec: FeatureSpec, **how: Any) -> FeatureStore:
    features = FeatureStore(open_store(str(store)), dataset="corpus", fingerprint=spec.fingerprint)
    features.commit(
        [ShardWorker(spec, features, **how).compute(_request(corpus))], spec=dataclasses.asdict(spec), versions={}
    )
    return features


def _log_mel(features: FeatureStore) -> Any:
    return features.load(dtype="float32").log_mel
