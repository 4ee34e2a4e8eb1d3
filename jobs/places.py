"""Settings of places, which jobs that start no Ray have as well: where everything is kept, and where pages go."""

from dataclasses import dataclass


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
class ReportSettings:
    """Where the HTML page goes.

    Attributes:
        folder: local folder for `<sweep id>.html`; the page is also kept in the store, under reports/.
    """

    folder: str = "workspace/reports"
