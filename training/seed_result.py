"""What a seed leaves when it is trained to its end."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray

from training.metrics import Evaluation


@dataclass(frozen=True, kw_only=True, slots=True)
class SeedResult:
    """A seed trained to its end, scored with the weights of the epoch that was best on validation.

    Attributes:
        best_weights: of that epoch and the whole model, by name; on the CPU.
        test_embeddings: what the head sees of every test clip, in the order of `test.clip_ids`; float32 (clips, D).
        events: what happened that a reader of the numbers should know, one sentence each.
        latency_ms: of one window (`latency.latency_ms`); None where nobody has asked.
    """

    seed: int
    best_epoch: int
    epochs_trained: int
    validation: Evaluation
    test: Evaluation
    train_seconds: float
    num_parameters: int
    device: str
    best_weights: Mapping[str, torch.Tensor] = field(repr=False)
    test_embeddings: NDArray[np.float32] = field(repr=False)
    events: tuple[str, ...] = ()
    latency_ms: float | None = None
