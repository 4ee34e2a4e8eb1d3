"""Optuna's samplers, made anew for every suggestion, so that none has a past: all they know is in their study."""

import warnings
from collections.abc import Callable, Mapping

import optuna
from optuna.samplers import BaseSampler, GPSampler, RandomSampler, TPESampler

from sweeps.sampler_settings import SamplerSettings

# A Gaussian process that is sure of its best trial proposes it again, whatever the seed.
_TRIES_OF_GP = 3


def make_sampler(settings: SamplerSettings, *, num_trials: int, seed: int, attempt: int) -> BaseSampler:
    """The sampler of a suggestion; for what is not given to the trial beforehand.

    Args:
        num_trials: configurations that the sweep plans per architecture.
        seed: of this attempt alone.
        attempt: how many were suggested in vain, as they had been tried.
    """
    # Optuna's ten random start-up trials would be all there is of a small sweep.
    num_random = settings.n_startup_trials or min(10, max(2, num_trials // 3))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        kind = "random" if settings.kind == "gp" and attempt >= _TRIES_OF_GP else settings.kind
        return _KINDS[kind](seed, num_random)


def _tpe(seed: int, num_random: int) -> BaseSampler:
    return TPESampler(seed=seed, n_startup_trials=num_random, multivariate=True, constant_liar=True)


def _tpe_by_name(seed: int, num_random: int) -> BaseSampler:
    """What CMA-ES leaves over, one name after the other."""
    return TPESampler(seed=seed, n_startup_trials=num_random, multivariate=False, constant_liar=True)


def _gp(seed: int, num_random: int) -> BaseSampler:
    return GPSampler(seed=seed, n_startup_trials=num_random, warn_independent_sampling=False)


def _random(seed: int, num_random: int) -> BaseSampler:
    return RandomSampler(seed=seed)


_KINDS: Mapping[str, Callable[[int, int], BaseSampler]] = {
    "tpe": _tpe,
    "gp": _gp,
    "cmaes": _tpe_by_name,
    "random": _random,
    "grid": _random,  # never asked: a grid gives all values
}
