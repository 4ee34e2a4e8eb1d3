"""Numbers and configurations as text: the cells of a terminal's leaderboard, and the same values on the page."""

from collections.abc import Iterable, Mapping
from typing import Any

from reports.leaderboard import LeaderboardRow

LEADERBOARD_HEADER = (
    "rank",
    "architecture",
    "configuration",
    "seeds",
    "validation accuracy",
    "test accuracy",
    "test macro-F1",
    "test AUC",
)
NO_VALUE = "–"


def leaderboard_lines(rows: Iterable[LeaderboardRow]) -> list[list[str]]:
    """One list of cells per row, in the order of `LEADERBOARD_HEADER`; percent with one decimal, ± the deviation."""
    return [
        [
            str(row.rank),
            row.architecture,
            configuration_text(row.configuration),
            str(len(row.seeds)),
            percent(row.validation_accuracy_mean, row.validation_accuracy_std),
            percent(row.test_accuracy_mean, row.test_accuracy_std),
            percent(row.test_macro_f1_mean, row.test_macro_f1_std),
            decimal(row.test_auc_mean),
        ]
        for row in rows
    ]


def percent(share: float | None, deviation: float | None = None) -> str:
    """`83.4 ± 1.2 %` for 0.834 and 0.012; without a deviation `83.4 %`; a dash for no value."""
    if share is None:
        return NO_VALUE
    return f"{100 * share:.1f} %" if deviation is None else f"{100 * share:.1f} ± {100 * deviation:.1f} %"


def decimal(value: float | None) -> str:
    """Three decimals; a dash for no value."""
    return NO_VALUE if value is None else f"{value:.3f}"


def configuration_text(configuration: Mapping[str, Any]) -> str:
    """`learning_rate 0.0012, dropout 0.3`; the untuned default is called that."""
    parts = [f"{name} {parameter_text(value)}" for name, value in searched(configuration).items()]
    if configuration.get("untuned_default"):
        parts.insert(0, "untuned default")
    return ", ".join(parts) or NO_VALUE


def searched(configuration: Mapping[str, Any]) -> dict[str, Any]:
    """The searched parameters alone."""
    return {name: value for name, value in configuration.items() if name != "untuned_default"}


def parameter_text(value: Any) -> str:
    """Numbers with three significant digits, all else as it is."""
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def counted(number: int, one: str, many: str | None = None) -> str:
    """`1 seed`, `3 seeds`."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"
