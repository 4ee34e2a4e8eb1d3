"""How long a trained model takes for one window, alone, on the device that it was trained on."""

import statistics
from time import perf_counter

import torch

from training.config import TrialConfig
from training.data import TrialData
from training.inference import InferenceModel
from training.model_card import model_card
from training.seed_result import SeedResult
from training.steps import autocast

_WARM_UP, _MOST, _LEAST = 5, 50, 5
_LONGEST_S = 2.0  # large models on slow machines are content with fewer passes


def latency_ms(config: TrialConfig, result: SeedResult, data: TrialData) -> float:
    """The median of up to 50 forward passes of a seed's best weights over one validation window, in milliseconds.

    From the log-mel on the device to probabilities, in the trial's precision and with the threads that this process
    computes with. Other work on the machine adds to it; the median bears what comes and goes.

    Args:
        data: with log-mels; on embeddings a backbone would be left out.
    """
    device = torch.device(config.device)
    model = InferenceModel(result.best_weights, model_card(config, result, data, features={})).to(device)
    window = torch.tensor(data.parts["validation"].log_mel[:1], device=device)
    seconds: list[float] = []
    with torch.inference_mode(), autocast(config.precision_resolved, device):
        for _ in range(_WARM_UP):
            _timed(model, window)
        while len(seconds) < _LEAST or (len(seconds) < _MOST and sum(seconds) < _LONGEST_S):
            seconds.append(_timed(model, window))
    return 1000 * statistics.median(seconds)


def _timed(model: torch.nn.Module, window: torch.Tensor) -> float:
    started = perf_counter()
    model(window)
    if window.device.type == "cuda":
        torch.cuda.synchronize(window.device)
    return perf_counter() - started
