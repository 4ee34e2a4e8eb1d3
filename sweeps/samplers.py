"""Optuna's samplers, made anew for every suggestion, so that none has a past: all they know is in their study."""

import warnings
from collections.abc import Callable, Mapping

import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, GPSampler, RandomSampler, TPESampler
from optuna.search_space import IntersectionSearchSpace
from optuna.trial import FrozenTrial

from sweeps.sampler_settings import SamplerSettings

# A Gaussian process that is sure of its best trial proposes it again, whatever the seed.
_TRIES_OF_GP = 3


def make_sampler(
    settings: SamplerSettings, *, compared: IntersectionSearchSpace, num_trials: int, seed: int, attempt: int
) -> BaseSampler:
    """The sampler of a suggestion; for what is not given to the trial beforehand.

    Args:
        compared: of the study, which remembers the names that all its trials have in common.
        num_trials: configurations that the sweep plans per architecture.
        seed: of this attempt alone.
        attempt: how many were suggested in vain, as they had been tried.
    """
    # Optuna's ten random start-up trials would be all there is of a small sweep.
    num_random = settings.n_startup_trials or min(10, max(2, num_trials // 3))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        kind = "random" if settings.kind == "gp" and attempt >= _TRIES_OF_GP else settings.kind
        return _Tpe(compared, seed=seed, num_random=num_random) if kind == "tpe" else _KINDS[kind](seed, num_random)


class _Tpe(TPESampler):
    """TPE over all names together, which need not compare the spaces of all trials: what was compared before is known.
    With 3,000 trials that was half of a suggestion's 78 ms (optuna 5.0, 2026-11-21)."""

    def __init__(self, compared: IntersectionSearchSpace, *, seed: int, num_random: int) -> None:
        super().__init__(seed=seed, n_startup_trials=num_random, multivariate=True, constant_liar=True)
        self._compared = compared

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        found = self._compared.calculate(study, use_cache=True)
        return {name: kind for name, kind in found.items() if not kind.single()}


def _tpe_by_name(seed: int, num_random: int) -> BaseSampler:
    """What CMA-ES leaves over, one name after the other."""
    return TPESampler(seed=seed, n_startup_trials=num_random, multivariate=False, constant_liar=True)


def _gp(seed: int, num_random: int) -> BaseSampler:
    return GPSampler(seed=seed, n_startup_trials=num_random, warn_independent_sampling=False)


def _random(seed: int, num_random: int) -> BaseSampler:
    return RandomSampler(seed=seed)


_KINDS: Mapping[str, Callable[[int, int], BaseSampler]] = {
    "gp": _gp,
    "cmaes": _tpe_by_name,
    "random": _random,
    "grid": _random,  # never asked: a grid gives all values
}
