"""A ten-class data set that needs no download: sounds made from one seed, laid out on disk like ESC-50.

A seed enters; 16-bit WAV clips of 5 s and `meta/esc50.csv` leave, so that every reader of ESC-50 reads this set too. It
stands where a corpus stands, before the manifest, for tests, smoke runs and machines without a network.

The set keeps the difficulties of a real corpus. Several clips (takes) come from one recording and share its instrument,
background, room and gain: a split that ignores recordings leaks. Classes overlap under noise at varying SNR, and some
recordings carry another class faintly. Loudness says nothing about the class.
"""

import csv
import io
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import scipy.fft
import soundfile
from numpy.random import Generator

from pipelines.files.recordings import Recordings
from pipelines.manifest import Manifest
from pipelines.sources import esc50
from pipelines.sources.made_trees import claim
from pipelines.sources.synthetic_sounds import (
    NUM_SAMPLES,
    SAMPLE_RATE_HZ,
    SOUND_MODELS,
    Waveform,
    amplitude,
    colouring,
    noise,
    unit_rms,
)
from storage.errors import InvalidInput, StorageError
from storage.local import LocalObjectStore

CLASSES: tuple[str, ...] = (
    "siren",
    "clock",
    "rain",
    "engine",
    "crickets",
    "bell",
    "footsteps",
    "wind",
    "dog_bark",
    "water_drops",
)

NUM_FOLDS = 5

# Stored with the set. Raise it with every change that alters a sample, or old files pass for new ones.
_GENERATOR_VERSION = 1
_MAX_CLIPS_PER_CLASS = 10_000  # src_file keeps three digits for the recordings of one class and fold
_META_COLUMNS = ("filename", "fold", "target", "category", "esc10", "src_file", "take")

# Takes of the successive recordings in a fold: each row makes 8 clips, the five rows 16 recordings a class.
_NUM_TAKES = ((5, 2, 1), (4, 3, 1), (3, 3, 2), (4, 2, 2), (3, 2, 2, 1))

# Ranges tuned so that a small CNN is neither at chance nor perfect on the grouped folds.
_SNR_DB = (-4.0, 16.0)
_INTRUDER_PROBABILITY = 0.4
_INTRUDER_DB = (-20.0, -6.0)
_GAIN_DB = (-18.0, 0.0)
_PEAK = 0.88


@dataclass(frozen=True, kw_only=True, slots=True)
class _Clip:
    """One clip's place in the set; `(target, fold, recording)` names its recording."""

    target: int
    fold: int
    recording: int
    take: int

    @property
    def src_file(self) -> int:
        return 100_000 + 10_000 * self.target + 1_000 * self.fold + self.recording

    @property
    def take_letter(self) -> str:
        return "ABCDEFGH"[self.take]

    @property
    def filename(self) -> str:
        return f"{self.fold}-{self.src_file}-{self.take_letter}-{self.target}.wav"


def manifest(recordings: Recordings, name: str) -> Manifest:
    """Reads the data set as the ESC-50 tree that it is; where there is none yet, makes it first, with the defaults.

    Args:
        recordings: the data set's folder; on S3 it must be there.
        name: the data set's name.

    Raises:
        InvalidInput: the folder holds something else, or cannot be written.
    """
    if recordings.is_local and not recordings.exists("meta/esc50.csv"):
        try:
            write_synthetic_dataset(Path(recordings.root))
        except StorageError as e:
            raise InvalidInput(
                "data.root", given=recordings.root, allowed="a folder that can be written", remedy=str(e)
            ) from e
    return esc50.manifest(recordings, name)


def check(recordings: Recordings) -> list[str]:
    """What is wrong with a data set that is there, in words; the full set has the shape of ESC-10."""
    return esc50.check(recordings)


