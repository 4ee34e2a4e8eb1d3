"""The settings of the jobs that compute: dataclasses with their defaults, one for each part of the way.

Words of the command line and presets go over these (`command_line.py`); the resolved settings are stored with every
sweep.
"""

from dataclasses import dataclass, field
from pathlib import Path

from jobs.places import ReportSettings, StorageSettings
from pipelines.feature_spec import FeatureSpec
from pipelines.featurize import PipelineSettings
from pipelines.folds import FoldSettings
from pipelines.sources.genres import LabelLevel
from pipelines.splits import SplitSettings
from storage.errors import hold_rules
from sweeps import ExperimentSettings, SweepSettings
from sweeps.loggers import LogSettings


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
class ClusterSettings:
    """Which Ray.

    Attributes:
        address: of a running cluster; None for RAY_ADDRESS, or a private one on this machine.
        num_cpus: cores of a private one; None for all. With --plan, of whatever the plan is for.
        price_per_cpu_hour, price_per_gpu_hour: in any currency, for what --plan prints; None for no price.
    """

    address: str | None = None
    num_cpus: int | None = None
    price_per_cpu_hour: float | None = None
    price_per_gpu_hour: float | None = None

    def __post_init__(self) -> None:
        rules = {
            "num_cpus": (self.num_cpus is None or self.num_cpus >= 1, "null, or 1 or more"),
            "price_per_cpu_hour": (
                self.price_per_cpu_hour is None or self.price_per_cpu_hour >= 0,
                "null, or 0 and more",
            ),
            "price_per_gpu_hour": (
                self.price_per_gpu_hour is None or self.price_per_gpu_hour >= 0,
                "null, or 0 and more",
            ),
        }
        hold_rules("cluster", self, rules)


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
