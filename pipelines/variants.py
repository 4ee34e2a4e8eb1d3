"""What a variant is: a clip as it was recorded, or a copy changed on purpose, written as one line of text.

Enters: text of a spec, as `noise(snr_db=15)`. Leaves: a `Variant` whose text is canonical, and the generator of its
random numbers. What the effects do to samples is in pipelines/effects.py.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from storage.errors import InvalidInput, nearest
from storage.identity import derive_seed

ORIGINAL = "original"

_FIELD = "features.variants"
_PLUS_BETWEEN_EFFECTS = re.compile(r"\+(?![^(]*\))")  # not the sign of a number inside parentheses
_EFFECT = re.compile(r"\s*(\w+)\s*(?:\(([^()]*)\))?\s*")


@dataclass(frozen=True, slots=True)
class Parameter:
    """A number of an effect: what it is when nothing is said, and the range it must lie in, both ends included."""

    default: float
    lowest: float
    highest: float


# What each effect does is told by the function of its name in pipelines/effects.py. Changing a default leaves the
# fingerprints of stored features alone, as canonical text spells defaults out; changing what an effect does must raise
# NUMERICS_VERSION.
EFFECTS: Mapping[str, Mapping[str, Parameter]] = {
    "noise": {"snr_db": Parameter(15, -30, 100)},
    "pitch": {"semitones": Parameter(2, -24, 24)},
    "stretch": {"rate": Parameter(0.9, 0.25, 4)},
    "reverb": {"decay_s": Parameter(0.4, 0.05, 10), "wet": Parameter(0.3, 0, 1)},
    "gain": {"db": Parameter(-6, -60, 60)},
}


@dataclass(frozen=True, slots=True)
class Effect:
    """One step of a variant: a key of EFFECTS, and every parameter of it in the order given there."""

    kind: str
    parameters: tuple[tuple[str, float], ...]

    def __str__(self) -> str:
        return f"{self.kind}({', '.join(f'{name}={_number(value)}' for name, value in self.parameters)})"


@dataclass(frozen=True, slots=True)
class Variant:
    """Effects in the order in which they are applied; none for the original. Its `str` is canonical."""

    effects: tuple[Effect, ...] = ()

    def __str__(self) -> str:
        return "+".join(map(str, self.effects)) or ORIGINAL


def parse_variant(text: str) -> Variant:
    """Reads `original`, `reverb(decay_s=0.4, wet=0.3)`, or a chain as `pitch(semitones=2)+noise(snr_db=15)`.

    What is left out has its default. `parse_variant(str(variant)) == variant`, and all texts of one meaning give one
    `str`.

    Raises:
        InvalidInput: an unknown effect or parameter, a number out of range, or text of another form.
    """
    if text.strip() == ORIGINAL:
        return Variant()
    return Variant(tuple(_parse_effect(piece, text) for piece in _PLUS_BETWEEN_EFFECTS.split(text)))


def canonical_variants(texts: Iterable[str]) -> tuple[str, ...]:
    """The canonical texts of a spec's variants: the original, then the others by text.

    Raises:
        InvalidInput: one that cannot be read, one given twice, or no original among them.
    """
    canonical = [str(parse_variant(text)) for text in texts]
    repeated = [text for text, count in Counter(canonical).items() if count > 1]
    if repeated:
        raise InvalidInput(
            _FIELD, given=repeated[0], allowed="every variant once", remedy="Remove the repetition, however spelt."
        )
    if ORIGINAL not in canonical:
        raise InvalidInput(
            _FIELD,
            given=canonical,
            allowed=f"a list with {ORIGINAL} in it",
            remedy=f"Add {ORIGINAL}: validation and test see originals only.",
        )
    return (ORIGINAL, *sorted(set(canonical) - {ORIGINAL}))


def variant_generator(seed: int, clip_id: str, variant: Variant) -> np.random.Generator:
    """The random numbers of one variant of one clip: they depend on these three alone, on no order and no process."""
    return np.random.default_rng(derive_seed("variant", seed, clip_id, str(variant)))


def _parse_effect(piece: str, text: str) -> Effect:
    match = _EFFECT.fullmatch(piece)
    if match is None:
        raise InvalidInput(
            _FIELD,
            given=text,
            allowed=f"{ORIGINAL}, or effects written as noise(snr_db=15) and joined by +",
            remedy='Close every parenthesis; in YAML, quote a text with a comma: ["reverb(decay_s=1, wet=1)"].',
        )
    kind, arguments = match[1], match[2] or ""
    if kind not in EFFECTS:
        alone = f"{ORIGINAL} stands alone. " if kind == ORIGINAL else nearest(kind, [ORIGINAL, *EFFECTS])
        allowed = ", ".join([ORIGINAL, *map(_in_words, EFFECTS)])
        raise InvalidInput(_FIELD, given=text, allowed=allowed, remedy=f"{alone}Choose among these.")
    given = _parse_arguments(kind, arguments, text)
    values = ((name, given.get(name, float(known.default))) for name, known in EFFECTS[kind].items())
    return Effect(kind, tuple(values))


def _parse_arguments(kind: str, arguments: str, text: str) -> dict[str, float]:
    given: dict[str, float] = {}
    for word in arguments.split(",") if arguments.strip() else ():
        name, _, number = (part.strip() for part in word.partition("="))
        known = EFFECTS[kind].get(name)
        if known is None:
            raise _refused(kind, text, f"{nearest(name, EFFECTS[kind])}Write name=number.")
        if name in given:
            raise _refused(kind, text, f"Give {name} once.")
        value = _to_float(number)
        if value is None or not known.lowest <= value <= known.highest:  # refuses NaN too
            raise _refused(kind, text, f"Correct {name}.")
        given[name] = value
    return given


def _to_float(number: str) -> float | None:
    try:
        return float(number)
    except ValueError:
        return None


def _refused(kind: str, text: str, remedy: str) -> InvalidInput:
    return InvalidInput(_FIELD, given=text, allowed=_in_words(kind), remedy=remedy)


def _in_words(kind: str) -> str:
    ranges = (f"{name} from {known.lowest:g} to {known.highest:g}" for name, known in EFFECTS[kind].items())
    return f"{kind}({', '.join(ranges)})"


def _number(value: float) -> str:
    return str(int(value)) if value.is_integer() else repr(value)
