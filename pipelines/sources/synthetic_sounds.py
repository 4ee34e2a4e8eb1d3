"""The sounds of the synthetic data set: one small model per class, and the building blocks they share.

Two generators enter, one for what all takes of a recording share and one for what differs between them; an array of one
clip's length leaves. `pipelines.sources.synthetic` mixes, levels and stores them.
"""

import itertools
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np
import scipy.fft
from numpy.random import Generator
from numpy.typing import NDArray

SAMPLE_RATE_HZ = 44_100
DURATION_S = 5
NUM_SAMPLES = SAMPLE_RATE_HZ * DURATION_S

Waveform = NDArray[np.floating[Any]]


def amplitude(level_db: float) -> float:
    """The factor that raises the level by `level_db`: 0.5 for -6.02 dB."""
    return float(10.0 ** (level_db / 20.0))


def unit_rms(waveform: Waveform) -> Waveform:
    """Scales to a root mean square of 1; (num_samples,), not silent."""
    return waveform / np.sqrt(np.mean(np.square(waveform)))


# ---- Building blocks: arrays of one clip's length unless said otherwise.


@cache
def _time_s() -> Waveform:
    return np.arange(NUM_SAMPLES) / SAMPLE_RATE_HZ


@cache
def _log_frequency() -> Waveform:
    frequency_hz = scipy.fft.rfftfreq(NUM_SAMPLES, 1.0 / SAMPLE_RATE_HZ)
    return np.log2(np.maximum(frequency_hz, 1.0)).astype(np.float32)


def colouring(knots_hz: Sequence[float], gains_db: Waveform | Sequence[float]) -> Waveform:
    """Interpolate gains on the log-frequency axis; returns linear gain per rfft bin."""
    gain_db = np.interp(_log_frequency(), np.log2(knots_hz), gains_db)
    return np.exp2(gain_db.astype(np.float32) * np.float32(np.log2(10.0) / 20.0))


def _filtered(waveform: Waveform, shape: Waveform) -> Waveform:
    return scipy.fft.irfft(scipy.fft.rfft(waveform) * shape, NUM_SAMPLES)


def noise(rng: Generator, shape: Waveform) -> Waveform:
    """Gaussian noise with the given spectrum."""
    spectrum = rng.standard_normal(2 * len(shape), dtype=np.float32).view(np.complex64)
    return scipy.fft.irfft(spectrum * shape, NUM_SAMPLES)


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
    clip = np.zeros(NUM_SAMPLES, dtype=np.float32)
    for onset_s, grain, gain in zip(onsets_s, itertools.cycle(grains), gains, strict=False):
        start = int(onset_s * SAMPLE_RATE_HZ) % NUM_SAMPLES
        head = grain[: NUM_SAMPLES - start]
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
    hiss = colouring([80, 800, 4_000, 16_000], np.cumsum(recording.uniform((-6, -4, -6, -14), (0, 10, 6, 0))))
    patter = colouring([150, 900, 4_000, 16_000], np.cumsum(recording.uniform((-30, 4, -4, -16), (-18, 20, 10, -2))))
    drops_per_s, drop_db = _log_uniform(recording, 20, 800), recording.uniform(-8, 8)
    depth = recording.uniform(0.0, 0.35)
    num_drops = take.poisson(drops_per_s * DURATION_S)
    drops = np.zeros(NUM_SAMPLES, dtype=np.float32)
    drops[take.integers(0, NUM_SAMPLES, num_drops)] = take.lognormal(0.0, 0.9, num_drops) * take.choice(
        [-1.0, 1.0], num_drops
    )
    steady = unit_rms(noise(take, hiss)) * np.exp(depth * _slow_curve(take, 1.0))
    return steady + amplitude(drop_db) * unit_rms(_filtered(drops, patter))


def _engine(recording: Generator, take: Generator) -> Waveform:
    """Firing pulses with uneven cylinders, a drifting speed and exhaust noise that breathes with them."""
    rate_hz, drift = _log_uniform(recording, 25, 140), recording.uniform(0.01, 0.12)
    sharpness, unevenness = _log_uniform(recording, 15, 200), recording.uniform(0.0, 0.6)
    exhaust_db = recording.uniform(-24, -2)
    muffler = colouring([40, 250, 1_000, 6_000], np.cumsum(recording.uniform((-8, -4, -12, -30), (0, 8, 0, -12))))
    quarter = _phase(rate_hz / 4.0 * np.exp(drift * _slow_curve(take, 0.7)))
    firing = _pulses(4.0 * quarter, sharpness) * (1.0 + unevenness * np.cos(quarter) * np.cos(2.0 * quarter))
    exhaust = unit_rms(noise(take, muffler) * (0.3 + firing))
    return unit_rms(_filtered(firing - firing.mean(), muffler)) + amplitude(exhaust_db) * exhaust


def _crickets(recording: Generator, take: Generator) -> Waveform:
    """One to three insects, each a high carrier in quick syllables, grouped into chirps or one trill."""
    chorus = np.zeros(NUM_SAMPLES, dtype=np.float32)
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
    surface = colouring([100, 500, 2_000, 10_000], np.cumsum(recording.uniform((-10, -6, -12, -24), (0, 10, 10, -4))))
    thump_db = recording.uniform(-10, 6)
    onsets_s = _onsets_s(take, period_s, 0.03)
    gains = take.uniform(0.5, 1.0, len(onsets_s))
    decay = np.exp(-_time_s()[: int(7 * burst_s * SAMPLE_RATE_HZ)] / burst_s).astype(np.float32)
    envelope = _place(onsets_s, [decay], gains) + _place(onsets_s + toe_s, [decay], toe_gain * gains)
    bursts = unit_rms(noise(take, surface) * envelope)
    return bursts + amplitude(thump_db) * unit_rms(_place(onsets_s, [thump], gains))


def _wind(recording: Generator, take: Generator) -> Waveform:
    """Low noise in gusts, with a whistle whose pitch and strength follow them."""
    rumble = colouring([60, 300, 1_200, 8_000], np.cumsum(recording.uniform((-4, -10, -20, -30), (0, 4, -3, -8))))
    gust_hz, depth = recording.uniform(0.4, 2.0), recording.uniform(0.3, 1.0)
    whistle_hz, whistle_db = _log_uniform(recording, 250, 1_200), recording.uniform(-26, -6)
    gusts = _slow_curve(take, gust_hz)
    tone = np.sin(_phase(whistle_hz * np.exp(0.15 * gusts + 0.02 * _slow_curve(take, 30.0))))
    whistle = unit_rms(tone * np.exp(gusts) * _slow_curve(take, 12.0))
    return unit_rms(noise(take, rumble) * np.exp(depth * gusts)) + amplitude(whistle_db) * whistle


def _dog_bark(recording: Generator, take: Generator) -> Waveform:
    """Groups of barks: a rough voice that rises and falls, through the three formants of one dog's throat."""
    pitch_hz, bark_s = _log_uniform(recording, 220, 900), recording.uniform(0.09, 0.3)
    group_s, num_barks = recording.uniform(0.7, 2.5), int(recording.integers(1, 4))
    roughness, formants_hz = recording.uniform(0.1, 0.8), recording.uniform((450, 1_200, 2_500), (1_000, 2_300, 4_200))
    knots_hz = np.sort(np.concatenate([[80], formants_hz, np.sqrt(formants_hz[1:] * formants_hz[:-1]), [9_000]]))
    throat = colouring(knots_hz.tolist(), [-20, 0, -14, -4, -18, -10, -40])
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


SOUND_MODELS: dict[str, Callable[[Generator, Generator], Waveform]] = {
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
