"""Settings of a job: dataclass defaults, then a preset's YAML, then `key=value` words of the command line.

An unknown key is an error that offers the nearest known one; so is a value of the wrong type. The resolved settings
are stored with every sweep. The only file that imports omegaconf.
"""

import dataclasses
import re
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
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
from pipelines.feature_spec import FeatureSpec
from pipelines.featurize import PipelineSettings
from pipelines.folds import FoldSettings
from pipelines.sources.genres import LabelLevel
from pipelines.splits import SplitSettings
from storage.addresses import refuse_credentials
from storage.errors import InvalidInput, hold_rules, nearest
from sweeps import ExperimentSettings, SweepSettings
from sweeps.loggers import LogSettings

T = TypeVar("T")
_PRESETS = Path(__file__).parent.parent / "search_spaces" / "presets"
_SMOKE_WORD = "--smoke"
# What YAML 1.1 reads as octal or to the base 60.
_ODD_NUMBER = re.compile(r"[-+]?(0[\d_]+|\d[\d_]*(:[0-5]?\d)+)")


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
    """All settings: `sweep` and `split` are the main job's, `train` and `folds` those of jobs/train.py; both look at
    `log`, and the main job at `folds`, too, where it confirms over folds.

    A preset may hold sections for both; on a command line each job refuses the other's.
    """

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


# What --smoke changes of the main job, beside leaving it the first of its architectures: sizes, nothing else.
SMOKE = (
    "sweep.num_trials=2",
    "sweep.epochs=3",
    "sweep.grace_epochs=1",
    "sweep.seeds=[42,123]",
    "sweep.confirm.best=1",
    "sweep.confirm.seeds=[]",
)


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
