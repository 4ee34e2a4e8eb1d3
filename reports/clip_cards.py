"""One clip on a page: its name, facts, picture and player. Enters: a `ClipView`. Leaves: an `<article>`."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reports.markup import Markup, element
from reports.pictures import RANGE_DB, colour_scale, sound_picture


@dataclass(frozen=True, kw_only=True, slots=True)
class SoundView:
    """What is seen and heard of a clip; shapes as `sound_picture` and `audio/mpeg` want them."""

    seconds: float
    envelope: NDArray[np.float32]
    log_mel: NDArray[np.float32]
    mel_hz: NDArray[np.float64]
    mp3: bytes


@dataclass(frozen=True, kw_only=True, slots=True)
class ClipView:
    """One clip to show.

    Attributes:
        facts: (name, value), in the order in which they are shown.
        sound: None where the clip cannot be read; `note` then says why.
    """

    clip_id: str
    facts: Sequence[tuple[str, str]]
    sound: SoundView | None = None
    note: str = ""


def clip_card(view: ClipView) -> Markup:
    """One clip: its facts, and its picture and player or the reason why there are none."""
    facts = [element("div", element("dt", name), element("dd", value)) for name, value in view.facts]
    return element(
        "article",
        element("h4", view.clip_id),
        element("dl", *facts, class_="facts"),
        element("p", view.note, class_="caption") if view.note else None,
        *(_sound(view.clip_id, view.sound) if view.sound else ()),
        class_="clip",
    )


def clip_grid(views: Sequence[ClipView]) -> Markup:
    """Cards side by side, as many as the screen is wide."""
    return element("div", *(clip_card(view) for view in views), class_="clips")


def how_to_read() -> Markup:
    """The caption that all pictures share."""
    return element(
        "p",
        "Above, the waveform between -1 and 1; below, the log-mel spectrogram up to half the file's rate. Colours: ",
        f"{RANGE_DB:g} dB below the clip's loudest cell",
        colour_scale(),
        "loudest. Players hold mono MP3 at 22.05 kHz, for listening only.",
        class_="caption",
    )


def _sound(name: str, sound: SoundView) -> tuple[Markup, Markup]:
    picture = sound_picture(
        name, seconds=sound.seconds, envelope=sound.envelope, log_mel=sound.log_mel, mel_hz=sound.mel_hz
    )
    address = f"data:audio/mpeg;base64,{base64.b64encode(sound.mp3).decode()}"
    # Metadata only, or a page of a hundred players decodes them all when it opens.
    player = element("audio", src=address, controls="", preload="metadata", aria_label=f"player of {name}")
    return picture, player
