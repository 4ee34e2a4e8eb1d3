"""Settings of a job: dataclass defaults, then a preset's YAML, then `key=value` words of the command line.

An unknown key is an error that offers the nearest known one; so is a value of the wrong type. The resolved settings
are stored with every sweep. The only file that imports omegaconf.
"""

import dataclasses
import re
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from pipelines.feature_spec import FeatureSpec
from pipelines.featurize import PipelineSettings
from pipelines.folds import FoldSettings
from pipelines.sources.genres import LabelLevel
from pipelines.splits import SplitSettings
from storage.errors import InvalidInput, hold_rules, nearest
from sweeps import ExperimentSettings, SweepSettings
from sweeps.loggers import LogSettings

T = TypeVar("T")
_PRESETS = Path(__file__).parent.parent / "search_spaces" / "presets"
_SMOKE_WORD = "--smoke"


@dataclass(frozen=True, kw_only=True, slots=True)
class DataSettings:
    """Which recordings.

    Attributes:
        source: `birdclef`, `csv`, `emodb`, `esc50`, `folder`, `genres`, `radioml` or `synthetic`.
        root: the tree, or the table file of `csv`: a path, file:// or s3://bucket/prefix.
        name: of the data set; empty for the last part of root.
        endpoint_url: of an S3 server with the recordings other than AWS; null for the environment variable
            AWS_ENDPOINT_URL. Has nothing to do with storage.endpoint_url, which is for what the jobs write.
        label_level: for `genres`, which part of the path is the label: `genre/subgenre`, `genre` or `subgenre`; null
            for the first.
    """

    source: str = "esc50"
    root: str = ""
    name: str = ""
    endpoint_url: str | None = None
    label_level: LabelLevel | None = None

    @property
    def resolved_name(self) -> str:
        """The name, or the last part of root without its ending."""
        return self.name or Path(self.root.rstrip("/")).stem or "data"


@dataclass(frozen=True, kw_only=True, slots=True)
class StorageSettings:
    """Where everything is kept: a folder or s3://bucket/prefix. Credentials come from the environment, never from here.

    Attributes:
        uri: root of features, splits, checkpoints and results.
        endpoint_url: of an S3 server other than AWS.
    """

    uri: str = "workspace/store"
    endpoint_url: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class ClusterSettings:
    """Which Ray.

    Attributes:
        address: of a running cluster; None for RAY_ADDRESS, or a private one on this machine.
        num_cpus: cores of a private one; None for all.
    """

    address: str | None = None
    num_cpus: int | None = None

    def __post_init__(self) -> None:
        hold_rules("cluster", self, {"num_cpus": (self.num_cpus is None or self.num_cpus >= 1, "null, or 1 or more")})


@dataclass(frozen=True, kw_only=True, slots=True)
class ReportSettings:
    """Where the HTML page goes.

    Attributes:
        folder: local folder for `<sweep id>.html`; the page is also kept in the store, under reports/.
    """

    folder: str = "workspace/reports"


@dataclass(frozen=True, kw_only=True, slots=True)
class JobSettings:
    """All settings: `sweep` and `split` are the main job's, `train`, `folds` and `log` those of jobs/train.py."""

    data: DataSettings = field(default_factory=DataSettings)
    features: FeatureSpec = field(default_factory=FeatureSpec)
    pipeline: PipelineSettings = field(default_factory=PipelineSettings)
    split: SplitSettings = field(default_factory=SplitSettings)
    folds: FoldSettings = field(default_factory=FoldSettings)
    sweep: SweepSettings = field(default_factory=SweepSettings)
    train: ExperimentSettings = field(default_factory=ExperimentSettings)
    log: LogSettings = field(default_factory=LogSettings)
    storage: StorageSettings = field(default_factory=StorageSettings)
    cluster: ClusterSettings = field(default_factory=ClusterSettings)
    report: ReportSettings = field(default_factory=ReportSettings)


# What --smoke changes of the main job: sizes, nothing else.
SMOKE = (
    "sweep.num_trials=2",
    "sweep.epochs=3",
    "sweep.grace_epochs=1",
    "sweep.seeds=[42,123]",
    "sweep.architectures=[cnn]",
)


def parse_settings(kind: type[T], words: Sequence[str], *, smoke: Sequence[str] = ()) -> T:
    """Builds settings from command-line words.

    Args:
        kind: a dataclass of dataclasses.
        words: `preset=<name>`, `--smoke` and dotted `key=value`; later words win,
            and all of them over presets. Texts are taken as they stand, all other values are YAML (`[1,2]`, `null`).
        smoke: the words that `--smoke` stands for; all others win over them.

    Raises:
        InvalidInput: a word that is no `key=value`, an unknown key or preset, or a value of the wrong type.
    """
    if _SMOKE_WORD in words:
        words = [*smoke, *(word for word in words if word != _SMOKE_WORD)]
    defaults = dataclasses.asdict(kind())  # type: ignore[call-overload]
    layers = [OmegaConf.create(_plain(defaults))]
    overrides = OmegaConf.create()
    for word in words:
        if word.startswith("preset="):
            preset = _load_preset(word.removeprefix("preset="))
            for key in _dotted(preset):
                _check_key(key, defaults)
            layers.append(OmegaConf.create(preset))
        else:
            _check_word(word, defaults)
            _override(overrides, word, kind)
    try:
        # Not resolved: `${…}` in a path is a part of its name, not a question to the environment.
        merged = OmegaConf.to_container(OmegaConf.merge(*layers, overrides), resolve=False)
    except (OmegaConfBaseException, ValueError) as e:
        raise InvalidInput(
            "command line", given=" ".join(words), allowed="settings that go together", remedy=str(e)
        ) from e
    return _build(kind, merged, "")


