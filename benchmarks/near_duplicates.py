"""How many planted copies of clips the audit finds, and how many pairs it finds that are none.

python benchmarks/near_duplicates.py [--quick] [--root <ESC-50 tree>] [--scale 20000]

Of every clip five copies are made and put beside it as if they were other recordings: shifted by 0.1 to 1 s, louder or
softer by -12 to +6 dB (and clipped where that leaves full scale), encoded as MP3 and as Ogg Vorbis at libsndfile's
lowest quality, and under white noise at 15 dB. A copy is found when it is paired with its original. Every pair of clips
of different recordings (src_file) counts against the precision, the pairs among the originals too: their strongest are
listed, to be listened to (in ESC-10 some are the same recording under two numbers). Pairs of two takes of one recording
count neither way. Without --root or ESC50_ROOT the embedded data set is used.
"""

import argparse
import io
import os
import platform
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from pipelines.audits.clip_audio import read_audio
from pipelines.audits.near_duplicates import NearDuplicate, NearDuplicateSearch, NearDuplicateSettings
from pipelines.backends import create_backend
from pipelines.decoding.decode import Waveform, cut_windows
from pipelines.feature_spec import FeatureSpec
from pipelines.files.recordings import recordings_of
from pipelines.manifest import Clip, Manifest
from pipelines.sources import read_manifest
from pipelines.sources.synthetic import write_synthetic_dataset
from storage.identity import derive_seed

SPEC = FeatureSpec()
HOP_S = SPEC.hop_samples / SPEC.sample_rate_hz
NUM_STRONGEST = 10
ORIGINAL = "original"

Samples = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True, slots=True)
class Window:
    """One searched window: the clip it comes from, and what was done to it."""

    clip: Clip
    kind: str


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="100 clips, no scale: within a minute")
    parser.add_argument("--root", default=os.environ.get("ESC50_ROOT"), help="an ESC-50 tree")
    parser.add_argument("--scale", type=int, default=20_000, help="windows of the search that is timed; 0 for none")
    arguments = parser.parse_args(argv)
    print(f"{platform.platform()}, Python {platform.python_version()}, numpy {np.__version__}")
    num_clips = 100 if arguments.quick else None
    with tempfile.TemporaryDirectory(prefix="melsweep-benchmark-") as folder:
        root = arguments.root or _synthesized(Path(folder), num_clips)
        manifest = _drawn(read_manifest("esc50", root=root, name=Path(root).name), num_clips)
        num_recordings = len({clip.group for clip in manifest.clips})
        print(f"{len(manifest.clips)} clips of {manifest.name}, {num_recordings} recordings")
        windows, log_mels = _planted(manifest)
    found = _search(log_mels, np.arange(len(windows)))
    _print_table(windows, found)
    figures = _figures(windows, found)
    if arguments.scale and not arguments.quick:
        _time_search(log_mels, arguments.scale)
    for name, value in figures.items():
        print(f"figure audit.near_duplicate_{name} {value:.4f}")
    return 0


def _synthesized(folder: Path, num_clips: int | None) -> str:
    return str(write_synthetic_dataset(folder / "synthetic", num_clips_per_class=40 if num_clips is None else 10))


def _drawn(manifest: Manifest, num_clips: int | None) -> Manifest:
    if num_clips is None or num_clips >= len(manifest.clips):
        return manifest
    places = np.random.default_rng(0).choice(len(manifest.clips), num_clips, replace=False)
    return Manifest(name=manifest.name, root=manifest.root, clips=tuple(manifest.clips[place] for place in places))


# Copies: (samples, rate, generator) → samples.


def shifted(samples: Samples, rate_hz: int, generator: np.random.Generator) -> Samples:
    shift = round(generator.uniform(0.1, 1.0) * rate_hz)
    if generator.random() < 0.5:
        return samples[shift:]
    return np.concatenate([np.zeros(shift, dtype=np.float32), samples])[: len(samples)]


def gained(samples: Samples, rate_hz: int, generator: np.random.Generator) -> Samples:
    return np.clip(samples * np.float32(10 ** (generator.uniform(-12, 6) / 20)), -1, 1)


def as_mp3(samples: Samples, rate_hz: int, generator: np.random.Generator) -> Samples:
    return _encoded_again(samples, rate_hz, "MP3", "MPEG_LAYER_III", 0.99)


def as_ogg(samples: Samples, rate_hz: int, generator: np.random.Generator) -> Samples:
    return _encoded_again(samples, rate_hz, "OGG", "VORBIS", 1.0)


def noised(samples: Samples, rate_hz: int, generator: np.random.Generator) -> Samples:
    noise = generator.standard_normal(len(samples))
    scale = np.sqrt(np.square(samples, dtype=np.float64).mean() / np.square(noise).mean()) * 10 ** (-15 / 20)
    return (samples + scale * noise).astype(np.float32)


COPIES: dict[str, Callable[[Samples, int, np.random.Generator], Samples]] = {
    "shifted": shifted,
    "gain": gained,
    "mp3": as_mp3,
    "ogg": as_ogg,
    "noise": noised,
}


def _encoded_again(samples: Samples, rate_hz: int, container: str, codec: str, compression: float) -> Samples:
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate_hz, format=container, subtype=codec, compression_level=compression)
    buffer.seek(0)
    decoded, _ = soundfile.read(buffer, dtype="float32")
    return np.asarray(decoded, dtype=np.float32)


