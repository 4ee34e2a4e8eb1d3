"""A corpus of 5,000 files of which 300 are damaged in 30 ways: every one ends as a row or as a reason, no healthy
neighbour changes by a bit, and the job ends by itself.
"""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from damaged_files import EITHER, MAKERS, SOUND, encode, noise, wav_header
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from pipelines.feature_spec import FeatureSpec
from pipelines.featurize import FeaturizeResult, PipelineSettings, featurize
from pipelines.manifest import Clip, Manifest
from storage.object_store import open_store

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900), pytest.mark.usefixtures("ray_local")]

NUM_FILES, NUM_DAMAGED = 5_000, 300
SPEC = FeatureSpec(sample_rate_hz=8_000, window_s=0.5, n_fft=256, hop_samples=128, num_mels=32)
SETTINGS = PipelineSettings(backend="cpu", clips_per_shard=100)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Corpus:
    """Clips by id; the kind of damage of those that have one."""

    manifest: Manifest
    damage: dict[str, str]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    folder, rng = tmp_path_factory.mktemp("corpus"), np.random.default_rng(3)
    containers = {name: encode(noise(rng, 40_000), name) for name in ("WAV", "FLAC", "OGG", "MP3")}
    damaged = set(rng.choice(NUM_FILES, NUM_DAMAGED, replace=False).tolist())
    kinds = iter(sorted(MAKERS) * (NUM_DAMAGED // len(MAKERS)))
    clips, damage = [], {}
    for number in range(NUM_FILES):
        name = f"{number:05d}"
        if number in damaged:
            damage[name] = next(kinds)
            path = MAKERS[damage[name]](folder / name, rng, containers)
        else:
            path = folder / f"{name}.wav"
            path.write_bytes(encode(noise(rng, int(rng.integers(1_000, 6_000))), "WAV"))
        clips.append(Clip(clip_id=name, recording_id=name, uri=path.name, labels=("sound",)))
    return Corpus(manifest=Manifest(name="damaged", root=str(folder), clips=tuple(clips)), damage=damage)


@pytest.fixture(scope="module")
def result(corpus: Corpus, tmp_path_factory: pytest.TempPathFactory) -> FeaturizeResult:
    return featurize(corpus.manifest, SPEC, open_store(str(tmp_path_factory.mktemp("store"))), SETTINGS)


def test_there_are_thirty_ways_with_ten_files_each(corpus: Corpus) -> None:
    assert len(MAKERS) == 30
    assert sorted(corpus.damage.values()) == sorted([*MAKERS] * 10)


def test_every_clip_ends_as_a_row_or_as_a_reason(corpus: Corpus, result: FeaturizeResult) -> None:
    rows = _ids(result.features.read(columns=["clip_id"]))
    reasons = _ids(result.features.quarantine())
    assert rows & reasons == set()
    assert rows | reasons == {clip.clip_id for clip in corpus.manifest.clips}
    assert reasons <= corpus.damage.keys()  # no healthy file is lost
    ends = {kind: {"row" if clip_id in rows else "reason" for clip_id in _of(corpus, kind)} for kind in MAKERS}
    wrong = {
        kind: end
        for kind, end in ends.items()
        if kind not in EITHER and end != ({"row"} if kind in SOUND else {"reason"})
    }
    assert wrong == {}


def test_every_reason_says_what_was_seen(corpus: Corpus, result: FeaturizeResult) -> None:
    for row in result.features.quarantine().to_pylist():
        print(corpus.damage[row["clip_id"]], "→", row["reason"], "·", row["detail"])
        assert row["detail"]
        assert row["reason"] not in ("internal_error", "decoder_crashed", "timed_out")


def test_no_healthy_neighbour_changes_by_a_bit(
    corpus: Corpus, result: FeaturizeResult, tmp_path_factory: pytest.TempPathFactory
) -> None:
    healthy = tuple(clip for clip in corpus.manifest.clips if clip.clip_id not in corpus.damage)
    alone = dataclasses.replace(corpus.manifest, clips=healthy)
    undisturbed = featurize(alone, SPEC, open_store(str(tmp_path_factory.mktemp("alone"))), SETTINGS).features.read()
    ids = pa.array([clip.clip_id for clip in healthy])
    table = result.features.read()
    beside_damage = table.filter(pa.compute.is_in(table.column("clip_id"), value_set=ids))
    assert beside_damage.num_rows == len(healthy) == undisturbed.num_rows
    assert beside_damage.combine_chunks().equals(undisturbed.combine_chunks())


headers = st.fixed_dictionaries(
    {
        "format_tag": st.sampled_from([0, 1, 3, 6, 7, 0x55, 0xFFFE, 0xFFFF]),
        "channels": st.integers(0, 65_535),
        "rate_hz": st.integers(0, 2**32 - 1),
        "bits": st.integers(0, 65_535),
        "size_bytes": st.integers(0, 2**32 - 1),
    }
)


@given(st.lists(headers, min_size=100, max_size=100))
@settings(max_examples=3, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
def test_headers_that_claim_anything_end_as_rows_or_reasons_too(
    tmp_path_factory: pytest.TempPathFactory, claims: list[dict[str, int]]
) -> None:
    folder = tmp_path_factory.mktemp("headers")
    healthy = encode(noise(np.random.default_rng(0), 4_000), "WAV")
    for number, claim in enumerate(claims):
        (folder / f"{number:03d}.wav").write_bytes(wav_header(**claim) + b"\x01\x02" * 4_000)
    (folder / "healthy.wav").write_bytes(healthy)
    names = [*(f"{number:03d}" for number in range(len(claims))), "healthy"]
    clips = tuple(Clip(clip_id=name, recording_id=name, uri=f"{name}.wav", labels=("sound",)) for name in names)
    manifest = Manifest(name="headers", root=str(folder), clips=clips)
    result = featurize(manifest, SPEC, open_store(str(folder / "store")), SETTINGS)
    assert _ids(result.features.read(columns=["clip_id"])) | _ids(result.features.quarantine()) == set(names)
    assert "healthy" in _ids(result.features.read(columns=["clip_id"]))
    bugs = [row for row in result.features.quarantine().to_pylist() if row["reason"] == "internal_error"]
    assert bugs == [], json.dumps(bugs)


def _ids(table: pa.Table) -> set[str]:
    return set(table.column("clip_id").to_pylist())


def _of(corpus: Corpus, kind: str) -> list[str]:
    return [clip_id for clip_id, damage in corpus.damage.items() if damage == kind]


def test_the_makers_leave_what_they_say(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    containers = {name: encode(noise(rng, 40_000), name) for name in ("WAV", "FLAC", "OGG", "MP3")}
    for number, (kind, maker) in enumerate(MAKERS.items()):
        path = maker(tmp_path / str(number), rng, containers)
        assert path.is_file() == (kind not in {"a folder", "missing", "a named pipe", "a dead link"}), kind
