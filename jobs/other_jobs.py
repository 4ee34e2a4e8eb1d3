"""Settings that a job does not look at: refused on its command line, where they would be ignored without a word."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from storage.errors import InvalidInput

# Below these, names are those of a trial's configuration.
OF_A_TRIAL = ("sweep.trial.", "sweep.first.", "train.trial.")
# Likewise, but with lists of values.
LISTS_OF_A_TRIAL = ("sweep.sampler.grid.",)


@dataclass(frozen=True, kw_only=True, slots=True)
class Elsewhere:
    """Where a section belongs that a job does not look at.

    Attributes:
        job: that looks at it.
        instead: the section that says the like to this job; empty for none.
        looked_at_with: the word with which this job looks at it, too; empty for none.
    """

    job: str
    instead: str = ""
    looked_at_with: str = ""


NOT_OF_SWEEP_OVER_FOLDS = {"train": Elsewhere(job="jobs/train.py", instead="sweep")}
NOT_OF_SWEEP = {
    **NOT_OF_SWEEP_OVER_FOLDS,
    "folds": Elsewhere(job="jobs/train.py", instead="split", looked_at_with="sweep.confirm.folds=true"),
}
NOT_OF_TRAIN = {
    "sweep": Elsewhere(job="jobs/sweep.py", instead="train"),
    "split": Elsewhere(job="jobs/sweep.py", instead="folds"),
}


def refuse_unused(word: str, known: Collection[str], not_used: Mapping[str, Elsewhere]) -> None:
    """Holds that a word is of a section that the job looks at.

    Args:
        known: every key of the settings.

    Raises:
        InvalidInput: it is not; names the key that says the like to this job, where there is one.
    """
    key, _, value = word.partition("=")
    section, _, rest = key.partition(".")
    if section not in not_used:
        return
    elsewhere = not_used[section]
    other = f"{elsewhere.instead}.{rest}"
    has_other = other in known or other.startswith(OF_A_TRIAL)
    if has_other:
        here = f"Say {other}={value} here, or run"
    else:
        here = f"See {elsewhere.instead}.* in --help for what this job has, or run" if elsewhere.instead else "Run"
    if elsewhere.looked_at_with:
        here = f"Say {elsewhere.looked_at_with}, with which it does. {here}"
    raise InvalidInput(
        key,
        given=value,
        allowed="settings that this job looks at",
        remedy=f"{here} {elsewhere.job}, which looks at it.",
    )
