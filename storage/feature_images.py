"""A log-mel as a PNG, low bands at the bottom, in grey or in viridis. The only file that imports Pillow."""

import io
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from storage.affine_scale import AffineScale

Colours = Literal["grey", "viridis"]

# Viridis (S. van der Walt & N. Smith, 2015, CC0) at ten places; lightness rises evenly, also without colour vision.
# What lies between is interpolated, at most two of 255 off.
VIRIDIS = ("440154", "482878", "3e4989", "31688e", "26828e", "1f9e89", "35b779", "6ece58", "b5de2b", "fde725")


def encode_png(log_mel: NDArray[np.floating[Any]], *, range_db: tuple[float, float], colours: Colours) -> bytes:
    """One pixel per band and frame, 8 bits.

    Args:
        log_mel: (…, bands, frames), dB; what lies in further axes stands one below the other.
        range_db: what is black (or dark blue) and what is white (or yellow); values beyond have these colours.
    """
    steps = AffineScale(low_db=range_db[0], high_db=range_db[1]).encode(log_mel)
    picture = steps[..., ::-1, :].reshape(-1, log_mel.shape[-1])
    return to_png(picture, viridis(256) if colours == "viridis" else None)


def to_png(picture: NDArray[np.uint8], palette: NDArray[np.uint8] | None = None, *, optimize: bool = False) -> bytes:
    """A PNG of one pixel per value.

    Args:
        picture: uint8 (rows, columns), from the top: greys, or indices of `palette`.
        palette: uint8 (colours, 3).
        optimize: smaller, and slower to write.
    """
    image = Image.fromarray(np.ascontiguousarray(picture))
    if palette is not None:
        image.putpalette(palette.tobytes())
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=optimize)
    return buffer.getvalue()


def viridis(num_colours: int) -> NDArray[np.uint8]:
    """Viridis from dark to light: uint8 (num_colours, 3)."""
    known = np.array([list(bytes.fromhex(colour)) for colour in VIRIDIS])
    places = np.linspace(0, len(known) - 1, num_colours)
    channels = [np.interp(places, np.arange(len(known)), known[:, channel]) for channel in range(3)]
    return np.rint(np.stack(channels, axis=1)).astype(np.uint8)
