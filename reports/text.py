"""Numbers and configurations as text, the same in a terminal's tables and on the page."""

import math
from collections.abc import Mapping
from typing import Any

NO_VALUE = "–"


def percent(share: float | None, deviation: float | None = None) -> str:
    """`83.4 ± 1.2 %` for 0.834 and 0.012; without a deviation `83.4 %`; a dash for no value or NaN."""
    if share is None or math.isnan(share):
        return NO_VALUE
    return f"{100 * share:.1f} %" if deviation is None else f"{100 * share:.1f} ± {100 * deviation:.1f} %"


def decimal(value: float | None, deviation: float | None = None) -> str:
    """Three decimals, ± the deviation; a dash for no value or NaN."""
    if value is None or math.isnan(value):
        return NO_VALUE
    return f"{value:.3f}" if deviation is None else f"{value:.3f} ± {deviation:.3f}"


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


def p_text(p_value: float) -> str:
    """`0.034`; `< 0.001` for what is smaller."""
    return "< 0.001" if p_value < 0.001 else f"{p_value:.3f}"