def _override(overrides: DictConfig, word: str, kind: type) -> None:
    key, _, text = word.partition("=")
    hint = _hint(kind, key)
    is_optional_text = typing.get_origin(hint) in (typing.Union, types.UnionType) and str in typing.get_args(hint)
    is_text = hint is str or (is_optional_text and text != "null")
    try:
        value = text if is_text else _yaml_value(text)
        OmegaConf.update(overrides, key, value)
    except (OmegaConfBaseException, YAMLError, ValueError) as e:
        reason = str(e).splitlines()[0]
        raise InvalidInput(key, given=text, allowed="a value in YAML", remedy=f"Correct it ({reason}).") from e


def _hint(kind: Any, key: str) -> Any:
    """The type of a dotted key; None for what only its owner knows (sweep.trial.…)."""
    for name in key.split("."):
        if not dataclasses.is_dataclass(kind):
            return None
        kind = typing.get_type_hints(kind)[name]  # type: ignore[arg-type]
    return kind


def _yaml_value(text: str) -> Any:
    """YAML 1.1 but for what nobody means: it would read 010 as 8 and 12:30 as 750."""
    odd = re.search(r"(?<![\w.'\"-])(0\d+|\d+(:\d\d)+)(?![\w.'\"])", text)
    if odd:
        raise ValueError(f"{odd[0]} would be read as another number; write it plainly or in quotes")
    return OmegaConf.to_container(OmegaConf.from_dotlist([f"value={text}"]), resolve=False)["value"]  # type: ignore[index,call-overload]


def usage(doc: str | None, kind: type) -> str:
    """What --help prints: what the job says of itself, and its settings."""
    return f"{doc}\nSettings and their defaults:\n{describe(kind)}"


def describe(kind: type) -> str:
    """Every key with its default, for --help."""
    return "\n".join(f"  {key}={_show(value)}" for key, value in _dotted(_plain(dataclasses.asdict(kind()))).items())


def _check_word(word: str, defaults: Mapping[str, Any]) -> None:
    if "=" not in word:
        raise InvalidInput("command line", given=word, allowed="key=value", remedy="See --help for the keys.")
    _check_key(word.partition("=")[0], defaults)


def _check_key(key: str, defaults: Mapping[str, Any]) -> None:
    known = {*_dotted(_plain(defaults)), "preset"}
    if key in known or key.startswith(
        ("sweep.trial.", "train.trial.")
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


def _dotted(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in values.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping) and value:
            found |= _dotted(value, f"{name}.")
        else:
            found[name] = value
    return found


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """Tuples as lists, which is how YAML has them."""
    return {
        key: _plain(value) if isinstance(value, Mapping) else list(value) if isinstance(value, tuple) else value
        for key, value in values.items()
    }


def _show(value: Any) -> str:
    return "null" if value is None else str(value).replace(" ", "")


def _build(kind: type[T], values: Any, path: str) -> T:
    hints = typing.get_type_hints(kind)
    arguments = {}
    for spec in dataclasses.fields(kind):  # type: ignore[arg-type]
        arguments[spec.name] = _convert(hints[spec.name], values[spec.name], f"{path}{spec.name}")
    return kind(**arguments)


def _convert(hint: Any, value: Any, path: str) -> Any:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if dataclasses.is_dataclass(hint) and isinstance(value, Mapping):
        return _build(hint, value, f"{path}.")  # type: ignore[arg-type]
    if origin in (typing.Union, types.UnionType):
        for choice in arguments:
            try:
                return _convert(choice, value, path)
            except InvalidInput:
                continue
    elif origin is typing.Literal and value in arguments:
        return value
    elif origin is tuple and isinstance(value, list | tuple):
        return tuple(_convert(arguments[0], item, path) for item in value)
    elif origin is dict and isinstance(value, Mapping):
        return _dotted(value)  # sweep.trial.model.width=8 sets the one name "model.width"
    elif hint is float and isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    elif hint is types.NoneType and value is None:
        return None
    elif isinstance(hint, type) and type(value) is hint:
        return value
    elif hint is str and isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    raise InvalidInput(path, given=value, allowed=_in_words(hint), remedy="Correct the value.")


def _in_words(hint: Any) -> str:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Literal:
        return ", ".join(map(str, arguments))
    if origin in (typing.Union, types.UnionType):
        return " or ".join(_in_words(choice) for choice in arguments)
    if origin is dict:
        return "names below it, each with its value, like trial.batch_size=16"
    if origin is tuple:
        return f"a list like [a,b] of {_in_words(arguments[0])}"
    words = {int: "a whole number", float: "a number", str: "a text", bool: "true or false", types.NoneType: "null"}
    return words.get(hint, str(hint))
