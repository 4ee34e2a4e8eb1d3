"""A log-mel as a PNG, low bands at the bottom. The only file that imports Pillow."""

import io
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from storage.affine_scale import AffineScale

Colours = Literal["grey", "viridis"]

# Ten even steps of matplotlib's viridis (CC0); the 246 between are interpolated, at most two of 255 off.
_VIRIDIS = "440154 482878 3e4a89 31688e 26828e 1f9e89 35b779 6dcd59 b4de2c fde725"


def encode_png(log_mel: NDArray[np.floating[Any]], *, range_db: tuple[float, float], colours: Colours) -> bytes:
    """One pixel per band and frame, 8 bits.

    Args:
        log_mel: (…, bands, frames), dB; what lies in further axes stands one below the other.
        range_db: what is black (or dark blue) and what is white (or yellow); values beyond have these colours.
    """
    steps = AffineScale(low_db=range_db[0], high_db=range_db[1]).encode(log_mel)
    picture = np.ascontiguousarray(steps[..., ::-1, :].reshape(-1, log_mel.shape[-1]))
    image = Image.fromarray(picture)
    if colours == "viridis":
        image = image.convert("P")
        image.putpalette(_palette())
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def _palette() -> bytes:
    anchors = np.array([list(bytes.fromhex(colour)) for colour in _VIRIDIS.split()])
    places = np.linspace(0, 255, len(anchors))
    channels = [np.interp(np.arange(256), places, anchors[:, channel]) for channel in range(3)]
    return np.rint(np.stack(channels, axis=1)).astype(np.uint8).tobytes()
