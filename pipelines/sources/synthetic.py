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
import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import scipy.fft
import soundfile
from numpy.random import Generator
from numpy.typing import NDArray

from storage.errors import InvalidInput

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

SAMPLE_RATE_HZ = 44_100
DURATION_S = 5
NUM_FOLDS = 5

# Stored with the set. Raise it with every change that alters a sample, or old files pass for new ones.
_GENERATOR_VERSION = 1
_NUM_SAMPLES = SAMPLE_RATE_HZ * DURATION_S
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

Waveform = NDArray[np.floating[Any]]


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
    _claim(root, parameters)
    marker = root / "meta" / "esc50.csv"
    if marker.exists():
        return root
    clips = sorted(_plan(num_clips_per_class), key=lambda clip: clip.filename)
    for num_done, clip in enumerate(clips, start=1):
        path = root / "audio" / clip.filename
        if not path.exists():
            _write_atomically(path, _encode(_synthesise(seed, clip)))
        if progress is not None:
            progress(num_done, len(clips))
    _write_atomically(marker, _meta_csv(clips))
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


def _claim(root: Path, parameters: dict[str, int]) -> None:
    """Store the parameters before any audio, so that an interrupted set cannot be continued with others."""
    path = root / "meta" / "synthetic.json"
    remedy = "Choose an empty root, or delete this one if it is no longer needed."
    if path.exists():
        found = json.loads(path.read_text(encoding="utf-8"))
        if found != parameters:
            given = f"{root}, which holds a synthetic set made with {found}"
            raise InvalidInput("root", given=given, allowed=f"an empty folder or a set of {parameters}", remedy=remedy)
    elif (root / "meta" / "esc50.csv").exists() or any((root / "audio").glob("*")):
        given = f"{root}, which holds audio or a meta table not made here"
        raise InvalidInput("root", given=given, allowed="an empty folder or a synthetic set", remedy=remedy)
    (root / "audio").mkdir(parents=True, exist_ok=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        _write_atomically(path, (json.dumps(parameters, indent=2) + "\n").encode())


def _write_atomically(path: Path, content: bytes) -> None:
    # The process id keeps two writers of one set apart; the dot and the suffix keep readers of *.wav away.
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    temporary.write_bytes(content)
    os.replace(temporary, path)


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

    mixture = _unit_rms(_SOUND_MODELS[CLASSES[clip.target]](recording, take))
    noise = _noise(take, _shape([50, 500, 5_000, 20_000], np.cumsum(recording.uniform(-22, 2, 4))))
    mixture = mixture + _amplitude(-recording.uniform(*_SNR_DB)) * _unit_rms(noise)
    if recording.random() < _INTRUDER_PROBABILITY:
        other = (clip.target + recording.integers(1, len(CLASSES))) % len(CLASSES)
        level_db = recording.uniform(*_INTRUDER_DB)
        mixture = mixture + _amplitude(level_db) * _unit_rms(_SOUND_MODELS[CLASSES[other]](recording, take))
    mixture = _in_room(mixture, recording)
    return mixture * (_PEAK * _amplitude(recording.uniform(*_GAIN_DB)) / np.abs(mixture).max())


def _in_room(waveform: Waveform, recording: Generator) -> Waveform:
    """Add the recording's reverberation and the colour of its microphone.

    The convolution is circular: the tail of the end sounds at the start, as if the clip were cut from something longer.
    """
    decay_s = recording.uniform(0.1, 0.9)
    num_tail = int(decay_s * SAMPLE_RATE_HZ)
    tail = recording.standard_normal(num_tail, dtype=np.float32) * np.geomspace(1.0, 1e-3, num_tail, dtype=np.float32)
    response = np.zeros(_NUM_SAMPLES, dtype=np.float32)
    response[1 : num_tail + 1] = tail * (recording.uniform(0.05, 0.6) / np.linalg.norm(tail))
    response[0] = 1.0
    knots_hz = [60, 200, 600, 1_500, 4_000, 8_000, 14_000]
    colour = _shape(knots_hz, recording.uniform(-6, 6, 7) + recording.uniform(-6, 3) * np.linspace(-1, 1, 7))
    return scipy.fft.irfft(scipy.fft.rfft(waveform) * scipy.fft.rfft(response) * colour, _NUM_SAMPLES)


def _amplitude(level_db: float) -> float:
    return float(10.0 ** (level_db / 20.0))


def _unit_rms(waveform: Waveform) -> Waveform:
    return waveform / np.sqrt(np.mean(np.square(waveform)))


# ---- Building blocks: arrays of one clip's length unless said otherwise.


@cache
def _time_s() -> Waveform:
    return np.arange(_NUM_SAMPLES) / SAMPLE_RATE_HZ


@cache
def _log_frequency() -> Waveform:
    frequency_hz = scipy.fft.rfftfreq(_NUM_SAMPLES, 1.0 / SAMPLE_RATE_HZ)
    return np.log2(np.maximum(frequency_hz, 1.0)).astype(np.float32)


def _shape(knots_hz: Sequence[float], gains_db: Waveform | Sequence[float]) -> Waveform:
    """Interpolate gains on the log-frequency axis; returns linear gain per rfft bin."""
    gain_db = np.interp(_log_frequency(), np.log2(knots_hz), gains_db)
    return np.exp2(gain_db.astype(np.float32) * np.float32(np.log2(10.0) / 20.0))


def _filtered(waveform: Waveform, shape: Waveform) -> Waveform:
    return scipy.fft.irfft(scipy.fft.rfft(waveform) * shape, _NUM_SAMPLES)


def _noise(rng: Generator, shape: Waveform) -> Waveform:
    """Gaussian noise with the given spectrum."""
    spectrum = rng.standard_normal(2 * len(shape), dtype=np.float32).view(np.complex64)
    return scipy.fft.irfft(spectrum * shape, _NUM_SAMPLES)


def _slow_curve(rng: Generator, knots_per_s: float) -> Waveform:
    """A random curve of about unit deviation that bends at the given rate."""
    num_knots = int(np.ceil(DURATION_S * knots_per_s)) + 2
    knots_s = np.arange(num_knots) / knots_per_s
    return np.interp(_time_s(), knots_s, rng.standard_normal(num_knots))


def _phase(frequency_hz: Waveform) -> Waveform:
    """Phase in radians, wrapped in double precision, then single: sines are many times cheaper so."""
    cycles = np.cumsum(frequency_hz / SAMPLE_RATE_HZ)
    return ((cycles - np.floor(cycles)) * (2.0 * np.pi)).astype(np.float32)


def _pulses(phase: Waveform, sharpness: float) -> Waveform:
    """A pulse a cycle, with harmonics up to about the square root of `sharpness`."""
    return np.exp(np.float32(sharpness) * (np.cos(phase) - 1.0))


def _onsets_s(take: Generator, period_s: float, jitter: float) -> Waveform:
    """Event times that repeat with `period_s`, each off by a normal `jitter` (a share of the period)."""
    onsets = np.arange(take.uniform(0.0, 1.0), DURATION_S / period_s)
    return (onsets + jitter * take.standard_normal(len(onsets))) * period_s


def _place(onsets_s: Waveform, grains: list[Waveform], gains: Waveform) -> Waveform:
    """Sum grains into a clip, one per onset, taking them in turn; what runs over the end comes in at the start."""
    clip = np.zeros(_NUM_SAMPLES, dtype=np.float32)
    for onset_s, grain, gain in zip(onsets_s, itertools.cycle(grains), gains, strict=False):
        start = int(onset_s * SAMPLE_RATE_HZ) % _NUM_SAMPLES
        head = grain[: _NUM_SAMPLES - start]
        clip[start : start + len(head)] += gain * head
        clip[: len(grain) - len(head)] += gain * grain[len(head) :]
    return clip


def _damped(frequencies_hz: Waveform, decays_s: Waveform, amplitudes: Waveform) -> Waveform:
    """A grain of decaying sines, cut where the longest has fallen by 60 dB or after 4 s."""
    num_samples = int(min(6.9 * float(decays_s.max()), 4.0) * SAMPLE_RATE_HZ)
    time_s = _time_s()[:num_samples].astype(np.float32)
    grain = np.zeros(num_samples, dtype=np.float32)
    for frequency_hz, decay_s, amplitude in zip(frequencies_hz, decays_s, amplitudes, strict=True):
        angle = time_s * np.float32(2.0 * np.pi * frequency_hz)
        grain += np.float32(amplitude) * np.exp(time_s * np.float32(-1.0 / decay_s)) * np.sin(angle)
    return grain


def _log_uniform(rng: Generator, low: float, high: float, size: int | None = None) -> Any:
    return np.exp(rng.uniform(np.log(low), np.log(high), size))


# ---- Sound models, one per class: (recording, take) -> a clip of any level.


def _siren(recording: Generator, take: Generator) -> Waveform:
    """A tone that wails, yelps or alternates, driven into a horn's distortion."""
    low_hz, span = recording.uniform(350, 900), recording.uniform(1.25, 2.3)
    period_s, drive = _log_uniform(recording, 0.25, 5.0), _log_uniform(recording, 0.3, 4.0)
    style = recording.integers(3)
    cycle = (_time_s() / period_s + take.uniform()) % 1.0
    if style == 0:
        contour = 0.5 - 0.5 * np.cos(2.0 * np.pi * cycle)
    elif style == 1:
        contour = np.minimum(cycle / 0.7, (1.0 - cycle) / 0.3)
    else:
        contour = (cycle < 0.5).astype(np.float64)
    tone = np.sin(_phase(low_hz * span**contour))
    return np.tanh(np.float32(drive) * (tone + np.float32(0.2))) - np.tanh(np.float32(0.2 * drive))


def _clock(recording: Generator, take: Generator) -> Waveform:
    """Ticks and tocks: short clusters of resonances at a steady beat."""
    period_s, tock = recording.uniform(0.2, 1.0), recording.uniform(0.75, 1.05)
    frequencies_hz = _log_uniform(recording, 900, 8_000, 4)
    decays_s, amplitudes = _log_uniform(recording, 0.001, 0.012, 4), recording.uniform(0.2, 1.0, 4)
    grains = [_damped(frequencies_hz * scale, decays_s, amplitudes) for scale in (1.0, tock)]
    onsets_s = _onsets_s(take, period_s, 0.004)
    return _place(onsets_s, grains, take.uniform(0.8, 1.0, len(onsets_s)))


def _rain(recording: Generator, take: Generator) -> Waveform:
    """A hiss under many single drops whose size varies widely."""
    hiss = _shape([80, 800, 4_000, 16_000], np.cumsum(recording.uniform((-6, -4, -6, -14), (0, 10, 6, 0))))
    patter = _shape([150, 900, 4_000, 16_000], np.cumsum(recording.uniform((-30, 4, -4, -16), (-18, 20, 10, -2))))
    drops_per_s, drop_db = _log_uniform(recording, 20, 800), recording.uniform(-8, 8)
    depth = recording.uniform(0.0, 0.35)
    num_drops = take.poisson(drops_per_s * DURATION_S)
    drops = np.zeros(_NUM_SAMPLES, dtype=np.float32)
    drops[take.integers(0, _NUM_SAMPLES, num_drops)] = take.lognormal(0.0, 0.9, num_drops) * take.choice(
        [-1.0, 1.0], num_drops
    )
    steady = _unit_rms(_noise(take, hiss)) * np.exp(depth * _slow_curve(take, 1.0))
    return steady + _amplitude(drop_db) * _unit_rms(_filtered(drops, patter))


def _engine(recording: Generator, take: Generator) -> Waveform:
    """Firing pulses with uneven cylinders, a drifting speed and exhaust noise that breathes with them."""
    rate_hz, drift = _log_uniform(recording, 25, 140), recording.uniform(0.01, 0.12)
    sharpness, unevenness = _log_uniform(recording, 15, 200), recording.uniform(0.0, 0.6)
    exhaust_db = recording.uniform(-24, -2)
    muffler = _shape([40, 250, 1_000, 6_000], np.cumsum(recording.uniform((-8, -4, -12, -30), (0, 8, 0, -12))))
    quarter = _phase(rate_hz / 4.0 * np.exp(drift * _slow_curve(take, 0.7)))
    firing = _pulses(4.0 * quarter, sharpness) * (1.0 + unevenness * np.cos(quarter) * np.cos(2.0 * quarter))
    exhaust = _unit_rms(_noise(take, muffler) * (0.3 + firing))
    return _unit_rms(_filtered(firing - firing.mean(), muffler)) + _amplitude(exhaust_db) * exhaust


def _crickets(recording: Generator, take: Generator) -> Waveform:
    """One to three insects, each a high carrier in quick syllables, grouped into chirps or one trill."""
    chorus = np.zeros(_NUM_SAMPLES, dtype=np.float32)
    for _ in range(recording.integers(1, 4)):
        carrier_hz, syllable_hz = recording.uniform(2_200, 7_500), recording.uniform(14, 60)
        chirp_hz, duty = _log_uniform(recording, 0.6, 4.0), recording.uniform(0.3, 1.1)
        level = recording.uniform(0.3, 1.0)
        wobble = 1.0 + 0.004 * _slow_curve(take, 5.0)
        syllables = np.maximum(np.sin(_phase(syllable_hz * wobble)), 0.0) ** np.float32(1.5)
        chirp = (_time_s() * chirp_hz + take.uniform()) % 1.0
        gate = np.clip((duty - chirp) * 30.0, 0.0, 1.0).astype(np.float32)
        chorus += np.float32(level) * gate * syllables * np.sin(_phase(carrier_hz * wobble))
    return chorus


def _bell(recording: Generator, take: Generator) -> Waveform:
    """Strikes of one bell: the inharmonic partials of a church bell, each slightly mistuned; high ones die first."""
    ratios = np.array([0.5, 1.0, 1.2, 1.5, 2.0, 2.52, 2.67, 3.01, 4.17]) * recording.normal(1.0, 0.02, 9)
    strike_hz, decay_s = _log_uniform(recording, 250, 1_800), _log_uniform(recording, 0.2, 2.5)
    amplitudes = recording.uniform(0.15, 1.0, 9) * np.array([0.5, 1, 0.9, 0.5, 0.8, 0.4, 0.4, 0.4, 0.25])
    period_s, jitter = recording.uniform(0.4, 2.5), recording.uniform(0.0, 0.1)
    grain = _damped(strike_hz * ratios, decay_s / ratios**0.8, amplitudes)
    onsets_s = _onsets_s(take, period_s, jitter)
    return _place(onsets_s, [grain], take.uniform(0.5, 1.0, len(onsets_s)))


def _footsteps(recording: Generator, take: Generator) -> Waveform:
    """Heel, then toe: a thump of the floor and a burst of noise coloured by the surface."""
    period_s, toe_s = recording.uniform(0.3, 0.8), recording.uniform(0.05, 0.16)
    burst_s, toe_gain = _log_uniform(recording, 0.006, 0.06), recording.uniform(0.1, 0.9)
    thump = _damped(_log_uniform(recording, 60, 260, 2), recording.uniform(0.01, 0.035, 2), np.array([1.0, 0.6]))
    surface = _shape([100, 500, 2_000, 10_000], np.cumsum(recording.uniform((-10, -6, -12, -24), (0, 10, 10, -4))))
    thump_db = recording.uniform(-10, 6)
    onsets_s = _onsets_s(take, period_s, 0.03)
    gains = take.uniform(0.5, 1.0, len(onsets_s))
    decay = np.exp(-_time_s()[: int(7 * burst_s * SAMPLE_RATE_HZ)] / burst_s).astype(np.float32)
    envelope = _place(onsets_s, [decay], gains) + _place(onsets_s + toe_s, [decay], toe_gain * gains)
    bursts = _unit_rms(_noise(take, surface) * envelope)
    return bursts + _amplitude(thump_db) * _unit_rms(_place(onsets_s, [thump], gains))


def _wind(recording: Generator, take: Generator) -> Waveform:
    """Low noise in gusts, with a whistle whose pitch and strength follow them."""
    rumble = _shape([60, 300, 1_200, 8_000], np.cumsum(recording.uniform((-4, -10, -20, -30), (0, 4, -3, -8))))
    gust_hz, depth = recording.uniform(0.4, 2.0), recording.uniform(0.3, 1.0)
    whistle_hz, whistle_db = _log_uniform(recording, 250, 1_200), recording.uniform(-26, -6)
    gusts = _slow_curve(take, gust_hz)
    tone = np.sin(_phase(whistle_hz * np.exp(0.15 * gusts + 0.02 * _slow_curve(take, 30.0))))
    whistle = _unit_rms(tone * np.exp(gusts) * _slow_curve(take, 12.0))
    return _unit_rms(_noise(take, rumble) * np.exp(depth * gusts)) + _amplitude(whistle_db) * whistle


def _dog_bark(recording: Generator, take: Generator) -> Waveform:
    """Groups of barks: a rough voice that rises and falls, through the three formants of one dog's throat."""
    pitch_hz, bark_s = _log_uniform(recording, 220, 900), recording.uniform(0.09, 0.3)
    group_s, num_barks = recording.uniform(0.7, 2.5), int(recording.integers(1, 4))
    roughness, formants_hz = recording.uniform(0.1, 0.8), recording.uniform((450, 1_200, 2_500), (1_000, 2_300, 4_200))
    knots_hz = np.sort(np.concatenate([[80], formants_hz, np.sqrt(formants_hz[1:] * formants_hz[:-1]), [9_000]]))
    throat = _shape(knots_hz.tolist(), [-20, 0, -14, -4, -18, -10, -40])
    time_s = _time_s()[: int(bark_s * SAMPLE_RATE_HZ)]
    arch = np.sin(np.pi * (time_s / bark_s) ** 0.6)
    grains = []
    for detune in take.normal(1.0, 0.05, 4):
        voice = _pulses(_phase(pitch_hz * detune * (0.6 + 0.4 * arch)), 12.0) - 0.12
        breath = take.standard_normal(len(time_s)) * roughness * 0.3
        grains.append((voice + breath) * arch)
    groups_s = _onsets_s(take, group_s, 0.1)
    onsets_s = (groups_s[:, None] + 1.3 * bark_s * np.arange(num_barks)).ravel()
    return _filtered(_place(onsets_s, grains, take.uniform(0.5, 1.0, len(onsets_s))), throat)


def _water_drops(recording: Generator, take: Generator) -> Waveform:
    """Drops into water: a click, then a bubble whose pitch rises as it closes; sizes differ from drop to drop."""
    pitch_hz, rise = _log_uniform(recording, 500, 2_800), recording.uniform(0.05, 0.9)
    decay_s, period_s = _log_uniform(recording, 0.008, 0.06), _log_uniform(recording, 0.15, 1.2)
    jitter, click = recording.uniform(0.02, 0.35), recording.uniform(0.0, 0.5)
    time_s = _time_s()[: int(6.9 * decay_s * SAMPLE_RATE_HZ)]
    decay = np.exp(-time_s / decay_s)
    grains = []
    for scale in take.normal(1.0, 0.12, 6):
        bubble = np.sin(_phase(pitch_hz * scale * (1.0 + rise * (1.0 - decay)))) * decay
        grains.append(bubble + click * take.standard_normal(len(time_s)) * np.exp(-time_s / 0.0015))
    onsets_s = _onsets_s(take, period_s, jitter)
    return _place(onsets_s, grains, take.uniform(0.3, 1.0, len(onsets_s)))


_SOUND_MODELS: dict[str, Callable[[Generator, Generator], Waveform]] = {
    "siren": _siren,
    "clock": _clock,
    "rain": _rain,
    "engine": _engine,
    "crickets": _crickets,
    "bell": _bell,
    "footsteps": _footsteps,
    "wind": _wind,
    "dog_bark": _dog_bark,
    "water_drops": _water_drops,
}
