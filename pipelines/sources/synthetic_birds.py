"""A corpus of birds that needs no download: songs of eight species over noise, laid out on disk like BirdCLEF.

A seed enters; Ogg Vorbis recordings of 10 to 20 s at 32 kHz and `train.csv` leave, so that the source `birdclef` reads
them. Several species can be heard in one recording: the primary one, and quieter ones behind it in a part of the time,
which the table names as secondary labels. Every recording has birds, a place and a background of its own, so a
recording is a group. Birds of one species differ in pitch, tempo and repertoire; species overlap in all of them.
"""

import csv
import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import scipy.fft
import soundfile
from numpy.random import Generator

from pipelines.sources.bird_songs import SAMPLE_RATE_HZ, SPECIES, Singer, Waveform
from pipelines.sources.made_trees import claim
from pipelines.sources.ogg_pages import with_serial
from pipelines.sources.synthetic_sounds import amplitude, unit_rms
from storage.errors import InvalidInput
from storage.local import LocalObjectStore

# Stored with the set. Raise it with every change that alters a sample, or old files pass for new ones.
_GENERATOR_VERSION = 1
_MAX_RECORDINGS_PER_SPECIES = 10_000  # a file's name keeps four digits for it
_COLUMNS = ("primary_label", "secondary_labels", "type", "filename", "collection", "author")
_CODES = tuple(SPECIES)

# Ranges tuned so that a small CNN is neither at chance nor perfect.
_DURATION_S = (10.0, 20.0)
_NUM_SECONDARY = (0.5, 0.35, 0.15)  # probabilities of none, one and two of them
_SECONDARY_DB = (-10.0, 0.0)
_SNR_DB = (0.0, 20.0)  # of the primary bird while it sings
_PAUSE_S = (0.8, 3.5)
_PEAK = 0.88


@dataclass(frozen=True, kw_only=True, slots=True)
class _Recording:
    """What is heard in one recording; `(species, number)` is its place in the set."""

    species: int
    number: int
    duration_s: float
    secondary: tuple[int, ...]

    @property
    def filename(self) -> str:
        return f"{_CODES[self.species]}/SB{self.species:02d}{self.number:04d}.ogg"


