"""A search space: an architecture's untuned default and the distributions that the searcher draws from.

Names are fields of a trial's configuration; `model.<option>` is an option of the architecture. Seeds are not
among them: they are an axis, never searched.
"""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, replace

from optuna.distributions import BaseDistribution, distribution_to_json

from search_spaces.values import Value, holds

_FAMILY = "timm/"
_DISTURBANCES = "augment."


@dataclass(frozen=True, kw_only=True, slots=True)
class SearchSpace:
    """What may vary for one architecture.

    Attributes:
        architecture: its name in `models`.
        default: the untuned configuration, tried first; values for everything that differs from TrialConfig's own
            defaults, and for every searched name.
        distributions: what is searched.
    """

    architecture: str
    default: Mapping[str, Value]
    distributions: Mapping[str, BaseDistribution]

    def __post_init__(self) -> None:
        missing = self.distributions.keys() - self.default.keys()
        if missing:
            raise ValueError(f"search space {self.architecture}: no default for {sorted(missing)}")
        for name, distribution in self.distributions.items():
            if not holds(distribution, self.default[name]):
                raise ValueError(f"search space {self.architecture}: the default of {name} is outside {distribution}")

    @property
    def identity(self) -> dict[str, object]:
        """Everything that decides what is suggested, as JSON values."""
        return {
            "architecture": self.architecture,
            "default": dict(self.default),
            "distributions": self.distributions_json,
        }

    @property
    def distributions_json(self) -> dict[str, str]:
        """Name → distribution as Optuna writes it."""
        return {name: distribution_to_json(kind) for name, kind in self.distributions.items()}

    def with_values(self, *, first: Mapping[str, Value], fixed: Mapping[str, Value]) -> "SearchSpace":
        """The space with values of one's own.

        A backbone that they leave frozen is not disturbed unless they say so: it then runs once over the data, and its
        heads are trained on what it made of it.

        Args:
            first: take the place of the default's; searched names go on to vary from there.
            fixed: the same in every configuration; none of them is searched.

        Raises:
            ValueError: a first value is outside of what is searched.
        """
        own = {**first, **fixed}
        default = {**self.default, **own}
        is_still = default.get("freeze") == "backbone"
        dropped = {name for name in self.default if is_still and name.startswith(_DISTURBANCES) and name not in own}
        searched = {name: kind for name, kind in self.distributions.items() if name not in {*fixed, *dropped}}
        kept = {name: value for name, value in default.items() if name not in dropped}
        return replace(self, default=kept, distributions=searched)


def list_spaces() -> tuple[str, ...]:
    """The architectures with a space of their own; `timm/<any name>` has one too."""
    return tuple(sorted(_spaces()))


def get_space(architecture: str) -> SearchSpace:
    """The search space of an architecture, a name of timm's (`timm/resnet50.tv_in1k`) included.

    Raises:
        ValueError: there is none of that name; the message lists the known ones.
    """
    if architecture.startswith(_FAMILY):
        from search_spaces.transfer import transfer_space  # it imports SearchSpace from here

        return transfer_space(architecture)
    spaces = _spaces()
    if architecture not in spaces:
        close = difflib.get_close_matches(architecture, spaces, n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        raise ValueError(f"no search space {architecture!r}; known: {', '.join(sorted(spaces))}, timm/<name>.{hint}")
    return spaces[architecture]


def _spaces() -> dict[str, SearchSpace]:
    from search_spaces import alexnet, cnn, efficientnet_b0, resnet50  # these files import SearchSpace from here

    return {space.architecture: space for space in (cnn.SPACE, alexnet.SPACE, efficientnet_b0.SPACE, *resnet50.SPACES)}
