"""From the words of a command line to settings: dataclass defaults, then a preset's YAML, then `key=value` words.

An unknown key is an error that offers the nearest known one; so is a value of the wrong type. The only file that
imports omegaconf.
"""

import dataclasses
import re
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import SafeLoader, ScalarNode, YAMLError, compose
from yaml.nodes import Node

from jobs.other_jobs import LISTS_OF_A_TRIAL, OF_A_TRIAL, Elsewhere, refuse_unused
from jobs.smoke import shorten
from jobs.typed_values import build, convert, dotted, plain
from storage.addresses import refuse_credentials
from storage.errors import InvalidInput, nearest

T = TypeVar("T")
_PRESETS = Path(__file__).parent.parent / "search_spaces" / "presets"
_SMOKE_WORD = "--smoke"
# What YAML 1.1 reads as octal or to the base 60.
_ODD_NUMBER = re.compile(r"[-+]?(0[\d_]+|\d[\d_]*(:[0-5]?\d)+)")


def parse_settings(
    kind: type[T],
    words: Sequence[str],
    *,
    smoke: Sequence[str] = (),
    not_used: Mapping[str, Elsewhere] = MappingProxyType({}),
) -> T:
    """Builds settings from command-line words.

    Args:
        kind: a dataclass of dataclasses.
        words: `preset=<name>`, `--smoke` and dotted `key=value`; later words win,
            and all of them over presets. Texts are taken as they stand, all other values are YAML (`[1,2]`, `null`).
        smoke: the words that `--smoke` stands for; all others win over them. Epochs of a preset's trial that would not
            fit into its few (of SWA, of warm-up) are shortened with them.
        not_used: sections that the caller does not look at; words of theirs are refused, presets may have them.

    Raises:
        InvalidInput: a word that is no `key=value` or would not be looked at, an unknown key or preset, a value of the
            wrong type, or an address with a key in it.
    """
    for word in words:  # first, so that no other message repeats it
        refuse_credentials(word.partition("=")[0] if "=" in word else "command line", word)
    is_smoke = _SMOKE_WORD in words
    if is_smoke:
        words = [*smoke, *(word for word in words if word != _SMOKE_WORD)]
    defaults = dataclasses.asdict(kind())  # type: ignore[call-overload]
    layers = [OmegaConf.create(plain(defaults))]
    overrides = OmegaConf.create()
    for word in words:
        if word.startswith("preset="):
            preset = _load_preset(word.removeprefix("preset="))
            for key in dotted(preset):
                _check_key(key, defaults)
            layers.append(OmegaConf.create(preset))
        else:
            _check_word(word, defaults)
            refuse_unused(word, dotted(plain(defaults)), not_used)
            _override(overrides, word, kind)
    try:
        # Not resolved: `${…}` in a path is a part of its name, not a question to the environment.
        merged = OmegaConf.to_container(OmegaConf.merge(*layers, overrides), resolve=False)
        said = OmegaConf.to_container(overrides, resolve=False)
    except (OmegaConfBaseException, ValueError, TypeError) as e:  # the last where a list is given a mapping
        raise InvalidInput(
            "command line", given=" ".join(words), allowed="settings that go together", remedy=str(e)
        ) from e
    if smoke and is_smoke:
        shorten(merged, said)
    return build(kind, merged, "")


def _override(overrides: DictConfig, word: str, kind: type) -> None:
    key, _, text = word.partition("=")
    hint = _hint(kind, key)
    is_optional_text = typing.get_origin(hint) in (typing.Union, types.UnionType) and str in typing.get_args(hint)
    is_text = hint is str or (is_optional_text and text != "null")
    try:
        value = text if is_text else _yaml_value(text)
        _check_shape(value, hint, key)
        OmegaConf.update(overrides, key, value)
    except InvalidInput:  # a ValueError, too
        raise
    except (OmegaConfBaseException, YAMLError, ValueError) as e:
        reason = str(e).splitlines()[0]
        raise InvalidInput(key, given=text, allowed="a value in YAML", remedy=f"Correct it ({reason}).") from e


def _check_shape(value: Any, hint: Any, key: str) -> None:
    """Refuses a list where names belong and the other way round: merging such settings would not tell which it was."""
    shapes = {typing.get_origin(choice) for choice in (hint, *typing.get_args(hint))}
    if (isinstance(value, list) and dict in shapes) or (isinstance(value, dict) and tuple in shapes):
        convert(hint, value, key)


def _hint(kind: Any, key: str) -> Any:
    """The type of a dotted key; None for what only its owner knows (sweep.trial.…)."""
    for name in key.split("."):
        if not dataclasses.is_dataclass(kind):
            return None
        kind = typing.get_type_hints(kind)[name]  # type: ignore[arg-type]
    return kind


def _yaml_value(text: str) -> Any:
    """YAML 1.1 but for what nobody means: it would read 010 as 8, 12:30 as 750, and nothing as null."""
    if not text:
        return ""
    odd = next(
        (value for value in _plain_scalars(compose(text, Loader=SafeLoader)) if _ODD_NUMBER.fullmatch(value)), ""
    )
    if odd:
        raise ValueError(f"{odd} would be read as another number; write it plainly or in quotes")
    return OmegaConf.to_container(OmegaConf.from_dotlist([f"value={text}"]), resolve=False)["value"]  # type: ignore[index,call-overload]


def _plain_scalars(node: Node | None) -> Iterator[str]:
    """The values of a YAML document that stand without quotes; digits inside of a path are no value."""
    if isinstance(node, ScalarNode):
        if node.style is None:
            yield str(node.value)
    elif node is not None:
        for inner in node.value:
            for part in inner if isinstance(inner, tuple) else (inner,):
                yield from _plain_scalars(part)


def usage(doc: str | None, kind: type) -> str:
    """What --help prints: what the job says of itself, and its settings."""
    return f"{doc}\nSettings and their defaults:\n{describe(kind)}"


def describe(kind: type) -> str:
    """Every key with its default, for --help."""
    return "\n".join(f"  {key}={_show(value)}" for key, value in dotted(plain(dataclasses.asdict(kind()))).items())


def _check_word(word: str, defaults: Mapping[str, Any]) -> None:
    if "=" not in word:
        raise InvalidInput("command line", given=word, allowed="key=value", remedy="See --help for the keys.")
    _check_key(word.partition("=")[0], defaults)


def _check_key(key: str, defaults: Mapping[str, Any]) -> None:
    known = {*dotted(plain(defaults)), "preset"}
    if key in known or key.startswith(
        (*OF_A_TRIAL, *LISTS_OF_A_TRIAL)
    ):  # their names are checked against TrialConfig later
        return
    if any(name.startswith(f"{key}.") for name in known):
        allowed = f"a key below it, as {next(name for name in sorted(known) if name.startswith(f'{key}.'))}"
        raise InvalidInput("setting", given=key, allowed=allowed, remedy="See --help for the keys.")
    raise InvalidInput(
        "setting", given=key, allowed="a known key", remedy=f"{nearest(key, known)}See --help for all keys."
    )


def _load_preset(name: str) -> dict[str, Any]:
    known = sorted(path.stem for path in _PRESETS.glob("*.yaml"))
    if name not in known:
        raise InvalidInput(
            "preset", given=name, allowed=", ".join(known), remedy=f"{nearest(name, known)}Choose one of these."
        )
    loaded = OmegaConf.to_container(OmegaConf.load(_PRESETS / f"{name}.yaml"))
    assert isinstance(loaded, dict)
    return {str(key): value for key, value in loaded.items()}


def _show(value: Any) -> str:
    return "null" if value is None else str(value).replace(" ", "")