def write_synthetic_birds(
    root: Path,
    *,
    seed: int = 7,
    num_recordings_per_species: int = 40,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Writes the corpus below `root`, or returns at once if it is there.

    Audio comes first, the table last by atomic rename: its existence means complete. A killed run is continued by the
    next call. A recording depends on the seed and its own place alone, so a smaller set is a subset of a larger one.
    The same seed gives the same bytes on one machine with one scipy and one libsndfile.

    Args:
        root: created if missing. Must be empty or hold this same set.
        seed: of everything random, 0 or more.
        num_recordings_per_species: 1 to 10,000, of each of the 8 species.
        progress: called after each recording with (recordings done, recordings in all).

    Returns:
        `root`, holding `train_audio/<species>/<id>.ogg` (32 kHz, mono), `train.csv` and `synthetic.json` with the
        parameters.

    Raises:
        InvalidInput: an argument is out of range, or `root` holds another data set.
    """
    _validate(seed, num_recordings_per_species)
    root = Path(root)
    parameters = {
        "generator_version": _GENERATOR_VERSION,
        "seed": int(seed),
        "num_recordings_per_species": int(num_recordings_per_species),
    }
    claim(root, parameters, stored_as="synthetic.json", table="train.csv", audio="train_audio")
    if (root / "train.csv").exists():
        return root
    files = LocalObjectStore(root)
    recordings = list(_plan(seed, num_recordings_per_species))
    for num_done, recording in enumerate(recordings, start=1):
        if not (root / "train_audio" / recording.filename).exists():
            serial = recording.species * _MAX_RECORDINGS_PER_SPECIES + recording.number
            files.put(f"train_audio/{recording.filename}", _encode(_synthesise(seed, recording), serial))
        if progress is not None:
            progress(num_done, len(recordings))
    files.put("train.csv", _table(recordings))
    return root


def _validate(seed: int, num_recordings_per_species: int) -> None:
    if seed < 0:
        raise InvalidInput("seed", given=seed, allowed="0 or more", remedy="Give a non-negative integer.")
    if not 1 <= num_recordings_per_species <= _MAX_RECORDINGS_PER_SPECIES:
        raise InvalidInput(
            "num_recordings_per_species",
            given=num_recordings_per_species,
            allowed=f"1 to {_MAX_RECORDINGS_PER_SPECIES}",
            remedy="Give 40 for the full set.",
        )


def _plan(seed: int, num_recordings_per_species: int) -> Iterator[_Recording]:
    """What every recording holds; drawn apart from its sound, which a set that goes on does not make again."""
    for species in range(len(SPECIES)):
        others = [other for other in range(len(SPECIES)) if other != species]
        for number in range(num_recordings_per_species):
            generator = _generator(seed, species, number, 0)
            num_secondary = generator.choice(len(_NUM_SECONDARY), p=_NUM_SECONDARY)
            yield _Recording(
                species=species,
                number=number,
                duration_s=round(generator.uniform(*_DURATION_S), 1),  # whole tenths: FFTs of prime lengths are slow
                secondary=tuple(sorted(generator.choice(others, num_secondary, replace=False).tolist())),
            )


def _table(recordings: list[_Recording]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for recording in recordings:
        secondary = str([_CODES[species] for species in recording.secondary])
        writer.writerow((_CODES[recording.species], secondary, "['song']", recording.filename, "synthetic", "melsweep"))
    return text.getvalue().encode()


def _encode(waveform: Waveform, serial: int) -> bytes:
    buffer = io.BytesIO()
    with soundfile.SoundFile(buffer, "w", SAMPLE_RATE_HZ, 1, format="OGG", subtype="VORBIS") as file:
        for start in range(0, len(waveform), SAMPLE_RATE_HZ):  # libsndfile overflows its stack on long pieces
            file.write(waveform[start : start + SAMPLE_RATE_HZ])
    return with_serial(buffer.getvalue(), serial)


# ---- From songs to a recording


def _synthesise(seed: int, recording: _Recording) -> Waveform:
    """The recording: (samples,), peak 0.88."""
    generator = _generator(seed, recording.species, recording.number, 1)
    num_samples = round(recording.duration_s * SAMPLE_RATE_HZ)
    songs = _bout(_singer(recording.species, generator), generator, num_samples)
    for species in recording.secondary:
        behind = np.zeros(num_samples)
        start, length = (
            round(generator.uniform(0.0, 0.5) * num_samples),
            round(generator.uniform(0.4, 0.5) * num_samples),
        )
        behind[start : start + length] = _bout(_singer(species, generator), generator, length)
        songs += amplitude(generator.uniform(*_SECONDARY_DB)) * behind
    background = unit_rms(_background(generator, num_samples))
    mixture = _at_a_distance(songs, generator) + amplitude(-generator.uniform(*_SNR_DB)) * background
    return mixture * (_PEAK / np.abs(mixture).max())


def _singer(species: int, generator: Generator) -> Singer:
    return SPECIES[_CODES[species]](generator)


def _bout(sing: Singer, generator: Generator, num_samples: int) -> Waveform:
    """Songs of one bird with pauses between them, root mean square 1 where it sings; what runs over the end is cut."""
    bout = np.zeros(num_samples)
    start = round(generator.uniform(0.0, 1.5) * SAMPLE_RATE_HZ)
    energy, num_sounding = 0.0, 0
    while start < num_samples:
        song = sing(generator)[: num_samples - start]
        bout[start : start + len(song)] = song
        energy, num_sounding = energy + float(np.square(song).sum()), num_sounding + len(song)
        start += len(song) + round(generator.uniform(*_PAUSE_S) * SAMPLE_RATE_HZ)
    return bout * np.sqrt(max(num_sounding, 1) / max(energy, 1e-9))


def _at_a_distance(songs: Waveform, generator: Generator) -> Waveform:
    """With the echoes of a wood, and less of the high pitches; the convolution is circular."""
    num_tail = round(generator.uniform(0.1, 0.5) * SAMPLE_RATE_HZ)
    tail = generator.standard_normal(num_tail) * np.geomspace(1.0, 1e-3, num_tail)
    response = np.zeros(len(songs))
    response[1 : num_tail + 1] = tail * (generator.uniform(0.05, 0.6) / np.linalg.norm(tail))
    response[0] = 1.0
    air = _gain(len(songs), [500, 2_000, 8_000], [0, 0, generator.uniform(-12, 0)])
    return scipy.fft.irfft(scipy.fft.rfft(songs) * scipy.fft.rfft(response) * air, len(songs))


# ---- Backgrounds, of any level


def _background(generator: Generator, num_samples: int) -> Waveform:
    """One or two of wind, insects and rain over a faint hiss."""
    chosen = generator.choice(len(_BACKGROUNDS), generator.integers(1, 3), replace=False)
    heard = 0.1 * generator.standard_normal(num_samples)
    for kind in sorted(chosen.tolist()):
        heard += generator.uniform(0.3, 1.0) * unit_rms(_BACKGROUNDS[kind](generator, num_samples))
    return heard


def _wind(generator: Generator, num_samples: int) -> Waveform:
    slope_db = np.cumsum([0.0, generator.uniform(-16, -6), generator.uniform(-24, -10), -20.0])
    gusts = np.exp(generator.uniform(0.3, 0.9) * _slow_curve(generator, num_samples, 1.2))
    return _noise(generator, num_samples, [80, 400, 2_000, 10_000], slope_db) * gusts


def _insects(generator: Generator, num_samples: int) -> Waveform:
    time_s = np.arange(num_samples) / SAMPLE_RATE_HZ
    chorus = np.zeros(num_samples)
    for _ in range(generator.integers(1, 4)):
        carrier_hz, syllable_hz = generator.uniform(3_500, 9_000), generator.uniform(15, 60)
        chirps_per_s, duty = generator.uniform(0.5, 3.0), generator.uniform(0.3, 1.1)
        gate = np.clip((duty - (time_s * chirps_per_s + generator.uniform()) % 1.0) * 30.0, 0.0, 1.0)
        syllables = np.maximum(np.sin(2.0 * np.pi * syllable_hz * time_s), 0.0)
        chorus += generator.uniform(0.3, 1.0) * gate * syllables * np.sin(2.0 * np.pi * carrier_hz * time_s)
    return chorus


def _rain(generator: Generator, num_samples: int) -> Waveform:
    tilt_db = np.cumsum([0.0, generator.uniform(-4, 8), generator.uniform(-6, 4), generator.uniform(-12, 0)])
    hiss = unit_rms(_noise(generator, num_samples, [100, 1_000, 4_000, 12_000], tilt_db))
    num_drops = generator.poisson(generator.uniform(5, 60) * num_samples / SAMPLE_RATE_HZ) + 1
    drops = np.zeros(num_samples)
    drops[generator.integers(0, num_samples, num_drops)] = generator.lognormal(0.0, 0.8, num_drops)
    patter = scipy.fft.irfft(
        scipy.fft.rfft(drops) * _gain(num_samples, [200, 1_500, 6_000, 14_000], [-30, 0, -4, -20]), num_samples
    )
    return hiss + amplitude(generator.uniform(-8, 6)) * unit_rms(patter)


_BACKGROUNDS = (_wind, _insects, _rain)


def _noise(generator: Generator, num_samples: int, knots_hz: list[float], gains_db: Waveform) -> Waveform:
    white = scipy.fft.rfft(generator.standard_normal(num_samples))
    return scipy.fft.irfft(white * _gain(num_samples, knots_hz, gains_db), num_samples)


def _gain(num_samples: int, knots_hz: list[float], gains_db: Waveform | list[float]) -> Waveform:
    """Linear gain of every bin of a real FFT, interpolated in octaves between the knots."""
    frequency_hz = np.maximum(scipy.fft.rfftfreq(num_samples, 1.0 / SAMPLE_RATE_HZ), 1.0)
    return 10.0 ** (np.interp(np.log2(frequency_hz), np.log2(knots_hz), gains_db) / 20.0)


def _slow_curve(generator: Generator, num_samples: int, knots_per_s: float) -> Waveform:
    knots_s = np.arange(int(num_samples / SAMPLE_RATE_HZ * knots_per_s) + 3) / knots_per_s
    return np.interp(np.arange(num_samples) / SAMPLE_RATE_HZ, knots_s, generator.standard_normal(len(knots_s)))


def _generator(seed: int, *key: int) -> Generator:
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=key))
