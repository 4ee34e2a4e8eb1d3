"""The songs of the synthetic birds: one small model per species, and the notes that they are made of.

A generator enters that draws what one bird keeps all its life (pitch, tempo, repertoire); a singer leaves, which is
given a generator for what differs between its songs. `pipelines.sources.synthetic_birds` makes recordings.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

SAMPLE_RATE_HZ = 32_000

Waveform = NDArray[np.floating[Any]]
Singer = Callable[[Generator], Waveform]  # draws one song: (samples,), loudest sample near 1

_EDGE_S = 0.012  # rise and fall of a note
_HIGHEST_HZ = 14_000.0  # harmonics above it are left out


# ---- Notes


def whistle(
    start_hz: float, end_hz: float, duration_s: float, *, bend: float = 1.0, overtones: float = 0.0
) -> Waveform:
    """A tone that glides from one pitch to another, evenly in octaves.

    Args:
        bend: 1 glides evenly, above 1 late, below 1 early.
        overtones: level of each harmonic in relation to the one below it.
    """
    way = np.linspace(0.0, 1.0, round(duration_s * SAMPLE_RATE_HZ)) ** bend
    return _voiced(start_hz * (end_hz / start_hz) ** way, overtones)


def _voiced(frequency_hz: Waveform, overtones: float) -> Waveform:
    """A tone along a contour (Hz at every sample), faded in and out."""
    phase = 2.0 * np.pi * np.cumsum(frequency_hz) / SAMPLE_RATE_HZ
    tone = np.sin(phase)
    for harmonic in range(2, 5):
        level = overtones ** (harmonic - 1)
        if level > 0.01 and harmonic * frequency_hz.max() < _HIGHEST_HZ:
            tone = tone + level * np.sin(harmonic * phase)
    return tone * _edges(len(tone))


def _edges(num_samples: int) -> Waveform:
    place = np.minimum(np.arange(num_samples), np.arange(num_samples)[::-1])
    width = max(1.0, min(_EDGE_S * SAMPLE_RATE_HZ, num_samples / 3))
    return np.sin(0.5 * np.pi * np.clip(place / width, 0.0, 1.0)) ** 2


def _phrase(notes: Iterable[Waveform], gaps_s: Iterable[float]) -> Waveform:
    """Notes with a pause behind each of them."""
    pieces = [
        np.concatenate([note, np.zeros(round(gap_s * SAMPLE_RATE_HZ))])
        for note, gap_s in zip(notes, gaps_s, strict=True)
    ]
    return np.concatenate(pieces)


def _around(generator: Generator, value: float, deviation: float) -> float:
    """A value near `value`; `deviation` is that of its logarithm."""
    return float(value * np.exp(deviation * generator.standard_normal()))


# ---- Species: (bird) -> its singer. Pairs share a kind of song and a range of pitch, or a species would be told by its
# ---- loudest band alone.


def _marsh_whistler(bird: Generator) -> Singer:
    """Two or three long whistles, each a little lower than the one before."""
    pitch_hz, note_s = _around(bird, 3_300, 0.14), _around(bird, 0.38, 0.18)
    step, num_notes = bird.uniform(0.84, 0.94), int(bird.integers(2, 4))

    def sing(song: Generator) -> Waveform:
        top_hz = _around(song, pitch_hz, 0.02)
        notes = [
            whistle(top_hz * step**n, top_hz * step ** (n + 0.3), _around(song, note_s, 0.06)) for n in range(num_notes)
        ]
        return _phrase(notes, song.uniform(0.08, 0.16, num_notes))

    return sing


def _hill_whistler(bird: Generator) -> Singer:
    """Three to five whistles, each a little higher than the one before."""
    pitch_hz, note_s = _around(bird, 2_700, 0.14), _around(bird, 0.26, 0.18)
    step, num_notes = bird.uniform(1.06, 1.18), int(bird.integers(3, 6))

    def sing(song: Generator) -> Waveform:
        low_hz = _around(song, pitch_hz, 0.02)
        notes = [
            whistle(low_hz * step**n, low_hz * step ** (n + 0.3), _around(song, note_s, 0.06)) for n in range(num_notes)
        ]
        return _phrase(notes, song.uniform(0.05, 0.12, num_notes))

    return sing


def _reed_triller(bird: Generator) -> Singer:
    """A quick, even trill of short notes that rise."""
    return _triller(bird, pitch_hz=4_600, notes_per_s=23, glide=1.22, duration_s=1.4)


def _stone_triller(bird: Generator) -> Singer:
    """A slow trill of notes that fall."""
    return _triller(bird, pitch_hz=5_000, notes_per_s=11, glide=0.72, duration_s=1.5)


def _triller(bird: Generator, *, pitch_hz: float, notes_per_s: float, glide: float, duration_s: float) -> Singer:
    pitch_hz, notes_per_s = _around(bird, pitch_hz, 0.12), _around(bird, notes_per_s, 0.16)
    glide, overtones = _around(bird, glide, 0.05), bird.uniform(0.0, 0.3)

    def sing(song: Generator) -> Waveform:
        start_hz, period_s = _around(song, pitch_hz, 0.02), 1.0 / _around(song, notes_per_s, 0.04)
        num_notes = max(4, round(_around(song, duration_s, 0.25) / period_s))
        note = whistle(start_hz, start_hz * glide, 0.65 * period_s, overtones=overtones)
        swell = np.linspace(0.4, 1.0, num_notes)
        return _phrase([level * note for level in swell], [0.35 * period_s] * num_notes)

    return sing


def _meadow_sweeper(bird: Generator) -> Singer:
    """One to three sweeps over more than an octave, upwards."""
    low_hz, span, sweep_s = _around(bird, 2_000, 0.14), bird.uniform(1.9, 2.8), _around(bird, 0.45, 0.2)
    bend, most = bird.uniform(0.7, 1.5), int(bird.integers(1, 4))

    def sing(song: Generator) -> Waveform:
        num_notes = int(song.integers(1, most + 1))
        notes = [
            whistle(start_hz := _around(song, low_hz, 0.03), start_hz * span, _around(song, sweep_s, 0.08), bend=bend)
            for _ in range(num_notes)
        ]
        return _phrase(notes, song.uniform(0.1, 0.3, num_notes))

    return sing


def _thorn_buzzer(bird: Generator) -> Singer:
    """A rough buzz, made of a tone that is chopped a hundred times a second, after a short note."""
    pitch_hz, chop_hz = _around(bird, 5_200, 0.12), _around(bird, 105, 0.2)
    buzz_s, drift = _around(bird, 0.8, 0.2), bird.uniform(0.9, 1.1)

    def sing(song: Generator) -> Waveform:
        start_hz = _around(song, pitch_hz, 0.02)
        num_samples = round(_around(song, buzz_s, 0.1) * SAMPLE_RATE_HZ)
        time_s = np.arange(num_samples) / SAMPLE_RATE_HZ
        chopped = np.maximum(np.sin(2.0 * np.pi * chop_hz * time_s), 0.0)
        wobble = 1.0 + 0.06 * np.sin(2.0 * np.pi * 0.5 * chop_hz * time_s)
        buzz = chopped * _voiced(start_hz * np.linspace(1.0, drift, num_samples) * wobble, 0.0)
        return _phrase([0.6 * whistle(start_hz, 0.85 * start_hz, 0.08), buzz], [0.05, 0.02])

    return sing


def _dusk_cooer(bird: Generator) -> Singer:
    """Low, soft notes with a few harmonics in a rhythm of its own."""
    pitch_hz, note_s = _around(bird, 620, 0.16), _around(bird, 0.24, 0.2)
    gaps_s, overtones = bird.uniform(0.06, 0.3, int(bird.integers(3, 6))), bird.uniform(0.15, 0.45)

    def sing(song: Generator) -> Waveform:
        notes = []
        for _ in gaps_s:
            middle_hz = _around(song, pitch_hz, 0.03)
            notes.append(whistle(0.92 * middle_hz, 1.05 * middle_hz, _around(song, note_s, 0.1), overtones=overtones))
        return _phrase(notes, gaps_s)

    return sing


def _glass_warbler(bird: Generator) -> Singer:
    """A quick string of unlike notes, drawn for every song from the bird's own repertoire."""
    starts_hz, glides = _octaves(bird, 2_200, 6_500, 10), _octaves(bird, 0.6, 1.7, 10)
    lengths_s, gap_s = bird.uniform(0.05, 0.16, 10), bird.uniform(0.02, 0.07)

    def sing(song: Generator) -> Waveform:
        chosen = song.integers(0, 10, int(song.integers(8, 16)))
        notes = [whistle(starts_hz[n], starts_hz[n] * glides[n], lengths_s[n]) for n in chosen]
        return _phrase(notes, [gap_s] * len(notes))

    return sing


def _octaves(generator: Generator, low: float, high: float, size: int) -> Sequence[float]:
    return np.exp(generator.uniform(np.log(low), np.log(high), size)).tolist()  # type: ignore[no-any-return]


# Code, as a table of BirdCLEF has them in primary_label, → how the species sings.
SPECIES: dict[str, Callable[[Generator], Singer]] = {
    "duscoo1": _dusk_cooer,
    "glawar1": _glass_warbler,
    "hilwhi1": _hill_whistler,
    "marwhi1": _marsh_whistler,
    "measwe1": _meadow_sweeper,
    "reetri1": _reed_triller,
    "stotri1": _stone_triller,
    "thobuz1": _thorn_buzzer,
}
