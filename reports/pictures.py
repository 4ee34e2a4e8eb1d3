"""Sound as a picture: the waveform above the log-mel spectrogram on one time axis.

Enters: arrays. Leaves: one inline SVG with the spectrogram as a PNG inside.
"""

import base64
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from reports.markup import Markup, element, join
from storage.feature_images import VIRIDIS, to_png, viridis

RANGE_DB = 80.0
_LEVELS = 64  # steps of 1.25 dB; more of them only make the file larger

_WIDTH, _LEFT, _RIGHT = 420, 40, 8
_WAVE_TOP, _WAVE_HEIGHT = 6, 46
_MEL_TOP, _MEL_HEIGHT = 68, 132
_HEIGHT = _MEL_TOP + _MEL_HEIGHT + 30
_TICKS_HZ = (50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000)
_LEAST_PIXELS = 15  # between the names of two ticks
_INK, _LINE = "#0b5a8f", "#9aa5b1"


def sound_picture(
    name: str,
    *,
    seconds: float,
    envelope: NDArray[np.float32],
    log_mel: NDArray[np.float32],
    mel_hz: NDArray[np.float64],
) -> Markup:
    """The waveform and the spectrogram of a sound.

    Args:
        name: for those who cannot see it.
        seconds: what the width stands for.
        envelope: (2, columns), lowest and highest sample, drawn between -1 and 1.
        log_mel: (mels, frames) in dB; the loudest cell and RANGE_DB below it are the ends of the colour scale.
        mel_hz: (mels,), rising.
    """
    box = f"0 0 {_WIDTH} {_HEIGHT}"
    image = element(
        "image",
        x=str(_LEFT),
        y=str(_MEL_TOP),
        width=str(_WIDTH - _LEFT - _RIGHT),
        height=str(_MEL_HEIGHT),
        preserveAspectRatio="none",
        href=f"data:image/png;base64,{base64.b64encode(spectrogram_png(log_mel)).decode()}",
    )
    parts = join(_waveform(envelope), image, *_frequency_axis(mel_hz), *_time_axis(seconds))
    return element("svg", parts, viewBox=box, role="img", aria_label=f"waveform and spectrogram of {name}")


def spectrogram_png(log_mel: NDArray[np.float32]) -> bytes:
    """A PNG of one pixel per cell, low bands below, colours from a palette."""
    below = np.clip((log_mel.max() - log_mel) / RANGE_DB, 0, 1)
    levels = np.round((1 - below) * (_LEVELS - 1)).astype(np.uint8)[::-1]
    return to_png(levels, viridis(_LEVELS), optimize=True)


def colour_scale() -> Markup:
    """The colours of a spectrogram, to stand in a sentence."""
    gradient = ", ".join(f"#{colour}" for colour in VIRIDIS)
    return element("span", class_="scale", style=f"background: linear-gradient(to right, {gradient})")


def _waveform(envelope: NDArray[np.float32]) -> Markup:
    x = _LEFT + (np.arange(envelope.shape[1]) + 0.5) * (_WIDTH - _LEFT - _RIGHT) / envelope.shape[1]
    y = _WAVE_TOP + _WAVE_HEIGHT * (1 - np.clip(envelope, -1, 1)) / 2
    y[0] = np.maximum(y[0], y[1] + 0.6)  # silence is a line, not nothing
    points = [*zip(x, y[1], strict=True), *zip(x[::-1], y[0][::-1], strict=True)]
    path = "M" + "L".join(f"{at_x:.1f} {at_y:.1f}" for at_x, at_y in points) + "Z"
    frame = element(
        "rect",
        x=str(_LEFT),
        y=str(_WAVE_TOP),
        width=str(_WIDTH - _LEFT - _RIGHT),
        height=str(_WAVE_HEIGHT),
        fill="none",
        stroke="#dfe3e8",
    )
    return join(frame, element("path", d=path, fill=_INK), _text("±1", _LEFT - 5, _WAVE_TOP + 9, anchor="end"))


def _frequency_axis(mel_hz: NDArray[np.float64]) -> Iterator[Markup]:
    last_y = float("inf")
    for hz in _TICKS_HZ:
        if not mel_hz[0] <= hz <= mel_hz[-1]:
            continue
        band = float(np.interp(hz, mel_hz, np.arange(len(mel_hz))))
        y = _MEL_TOP + _MEL_HEIGHT * (1 - (band + 0.5) / len(mel_hz))
        if last_y - y >= _LEAST_PIXELS:
            last_y = y
            yield _line(_LEFT - 4, y, _LEFT, y)
            yield _text(f"{hz // 1000}k" if hz >= 1000 else str(hz), _LEFT - 6, y + 4, anchor="end")
    yield _text("Hz", 2, _MEL_TOP - 6, anchor="start")


def _time_axis(seconds: float) -> Iterator[Markup]:
    width, bottom = _WIDTH - _LEFT - _RIGHT, _MEL_TOP + _MEL_HEIGHT
    step = next((step for step in (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 60) if seconds / step <= 6), seconds)
    for tick in range(int(seconds / step + 1e-6) + 1):
        x = _LEFT + width * min(1.0, tick * step / seconds)
        yield _line(x, bottom, x, bottom + 4)
        unit = " s" if tick == 0 else ""
        yield _text(f"{tick * step:g}{unit}", x, bottom + 17, anchor="middle")


def _line(x1: float, y1: float, x2: float, y2: float) -> Markup:
    return element("line", x1=f"{x1:.1f}", y1=f"{y1:.1f}", x2=f"{x2:.1f}", y2=f"{y2:.1f}", stroke=_LINE)


def _text(words: str, x: float, y: float, *, anchor: str) -> Markup:
    return element("text", words, x=f"{x:.1f}", y=f"{y:.1f}", text_anchor=anchor)
