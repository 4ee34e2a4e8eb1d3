"""A shard request on its way to a worker, and what the worker makes of it."""

import dataclasses
import io
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import soundfile

from pipelines.backends import create_backend, list_backends
from pipelines.decoding.decode import Waveform, cut_windows, decode
from pipelines.feature_spec import FeatureSpec
from pipelines.manifest import Clip, Manifest
from pipelines.shards.plan import plan_shards
from pipelines.shards.request import EarlierPart, ShardRequest
from pipelines.shards.worker import ShardWorker
from storage.errors import StorageError
from storage.feature_store import FeatureStore
from storage.object_store import open_store


def test_a_request_survives_its_way_as_text() -> None:
    clip = Clip(clip_id="a", recording_id="a", uri="a.wav", labels=("dog",), size_bytes=5, content="0" * 32)
    request = ShardRequest(
        index=3,
        clips_hash="abc",
        root="s3://bucket",
        endpoint_url="http://host:9000",
        clips=(clip,),
        earlier=(EarlierPart(dataset="dogs-0", index=1, clips_hash="def", clip_ids=("a",)),),
    )
    assert ShardRequest.from_json(request.to_json()) == request


def test_a_worker_reads_recordings_on_the_endpoint_of_the_manifest_and_on_the_web(
    s3_uri: str, s3_server: str, web_site: Any, local_uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoded = io.BytesIO()
    soundfile.write(encoded, np.random.default_rng(0).uniform(-0.5, 0.5, 8_000), 8_000, format="WAV")
    open_store(s3_uri).put("a.wav", encoded.getvalue())
    web_site.files["b.wav"] = encoded.getvalue()
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    clips = tuple(
        Clip(clip_id=uri, recording_id=uri, uri=uri, labels=("dog",)) for uri in ("a.wav", f"{web_site.url}/b.wav")
    )
    manifest = Manifest(name="dogs", root=s3_uri, endpoint_url=s3_server, clips=clips)
    (request,) = plan_shards(manifest, FeatureSpec(), shard_bytes=2**20, clips_per_shard=0)
    features = FeatureStore(open_store(local_uri), dataset="dogs", fingerprint="abc")
    shard = ShardWorker(FeatureSpec(), features, backend="cpu").compute(request)
    assert (shard.num_rows, shard.num_quarantined) == (2, 0)


@pytest.mark.parametrize("backend", list_backends())
def test_no_backend_loses_or_changes_the_neighbours_of_a_bad_clip(tmp_path: Path, backend: str) -> None:
    rng = np.random.default_rng(0)
    for name in ("a", "c", "e"):
        soundfile.write(tmp_path / f"{name}.wav", rng.uniform(-0.5, 0.5, 11_025), 22_050)
    soundfile.write(tmp_path / "b.wav", np.full(11_025, 1e30, dtype=np.float32), 22_050, subtype="FLOAT")  # overflows
    (tmp_path / "d.wav").write_bytes(b"no audio")
    with_bad, healthy = (_rows(tmp_path, names, backend) for names in ("abcde", "ace"))
    assert with_bad.column("clip_id").to_pylist() == ["a", "c", "e"]
    assert with_bad.equals(healthy)


def _rows(folder: Path, names: str, backend: str) -> pa.Table:
    spec = FeatureSpec(window_s=0.5)
    features = FeatureStore(open_store(str(folder / names)), dataset="corpus", fingerprint=spec.fingerprint)
    clips = tuple(Clip(clip_id=name, recording_id=name, uri=f"{name}.wav", labels=("noise",)) for name in names)
    request = ShardRequest(index=0, clips_hash="0" * 12, root=str(folder), endpoint_url=None, clips=clips)
    features.commit([ShardWorker(spec, features, backend=backend).compute(request)], spec={}, versions={})
    return features.read().combine_chunks()


RATE_HZ = 8_000
CHUNKS = FeatureSpec(
    sample_rate_hz=RATE_HZ,
    windows="random",
    window_s=1.0,
    window_hop_s=1.0,
    max_windows=3,
    n_fft=256,
    hop_samples=128,
    num_mels=16,
    dtype="float32",
)


def _wav(duration_s: float) -> bytes:
    encoded = io.BytesIO()
    samples = np.random.default_rng(0).uniform(-0.5, 0.5, round(duration_s * RATE_HZ))
    soundfile.write(encoded, samples, RATE_HZ, format="WAV")
    return encoded.getvalue()


def _shard_of(folder: Path, spec: FeatureSpec, *, backend: str = "cpu") -> FeatureStore:
    names = sorted(path.name for path in folder.glob("*.wav"))
    clips = tuple(Clip(clip_id=name, recording_id=name, uri=name, labels=("dog",)) for name in names)
    manifest = Manifest(name="dogs", root=str(folder), clips=clips)
    (request,) = plan_shards(manifest, spec, shard_bytes=0, clips_per_shard=40)
    features = FeatureStore(open_store(str(folder / backend)), dataset="dogs", fingerprint=spec.fingerprint)
    features.commit([ShardWorker(spec, features, backend=backend).compute(request)], spec={}, versions={})
    return features


@pytest.mark.parametrize("backend", ["cpu", "torch"])
def test_random_windows_are_those_of_the_clip_whatever_the_backend(tmp_path: Path, backend: str) -> None:
    for name, duration_s in (("a.wav", 10.0), ("b.wav", 2.5), ("c.wav", 0.4)):
        (tmp_path / name).write_bytes(_wav(duration_s))
    features = _shard_of(tmp_path, CHUNKS, backend=backend).load()
    assert list(zip(features.clip_ids, features.windows, strict=True)) == [
        *(("a.wav", window) for window in range(3)),
        *(("b.wav", window) for window in range(2)),
        ("c.wav", 0),
    ]
    clip = Clip(clip_id="a.wav", recording_id="a.wav", uri="a.wav", labels=("dog",))
    waveform = decode(io.BytesIO(_wav(10.0)), clip, CHUNKS)
    starts = CHUNKS.window_starts(len(waveform.samples), "a.wav")
    pieces = np.stack([waveform.samples[start : start + RATE_HZ] for start in starts])
    np.testing.assert_array_equal(cut_windows(waveform, CHUNKS, "a.wav"), pieces)
    expected = create_backend("cpu", CHUNKS).log_mel(pieces)
    assert np.abs(features.log_mel[:3] - expected).mean() < 0.05


def test_a_clip_without_a_whole_window_is_quarantined_where_partial_ones_are_dropped(tmp_path: Path) -> None:
    for name, duration_s in (("a.wav", 1.0), ("b.wav", 0.4)):
        (tmp_path / name).write_bytes(_wav(duration_s))
    features = _shard_of(tmp_path, dataclasses.replace(CHUNKS, partial_window="drop"))
    assert features.load().clip_ids == ("a.wav",)
    (row,) = features.quarantine().to_pylist()
    assert (row["clip_id"], row["reason"]) == ("b.wav", "too_short")
    assert row["detail"] == "0.400 s; features.window_s is 1, and features.partial_window is drop"


def test_a_variant_that_leaves_no_whole_window_is_refused_by_itself(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(_wav(1.0))
    spec = dataclasses.replace(CHUNKS, partial_window="drop", variants=("original", "stretch(rate=2)"))
    features = _shard_of(tmp_path, spec)
    assert features.load().variants == ("original",)
    (row,) = features.quarantine().to_pylist()
    assert (row["variant"], row["reason"]) == ("stretch(rate=2)", "too_short")


def test_one_byte_a_value_is_stored_and_loaded_within_half_a_step(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.random.default_rng(0).uniform(-0.5, 0.5, 8_000), 8_000)
    clip = Clip(clip_id="a", recording_id="a", uri="a.wav", labels=("dog",))
    request = ShardRequest(index=0, clips_hash="aa", root=str(tmp_path), endpoint_url=None, clips=(clip,))
    loaded = {}
    for dtype in ("float32", "uint8"):
        spec = dataclasses.replace(FeatureSpec(), dtype=dtype)
        features = FeatureStore(open_store(str(tmp_path / "store")), dataset="dogs", fingerprint=spec.fingerprint)
        shard = ShardWorker(spec, features, backend="cpu").compute(request)
        features.commit([shard], spec=dataclasses.asdict(spec), versions={})
        loaded[dtype] = features.load(dtype="float32").log_mel
    assert features.read(columns=["log_mel"]).schema.field("log_mel").type.value_type == pa.uint8()
    assert np.abs(loaded["uint8"] - loaded["float32"]).max() <= 80 / 255 / 2 + 1e-5


def _noise_clip(folder: Path, name: str = "a", duration_s: float = 1.0) -> Clip:
    samples = np.random.default_rng(0).uniform(-0.5, 0.5, round(duration_s * 22_050))
    soundfile.write(folder / f"{name}.wav", samples, 22_050)
    return Clip(clip_id=name, recording_id=name, uri=f"{name}.wav", labels=("noise",))


def _request(folder: Path, *clips: Clip) -> ShardRequest:
    return ShardRequest(index=0, clips_hash="0" * 12, root=str(folder), endpoint_url=None, clips=clips)


def test_what_is_missing_on_a_machine_is_no_clip_s_fault(tmp_path: Path) -> None:
    def decode_without_library(*_: Any) -> Any:
        raise ImportError("No module named 'librosa'")

    features = FeatureStore(open_store(str(tmp_path / "store")), dataset="dogs", fingerprint="abc")
    worker = ShardWorker(FeatureSpec(), features, backend="cpu", decode=decode_without_library)
    with pytest.raises(StorageError, match=r"No module named 'librosa'.*Install what is missing"):
        worker.compute(_request(tmp_path, _noise_clip(tmp_path)))


def test_a_damaged_part_of_an_earlier_version_only_costs_the_time_to_compute(tmp_path: Path) -> None:
    clip, store = _noise_clip(tmp_path), open_store(str(tmp_path / "store"))
    earlier = FeatureStore(store, dataset="dogs-1", fingerprint="abc")
    ShardWorker(FeatureSpec(), earlier, backend="cpu").compute(_request(tmp_path, clip))
    (part,) = [info.key for info in store.list(earlier.prefix)]
    store.put(part, store.get(part)[:-100])
    place = EarlierPart(dataset="dogs-1", index=0, clips_hash="0" * 12, clip_ids=("a",))
    request = dataclasses.replace(_request(tmp_path, clip), earlier=(place,))
    later = FeatureStore(store, dataset="dogs-2", fingerprint="abc")
    assert ShardWorker(FeatureSpec(), later, backend="cpu").compute(request).num_rows == 1


def test_what_the_stored_type_cannot_hold_is_quarantined(tmp_path: Path) -> None:
    def loud(*_: Any) -> Waveform:
        samples = (1e6 * np.ones(1024)).astype(np.complex64)
        return Waveform(samples=samples, sample_rate_hz=1000, source_rate_hz=None, num_channels=2, pcm_hash="0")

    spec = FeatureSpec(representation="iq_channels", sample_rate_hz=1000, window_s=1.024, n_fft=128, hop_samples=64)
    features = FeatureStore(open_store(str(tmp_path / "store")), dataset="radio", fingerprint="abc")
    clip = Clip(clip_id="a", recording_id="a", uri="radio.h5#0", labels=("FM",))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("pipelines.shards.worker.read_iq", loud)
        patched.setattr("pipelines.shards.worker._iq_files", lambda *_: SimpleNamespace(examples_of=lambda clip: None))
        shard = ShardWorker(spec, features, backend="cpu").compute(_request(tmp_path, clip))
    assert (shard.num_rows, shard.num_quarantined) == (0, 1)


def test_rows_tell_where_their_window_lies_and_how_much_of_it_is_sound(tmp_path: Path) -> None:
    spec = FeatureSpec(window_s=1.0, windows="all", window_hop_s=0.5, partial_window="pad")
    features = FeatureStore(open_store(str(tmp_path / "store")), dataset="dogs", fingerprint="abc")
    shard = ShardWorker(spec, features, backend="cpu").compute(
        _request(tmp_path, _noise_clip(tmp_path, duration_s=1.8))
    )
    features.commit([shard], spec={}, versions={})
    told = [json.loads(text) for text in features.read(columns=["provenance"]).column(0).to_pylist()]
    places = [(one["start_samples"], one["num_samples"]) for one in told]
    assert places == [(0, 22_050), (11_025, 22_050), (22_050, 39_690 - 22_050)]
