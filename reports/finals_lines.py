"""The confirmed configurations as a terminal's table. Enters: `Finals`. Leaves: a title, a header, cells."""

from reports.chosen_by import chosen_by
from reports.finals import Finals
from reports.sweep_results import SweepResults
from reports.text import NO_VALUE

CONFIRMED_HEADER = ("rank", "configuration", "seeds × folds", "validation", "test", "95 % interval")


def confirmed_title(finals: Finals) -> str:
    """Whose rows these are, and on which clips the test scores are."""
    assert finals.confirmation is not None
    if any(score.untouched is not None for score in finals.scores):
        clips = "test: on the sweep's own test clips alone"
    else:
        clips = "" if finals.is_untouched else "test: too good, as these clips had a part in the search"
    told = f"ranked by validation{'; ' if clips else ''}{clips}"
    return f"Confirmed: {finals.confirmation.sweep_id} ({told})"


def confirmed_lines(sweep: SweepResults, finals: Finals) -> list[list[str]]:
    """One list of cells per confirmed configuration, in the order of CONFIRMED_HEADER."""
    told, lines = chosen_by(sweep), []
    for rank, finalist in enumerate(finals.finalists, 1):
        found = finals.score_of(finalist.number)
        lines.append(
            [
                str(rank),
                finalist.name,
                f"{len(finalist.seeds)} × {finalist.num_folds}",
                told.told(finalist.validation_mean, finalist.validation_std),
                told.told(*finals.worth_of(finalist)),
                NO_VALUE if found is None else told.told_interval(found.best_known.interval),
            ]
        )
    return lines
