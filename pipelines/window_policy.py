"""Where the windows of a clip begin: the one place where that is computed, in whole samples, for every backend.

Enters: the lengths of a clip, a window and the distance of windows, in samples. Leaves: first samples, ascending.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

WindowPolicy = Literal["first", "all", "random", "spaced"]
PartialWindow = Literal["pad", "drop"]


@dataclass(frozen=True, kw_only=True, slots=True)
class WindowLayout:
    """How a clip is cut. The fields are those of `FeatureSpec`, in samples.

    A clip that is shorter than one window has a single, partial window at its start, whatever the policy.
    """

    policy: WindowPolicy
    window_samples: int
    hop_samples: int
    max_windows: int | None
    partial_window: PartialWindow

    def starts(self, num_samples: int, generator: np.random.Generator | None = None) -> list[int]:
        """First samples of the windows of a clip of `num_samples`.

        Args:
            generator: of the clip's own; `random` draws from it.
        """
        if num_samples < self.window_samples:
            return [0] if self.partial_window == "pad" else []
        if self.policy == "first":
            return [0]
        if self.policy == "all":
            return self._all(num_samples)
        last = num_samples - self.window_samples
        count = self._limited(last // self.hop_samples + 1)
        if self.policy == "spaced":
            return _spaced(last, count)
        assert generator is not None, "random windows need the clip's generator"
        return sorted(generator.choice(last + 1, size=count, replace=False).tolist())

    def _all(self, num_samples: int) -> list[int]:
        """Every hop until the clip ends; a partial window only where it holds samples that no earlier one has."""
        last = num_samples - self.window_samples
        count = last // self.hop_samples + 1
        end_of_whole = (count - 1) * self.hop_samples + self.window_samples
        if self.partial_window == "pad" and end_of_whole < num_samples and count * self.hop_samples < num_samples:
            count += 1
        return [number * self.hop_samples for number in range(self._limited(count))]

    def _limited(self, count: int) -> int:
        return count if self.max_windows is None else min(count, self.max_windows)


def _spaced(last: int, count: int) -> list[int]:
    """From the first sample to the last possible start; a single window stands in the middle."""
    if count == 1:
        return [last // 2]
    return [number * last // (count - 1) for number in range(count)]