def _planted(manifest: Manifest) -> tuple[list[Window], NDArray[np.float16]]:
    """The windows, originals and copies, and their log-mels as they would be stored."""
    backend = create_backend("cpu", SPEC)
    windows, log_mels = [], []
    for clip in manifest.clips:
        waveform = read_audio(recordings_of(manifest), clip)
        for kind, samples in _versions(clip, waveform):
            windows.append(Window(clip=clip, kind=kind))
            at_spec_rate = soxr.resample(samples, waveform.sample_rate_hz, SPEC.sample_rate_hz, quality="HQ")
            copy = Waveform(
                samples=at_spec_rate,
                sample_rate_hz=SPEC.sample_rate_hz,
                source_rate_hz=waveform.sample_rate_hz,
                num_channels=1,
                pcm_hash="",
            )
            log_mels.append(backend.log_mel(cut_windows(copy, SPEC))[0].astype(np.float16))
    return windows, np.stack(log_mels)


def _versions(clip: Clip, waveform: Waveform) -> Iterator[tuple[str, Samples]]:
    yield ORIGINAL, waveform.samples
    for kind, copy in COPIES.items():
        generator = np.random.default_rng(derive_seed("copy", kind, clip.clip_id))
        yield kind, copy(waveform.samples, waveform.sample_rate_hz, generator)


def _search(log_mels: NDArray[np.float16], kin: NDArray[np.integer]) -> list[NearDuplicate]:
    search = NearDuplicateSearch(NearDuplicateSettings(), hop_s=HOP_S)
    for start in range(0, len(log_mels), 200):
        search.add(log_mels[start : start + 200])
    return search.find(kin)


def _is_hit(pair: NearDuplicate, windows: Sequence[Window]) -> bool:
    first, second = windows[pair.first], windows[pair.second]
    return first.clip is second.clip and ORIGINAL in (first.kind, second.kind)


def _is_false(pair: NearDuplicate, windows: Sequence[Window]) -> bool:
    return windows[pair.first].clip.group != windows[pair.second].clip.group


def _figures(windows: Sequence[Window], found: Sequence[NearDuplicate]) -> dict[str, float]:
    num_copies = sum(window.kind != ORIGINAL for window in windows)
    same_clip = sum(windows[pair.first].clip is windows[pair.second].clip for pair in found)
    num_false = sum(_is_false(pair, windows) for pair in found)
    return {
        "precision": same_clip / max(1, same_clip + num_false),
        "recall": sum(_is_hit(pair, windows) for pair in found) / max(1, num_copies),
    }


def _print_table(windows: Sequence[Window], found: Sequence[NearDuplicate]) -> None:
    print(f"\n{'kind':<10}{'copies':>8}{'found':>8}{'recall':>9}{'weakest':>9}{'other recordings':>18}")
    for kind in COPIES:
        num_copies = sum(window.kind == kind for window in windows)
        of_kind = [pair for pair in found if kind in (windows[pair.first].kind, windows[pair.second].kind)]
        hits = [pair.correlation for pair in of_kind if _is_hit(pair, windows)]
        num_false = sum(_is_false(pair, windows) for pair in of_kind)
        weakest = f"{min(hits):.2f}" if hits else "–"
        print(f"{kind:<10}{num_copies:>8}{len(hits):>8}{len(hits) / num_copies:>9.3f}{weakest:>9}{num_false:>18}")
    _print_false([pair for pair in found if _is_false(pair, windows)], windows)


def _print_false(false: Sequence[NearDuplicate], windows: Sequence[Window]) -> None:
    """Pairs of different recordings, strongest first, and how many follow from pairs of originals."""
    among = [pair for pair in false if windows[pair.first].kind == windows[pair.second].kind == ORIGINAL]
    alike = {_groups(pair, windows) for pair in among}
    num_following = sum(_groups(pair, windows) in alike for pair in false)
    print(
        f"\npairs of different recordings: {len(false)}; {num_following} are of recordings whose originals are paired."
    )
    print(f"The {min(len(among), NUM_STRONGEST)} strongest of {len(among)} pairs of originals:")
    for pair in among[:NUM_STRONGEST]:
        first, second = windows[pair.first].clip, windows[pair.second].clip
        labels = "|".join(first.labels), "|".join(second.labels)
        print(f"  {pair.correlation:.3f}  {first.clip_id} ({labels[0]})  {second.clip_id} ({labels[1]})")


def _groups(pair: NearDuplicate, windows: Sequence[Window]) -> frozenset[str]:
    return frozenset((windows[pair.first].clip.group, windows[pair.second].clip.group))


def _time_search(log_mels: NDArray[np.float16], num_windows: int) -> None:
    """Real windows again and again, each turned in time and roughened, so that they are no copies."""
    generator = np.random.default_rng(0)
    search = NearDuplicateSearch(NearDuplicateSettings(), hop_s=HOP_S)
    added_s = 0.0
    for start in range(0, num_windows, 200):
        drawn = log_mels[generator.integers(0, len(log_mels), min(200, num_windows - start))].astype(np.float32)
        drawn = np.roll(drawn, generator.integers(1, drawn.shape[2]), axis=2)
        drawn += 6 * generator.standard_normal(drawn.shape, dtype=np.float32)
        began = time.perf_counter()
        search.add(drawn)
        added_s += time.perf_counter() - began
    began = time.perf_counter()
    search.find(np.arange(num_windows))
    found_s = time.perf_counter() - began
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"\n{num_windows} windows: patterns {added_s:.1f} s, search {found_s:.1f} s, peak memory {peak_mb:.0f} MB")


if __name__ == "__main__":
    sys.exit(main())
