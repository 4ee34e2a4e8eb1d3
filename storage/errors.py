"""The errors that a user can cause and mend. Jobs print them as one line and exit with 2; anything else is a bug."""

import dataclasses
import difflib
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


class InvalidInput(ValueError):
    """Something the user gave cannot be used.

    Args:
        field: what was given, as the user wrote it (`sweep.num_trials`, `manifest column uri`).
        given: the value found.
        allowed: what would have been accepted, in words.
        remedy: what to do about it.
    """

    def __init__(self, field: str, *, given: object, allowed: str, remedy: str) -> None:
        self.field, self.given, self.allowed, self.remedy = field, given, allowed, remedy
        super().__init__(f"{field}: got {given!r}; allowed: {allowed}. {remedy}")

    def __reduce__(self) -> tuple[object, ...]:
        # Exceptions with keyword-only arguments do not survive pickling by default, and Ray pickles them.
        return _rebuild_invalid_input, (self.field, self.given, self.allowed, self.remedy)


def _rebuild_invalid_input(field: str, given: object, allowed: str, remedy: str) -> InvalidInput:
    return InvalidInput(field, given=given, allowed=allowed, remedy=remedy)


class StorageError(Exception):
    """A store could not be reached or did not keep its promises. The message says which store and what to do."""


class StoreOutOfReach(StorageError):
    """The store as a whole is away or refuses: no object is at fault, and no work that needed it."""


class ObjectNotFound(StorageError):
    """No object has this key."""


class DamagedObject(StorageError):
    """An object is there and is not what it should be."""


class UnreadableFile(StorageError):
    """There is such a file, and this machine cannot read it: no permission, a folder, a name that cannot be one.

    Args:
        uri: the file.
        reason: why, in words that do not depend on where the data set lies.
    """

    def __init__(self, uri: str, reason: str) -> None:
        super().__init__(uri, reason)
        self.uri, self.reason = uri, reason

    def __str__(self) -> str:
        return f"cannot read {self.uri}: {self.reason}"


def hold_rules(section: str, settings: "DataclassInstance", rules: Mapping[str, tuple[bool, str]]) -> None:
    """Refuses the first value of `settings` whose rule does not hold.

    Args:
        section: what users write before the field (`sweep`, `features`).
        rules: field → (whether it holds, what is allowed). Written as comparisons, they refuse NaN too; an infinity is
            refused in every field of `settings`, a dataclass, as it could not be hashed or stored.

    Raises:
        InvalidInput: a rule does not hold, or a number is infinite.
    """
    for field in dataclasses.fields(settings):
        value = getattr(settings, field.name)
        if isinstance(value, float) and math.isinf(value):
            raise InvalidInput(
                f"{section}.{field.name}", given=value, allowed="a finite number", remedy="Correct the value."
            )
    for name, (holds, allowed) in rules.items():
        if not holds:
            raise InvalidInput(
                f"{section}.{name}", given=getattr(settings, name), allowed=allowed, remedy="Correct the value."
            )


def nearest(name: str, known: Iterable[str]) -> str:
    """A hint like "Did you mean 'cnn'? " for a misspelt name, or an empty string."""
    close = difflib.get_close_matches(name, list(known), n=1)
    return f"Did you mean {close[0]!r}? " if close else ""


def nearest_ids(given: str, known: Iterable[str]) -> str:
    """As `nearest`, of names that end with a hash, which people leave out: "Did you mean 'first-0123456789ab'? "."""
    known = sorted(known, key=lambda name: (len(name), name))
    begun = [name for name in known if given and name.startswith(given)]
    found = list(dict.fromkeys([*begun, *difflib.get_close_matches(given, known)]))[:3]
    return f"Did you mean {' or '.join(map(repr, found))}? " if found else ""


def first_few(names: Sequence[str], most: int = 4) -> str:
    """The first of many names and how many more there are: "a, b, c, d and 12 more"."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return f"{', '.join(names[:most])}{more}"