def write_synthetic_dataset(
    root: Path,
    *,
    seed: int = 7,
    num_clips_per_class: int = 40,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Write the data set below `root`, or return at once if it is there.

    Audio comes first, the meta csv last by atomic rename: its existence means complete. A killed run is continued by
    the next call; several processes may write the same set at once. A clip depends on the seed and its own place alone,
    so a smaller set is a subset of a larger one. The same seed gives the same bytes on one machine with one scipy.

    Args:
        root: Folder of the set; created if missing. Must be empty or hold this same set.
        seed: Seed of everything random, 0 or more.
        num_clips_per_class: Clips of each class, a multiple of the 5 folds, from 5 to 10,000. 40 clips are cut from 16
            recordings of 1 to 5 takes; a recording lies in one fold.
        progress: Called after each clip with (clips done, clips in all).

    Returns:
        `root`, holding `audio/<fold>-<src_file>-<take>-<target>.wav` (44.1 kHz, mono, 16-bit PCM, 5 s, peak below 0.9),
        `meta/esc50.csv` with the columns of ESC-50 (`esc10` is True throughout: all ten classes are the small set) and
        `meta/synthetic.json` with the parameters.

    Raises:
        InvalidInput: An argument is out of range, or `root` holds another data set.
    """
    _validate(seed, num_clips_per_class)
    root = Path(root)
    parameters = {
        "generator_version": _GENERATOR_VERSION,
        "seed": int(seed),
        "num_clips_per_class": int(num_clips_per_class),
    }
    claim(root, parameters, stored_as="meta/synthetic.json", table="meta/esc50.csv", audio="audio")
    marker = root / "meta" / "esc50.csv"
    if marker.exists():
        return root
    files = LocalObjectStore(root)
    clips = sorted(_plan(num_clips_per_class), key=lambda clip: clip.filename)
    for num_done, clip in enumerate(clips, start=1):
        if not (root / "audio" / clip.filename).exists():
            files.put(f"audio/{clip.filename}", _encode(_synthesise(seed, clip)))
        if progress is not None:
            progress(num_done, len(clips))
    files.put("meta/esc50.csv", _meta_csv(clips))
    return root


def _validate(seed: int, num_clips_per_class: int) -> None:
    if seed < 0:
        raise InvalidInput("seed", given=seed, allowed="0 or more", remedy="Give a non-negative integer.")
    if num_clips_per_class % NUM_FOLDS or not NUM_FOLDS <= num_clips_per_class <= _MAX_CLIPS_PER_CLASS:
        raise InvalidInput(
            "num_clips_per_class",
            given=num_clips_per_class,
            allowed=f"multiples of {NUM_FOLDS} from {NUM_FOLDS} to {_MAX_CLIPS_PER_CLASS}, as many in every fold",
            remedy="Give 40 for the full set.",
        )


def _encode(waveform: Waveform) -> bytes:
    buffer = io.BytesIO()
    pcm = np.round(waveform * 32767.0).astype(np.int16)
    soundfile.write(buffer, pcm, SAMPLE_RATE_HZ, format="WAV", subtype="PCM_16")
    return buffer.getvalue()


def _meta_csv(clips: list[_Clip]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_META_COLUMNS)
    for clip in clips:
        category = CLASSES[clip.target]
        writer.writerow((clip.filename, clip.fold, clip.target, category, True, clip.src_file, clip.take_letter))
    return text.getvalue().encode()


def _plan(num_clips_per_class: int) -> Iterator[_Clip]:
    """Lay out the clips: every fold takes the first clips of its own endless row of recordings."""
    for target, fold in itertools.product(range(len(CLASSES)), range(1, NUM_FOLDS + 1)):
        num_takes = itertools.cycle(_NUM_TAKES[(target + fold) % len(_NUM_TAKES)])
        slots = ((recording, take) for recording, num in enumerate(num_takes) for take in range(num))
        for recording, take in itertools.islice(slots, num_clips_per_class // NUM_FOLDS):
            yield _Clip(target=target, fold=fold, recording=recording, take=take)


# ---- From sounds to a clip. `recording` draws what all takes of a recording share and is made afresh for each take;
# ---- `take` draws what differs between them. How much is drawn from `recording` must therefore never hang on `take`.


def _synthesise(seed: int, clip: _Clip) -> Waveform:
    """Return the clip: (220500,) samples, peak between 0.11 and 0.88."""
    key = (clip.target, clip.fold, clip.recording)
    recording = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=key))
    take = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(*key, 1 + clip.take)))

    mixture = unit_rms(SOUND_MODELS[CLASSES[clip.target]](recording, take))
    background = noise(take, colouring([50, 500, 5_000, 20_000], np.cumsum(recording.uniform(-22, 2, 4))))
    mixture = mixture + amplitude(-recording.uniform(*_SNR_DB)) * unit_rms(background)
    if recording.random() < _INTRUDER_PROBABILITY:
        other = (clip.target + recording.integers(1, len(CLASSES))) % len(CLASSES)
        level_db = recording.uniform(*_INTRUDER_DB)
        mixture = mixture + amplitude(level_db) * unit_rms(SOUND_MODELS[CLASSES[other]](recording, take))
    mixture = _in_room(mixture, recording)
    return mixture * (_PEAK * amplitude(recording.uniform(*_GAIN_DB)) / np.abs(mixture).max())


def _in_room(waveform: Waveform, recording: Generator) -> Waveform:
    """Add the recording's reverberation and the colour of its microphone.

    The convolution is circular: the tail of the end sounds at the start, as if the clip were cut from something longer.
    """
    decay_s = recording.uniform(0.1, 0.9)
    num_tail = int(decay_s * SAMPLE_RATE_HZ)
    tail = recording.standard_normal(num_tail, dtype=np.float32) * np.geomspace(1.0, 1e-3, num_tail, dtype=np.float32)
    response = np.zeros(NUM_SAMPLES, dtype=np.float32)
    response[1 : num_tail + 1] = tail * (recording.uniform(0.05, 0.6) / np.linalg.norm(tail))
    response[0] = 1.0
    knots_hz = [60, 200, 600, 1_500, 4_000, 8_000, 14_000]
    colour = colouring(knots_hz, recording.uniform(-6, 6, 7) + recording.uniform(-6, 3) * np.linspace(-1, 1, 7))
    return scipy.fft.irfft(scipy.fft.rfft(waveform) * scipy.fft.rfft(response) * colour, NUM_SAMPLES)
