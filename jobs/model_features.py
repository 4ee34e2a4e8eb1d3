"""From a model's card to the features that it has to be given.

Enters: a card. Leaves: a `FeatureSpec`. Where windows begin does not change the numbers of a window, so recordings may
be cut otherwise than the training's clips were; nothing else of the spec can be changed, as nothing here changes it.
"""

import dataclasses
from typing import Literal

from pipelines.feature_spec import FeatureSpec
from pipelines.variants import ORIGINAL
from storage.errors import StorageError
from storage.model_file import ModelCard

Windows = Literal["model", "first", "all", "spaced"]


def own_spec(card: ModelCard) -> FeatureSpec:
    """The spec of the features that the model was trained on.

    Raises:
        InvalidInput: this version of melsweep computes other numbers for it.
        StorageError: the card holds no spec.
    """
    try:
        spec = FeatureSpec(**card.features)
    except (TypeError, ValueError) as e:
        raise StorageError(
            f"the model's feature spec cannot be used ({e}). Use the model with the version of melsweep that wrote it."
        ) from e
    card.check_fingerprint(spec.fingerprint)
    return spec


def prediction_spec(card: ModelCard, *, windows: Windows, window_hop_s: float | None) -> FeatureSpec:
    """The spec for recordings that the model predicts: its own, without changed copies, cut as asked for.

    Args:
        windows: `model` for the model's own policy, with its limit of windows a recording; the others have none.
        window_hop_s: None for the model's own hop, or, where its policy is another one, a window's length.

    Raises:
        InvalidInput, StorageError: as `own_spec`; or the hop cannot be.
    """
    spec = dataclasses.replace(own_spec(card), variants=(ORIGINAL,))
    hop_s = spec.window_hop_s if windows in ("model", spec.windows) else spec.window_s
    if windows != "model":
        spec = dataclasses.replace(spec, windows=windows, max_windows=None)
    return dataclasses.replace(spec, window_hop_s=hop_s if window_hop_s is None else window_hop_s)
