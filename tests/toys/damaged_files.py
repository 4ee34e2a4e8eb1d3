"""Thirty ways in which a file of a real corpus is damaged or odd; each makes one file from a seed.

A maker gets a path without a suffix, a random generator and the bytes of healthy files by container, and leaves one
file, or none, at the path that it returns.
"""

import io
import os
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile
from numpy.random import Generator
from numpy.typing import NDArray

RATE_HZ = 8_000
Healthy = dict[str, bytes]
Maker = Callable[[Path, Generator, Healthy], Path]


def noise(rng: Generator, num_samples: int, num_channels: int = 1) -> NDArray[np.float32]:
    samples = rng.uniform(-0.5, 0.5, (num_samples, num_channels)).astype(np.float32)
    return samples[:, 0] if num_channels == 1 else samples


def encode(
    samples: NDArray[np.float32], container: str, *, rate_hz: int = RATE_HZ, subtype: str | None = None
) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate_hz, format=container, subtype=subtype)
    return buffer.getvalue()


def wav_header(
    *, format_tag: int = 1, channels: int = 1, rate_hz: int = RATE_HZ, bits: int = 16, size_bytes: int = 8_000
) -> bytes:
    """A RIFF header as one would pack it by hand, with whatever it is told to claim."""
    frame_bytes = (channels * bits // 8) % 65_536
    form = struct.pack("<HHIIHH", format_tag, channels, rate_hz, (rate_hz * frame_bytes) % 2**32, frame_bytes, bits)
    sizes = struct.pack("<4sI", b"data", size_bytes)
    return b"RIFF" + struct.pack("<I", (36 + size_bytes) % 2**32) + b"WAVEfmt " + struct.pack("<I", 16) + form + sizes


def _file(suffix: str, content: Callable[[Generator, Healthy], bytes]) -> Maker:
    def make(path: Path, rng: Generator, healthy: Healthy) -> Path:
        path = path.with_name(path.name + suffix)
        path.write_bytes(content(rng, healthy))
        return path

    return make


def _claims(**header: int) -> Maker:
    """A WAV whose header lies; the samples are there."""
    return _file(".wav", lambda rng, healthy: wav_header(**header) + rng.bytes(8_000))


def _cut(container: str, *, most: float = 0.9) -> Maker:
    return _file(
        f".{container.lower()}",
        lambda rng, healthy: healthy[container][: int(len(healthy[container]) * rng.uniform(0.3, most))],
    )


def _flipped(container: str) -> Maker:
    def content(rng: Generator, healthy: Healthy) -> bytes:
        damaged = bytearray(healthy[container])
        for position in rng.integers(len(damaged) // 4, len(damaged), 20):
            damaged[position] ^= int(rng.integers(1, 256))
        return bytes(damaged)

    return _file(f".{container.lower()}", content)


def _samples(
    make: Callable[[Generator], NDArray[np.float32]], *, rate_hz: int = RATE_HZ, subtype: str | None = None
) -> Maker:
    return _file(".wav", lambda rng, healthy: encode(make(rng), "WAV", rate_hz=rate_hz, subtype=subtype))


def _with_value(value: float) -> Callable[[Generator], NDArray[np.float32]]:
    def make(rng: Generator) -> NDArray[np.float32]:
        samples = noise(rng, 4_000)
        samples[rng.integers(len(samples))] = value
        return samples

    return make


def _random_header(rng: Generator, healthy: Healthy) -> bytes:
    damaged = bytearray(healthy["WAV"])
    for position in rng.integers(0, 44, 3):
        damaged[position] = int(rng.integers(256))
    return bytes(damaged)


def _folder(path: Path, rng: Generator, healthy: Healthy) -> Path:
    path = path.with_name(path.name + ".wav")
    path.mkdir()
    return path


def _missing(path: Path, rng: Generator, healthy: Healthy) -> Path:
    return path.with_name(path.name + ".wav")


def _pipe(path: Path, rng: Generator, healthy: Healthy) -> Path:
    path = path.with_name(path.name + ".wav")
    os.mkfifo(path)
    return path


def _dead_link(path: Path, rng: Generator, healthy: Healthy) -> Path:
    path = path.with_name(path.name + ".wav")
    path.symlink_to("/nowhere/at/all.wav")
    return path


MAKERS: dict[str, Maker] = {
    "zero bytes": _file(".wav", lambda rng, healthy: b""),
    "text": _file(".wav", lambda rng, healthy: b"<html>404 Not Found</html>\n" * 20),
    "random bytes": _file(".wav", lambda rng, healthy: rng.bytes(5_000)),
    "a folder": _folder,
    "missing": _missing,
    "a named pipe": _pipe,
    "a dead link": _dead_link,
    "WAV cut": _cut("WAV"),
    "WAV cut in its header": _file(".wav", lambda rng, healthy: healthy["WAV"][: int(rng.integers(1, 44))]),
    "FLAC cut": _cut("FLAC"),
    "Ogg cut": _cut("OGG"),
    "MP3 cut": _cut("MP3"),
    "FLAC with flipped bytes": _flipped("FLAC"),
    "Ogg with flipped bytes": _flipped("OGG"),
    "MP3 with flipped bytes": _flipped("MP3"),
    "WAV header of random bytes": _file(".wav", _random_header),
    "0 Hz": _claims(rate_hz=0),
    "4 GHz": _claims(rate_hz=2**32 - 1),
    "no channel": _claims(channels=0),
    "65,535 channels": _claims(channels=65_535),
    "10 minutes": _samples(lambda rng: noise(rng, 600 * RATE_HZ), subtype="PCM_U8"),
    "an unknown codec": _claims(format_tag=0x7F7F),
    "2 GB announced": _claims(size_bytes=2**31 - 1),
    "no samples": _samples(lambda rng: noise(rng, 0)),
    "one sample": _samples(lambda rng: noise(rng, 1)),
    "NaN": _samples(_with_value(np.nan), subtype="FLOAT"),
    "infinity": _samples(_with_value(np.inf), subtype="FLOAT"),
    "FLAC named .wav": _file(".wav", lambda rng, healthy: healthy["FLAC"]),
    "96 kHz": _samples(lambda rng: noise(rng, 48_000), rate_hz=96_000),
    "9 channels": _samples(lambda rng: noise(rng, 4_000, 9)),
}
# Odd, and yet sound: these become rows.
SOUND = {"10 minutes", "FLAC named .wav", "96 kHz", "9 channels"}
# What the damage leaves may be whole or not; either end is right.
EITHER = {"WAV header of random bytes", "FLAC with flipped bytes", "Ogg with flipped bytes", "MP3 with flipped bytes"}
