"""What `--smoke` makes of settings, beside the words that it stands for: sizes, nothing else."""

from typing import Any

from jobs.other_jobs import OF_A_TRIAL
from jobs.typed_values import dotted

# Numbers of epochs inside a trial: --smoke brings them down to half of its few epochs.
_EPOCHS_OF_A_TRIAL = ("loop.swa_epochs", "schedule.warmup_epochs")


def shorten(merged: Any, said: Any) -> None:
    """Makes what a preset or the defaults name, in place, as small as --smoke is; what a word says stands.

    The sweep keeps its first architecture, and epochs of a trial fit into the few that are left.
    """
    if "sweep" in merged and "architectures" not in said.get("sweep", {}):
        merged["sweep"]["architectures"] = merged["sweep"]["architectures"][:1]
    for place in OF_A_TRIAL:
        section, within, _ = place.split(".")
        if section not in merged:
            continue
        most = merged[section]["epochs"] / 2
        of_words = dotted(said.get(section, {}).get(within, {}))
        for name in _EPOCHS_OF_A_TRIAL:
            group, _, inner = name.partition(".")
            values = merged[section][within].get(group, {})
            value = values.get(inner)
            if name not in of_words and isinstance(value, int | float) and value > most:
                values[inner] = type(value)(most)
