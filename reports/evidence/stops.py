"""Was it right to stop trials?

Enters: stopped trials, a random share of which was run to its end. Leaves: how often one of that share would have been
the best, how much was lost by stopping it, and what stopping saved against what the audit cost.

The draw is random and of each trial by itself, so that the share of wrong stops among the audited ones tells of all
stopped ones. How far it can be trusted says an exact interval for a finite population, which never covers less than it
says: Clopper and Pearson's ("The use of confidence or fiducial limits illustrated in the case of the binomial",
Biometrika 26, 1934) with the hypergeometric distribution in the place of the binomial.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from reports.evidence.intervals import LEVEL, Interval
from storage.errors import InvalidInput


@dataclass(frozen=True, kw_only=True, slots=True)
class Stop:
    """A trial that a search stopped.

    Attributes:
        reached: seed-epoch at which it was stopped.
        whole: seed-epochs of all its seeds.
        kept: those of seeds that had come to their end, which an audit does not train again.
        is_audited: whether it was run to its end, or failed on the way there.
        score: mean over its seeds of what trials are chosen by, on validation; None where it was not audited, or its
            training failed.
    """

    number: int
    architecture: str
    reached: int
    whole: int
    kept: int
    is_audited: bool = False
    score: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class AuditedStop:
    """Attributes:
    would_lead: whether it would have been the best of its architecture, and not only as good; None where no trial of
        the architecture has finished.
    would_lead_all: likewise of all architectures.
    regret: by how much the best finished one of its architecture is worse, and 0 where it is not; None where no trial
        of the architecture has finished.
    """

    stop: Stop
    would_lead: bool | None
    would_lead_all: bool | None
    regret: float | None


@dataclass(frozen=True, kw_only=True, slots=True)
class JudgedStops:
    """What an audit found.

    Attributes:
        audited: by number.
        share: of audited stops that would have led their architecture, 0 to 1, where something of it has finished; None
            where there is none.
        interval: of that share among all stopped trials of these architectures.
        mean_regret, largest_regret: over audited stops; None where there is none with a regret.
        epochs_saved: seed-epochs that stopping did not train.
        epochs_audited: seed-epochs that the audit trained of them after all; of trials that failed on the way, at most.
    """

    num_stopped: int
    audited: tuple[AuditedStop, ...]
    share: float | None
    interval: Interval | None
    mean_regret: float | None
    largest_regret: float | None
    epochs_saved: int
    epochs_audited: int

    @property
    def num_audited(self) -> int:
        return len(self.audited)

    @property
    def num_compared(self) -> int:
        return sum(one.would_lead is not None for one in self.audited)

    @property
    def num_would_lead(self) -> int:
        return sum(bool(one.would_lead) for one in self.audited)

    @property
    def num_would_lead_all(self) -> int:
        return sum(bool(one.would_lead_all) for one in self.audited)


def judge_stops(stops: Sequence[Stop], *, finished: Mapping[str, Sequence[float]], level: float = LEVEL) -> JudgedStops:
    """Compares audited stops with what finished.

    A trial that failed when it was run to its end would not have led, and nothing was lost by it.

    Args:
        stops: all of a sweep.
        finished: architecture → scores of the trials that the sweep itself ran to their end, as `Stop.score`.
    """
    audited = tuple(_judged(stop, finished) for stop in sorted(stops, key=lambda stop: stop.number) if stop.is_audited)
    regrets = [one.regret for one in audited if one.regret is not None]
    compared = [one.would_lead for one in audited if one.would_lead is not None]
    num_comparable = sum(bool(finished.get(stop.architecture)) for stop in stops)
    return JudgedStops(
        num_stopped=len(stops),
        audited=audited,
        share=sum(compared) / len(compared) if compared else None,
        interval=share_among(sum(compared), len(compared), population=num_comparable, level=level)
        if compared
        else None,
        mean_regret=sum(regrets) / len(regrets) if regrets else None,
        largest_regret=max(regrets, default=None),
        epochs_saved=sum(stop.whole - stop.reached for stop in stops),
        epochs_audited=sum(one.stop.whole - one.stop.kept for one in audited),
    )


def share_among(num_hits: int, num_tries: int, *, population: int, level: float = LEVEL) -> Interval:
    """The exact interval of a share, 0 to 1, among a finite population of which some were tried at random: every
    number of hits that would not make what was seen too unlikely on either side (hypergeometric).

    Raises:
        InvalidInput: no tries, more hits than tries, or more tries than there are.
    """
    if not 0 <= num_hits <= num_tries <= population or not num_tries:
        raise InvalidInput(
            "share",
            given=f"{num_hits} of {num_tries} of {population}",
            allowed="a part of one or more",
            remedy="Count hits among the tries, and tries among all.",
        )
    tail = (1 - level) / 2
    in_all = np.arange(num_hits, population - (num_tries - num_hits) + 1)
    so_many = stats.hypergeom.sf(num_hits - 1, population, in_all, num_tries)
    so_few = stats.hypergeom.cdf(num_hits, population, in_all, num_tries)
    possible = in_all[(so_many > tail) & (so_few > tail)]
    return Interval(low=float(possible[0] / population), high=float(possible[-1] / population), level=level)


def _judged(stop: Stop, finished: Mapping[str, Sequence[float]]) -> AuditedStop:
    best = max(finished.get(stop.architecture, ()), default=None)
    best_of_all = max((score for scores in finished.values() for score in scores), default=None)
    return AuditedStop(
        stop=stop,
        would_lead=_leads(stop.score, best),
        would_lead_all=_leads(stop.score, best_of_all),
        regret=None if best is None else max(0.0, (best if stop.score is None else stop.score) - best),
    )


def _leads(score: float | None, best: float | None) -> bool | None:
    return None if best is None else score is not None and score > best
