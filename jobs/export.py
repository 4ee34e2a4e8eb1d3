"""Writes a trained model for other programs: ONNX, or torch.export.

python jobs/export.py model=models/<sweep>/<trial>/seed=42.safetensors to=<folder> format=onnx
python jobs/export.py model=model.safetensors to=s3://bucket/prefix format=torch

The file takes log-mels in dB, (batch, bands, frames) for any batch, and gives probabilities: scaling, resizing and
channels are inside. Labels and the features' parameters are in its metadata. It is loaded again and must say what the
model says, to 1e-4.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field

from jobs.command_line import parse_settings, usage
from jobs.console import run_job, say
from jobs.given_model import open_model, require_places
from jobs.model_features import own_spec
from jobs.places import StorageSettings
from jobs.stages import in_bytes
from storage.object_store import open_store
from training.portable import Format, portable_model


@dataclass(frozen=True, kw_only=True, slots=True)
class ExportSettings:
    """What goes where.

    Attributes:
        model: a path, an s3:// uri, or a key below models/ of the store.
        to: a folder or s3:// prefix; the file in it is model.onnx or model.pt2, and replaces an earlier one.
        format: `onnx`, or `torch` for torch.export's .pt2.
        storage: where the models of sweeps are.
    """

    model: str = ""
    to: str = ""
    format: Format = "onnx"
    storage: StorageSettings = field(default_factory=StorageSettings)


def main(argv: Sequence[str] | None = None) -> int:
    return run_job(_export, argv, usage=usage(__doc__, ExportSettings))


def _export(words: Sequence[str]) -> None:
    settings = parse_settings(ExportSettings, words)
    require_places(settings, ("model", "to"))
    model = open_model(settings)
    shape = own_spec(model.card).feature_shape
    portable = portable_model(model.tensors, model.card, shape=shape, format=settings.format)
    out = open_store(settings.to, endpoint_url=settings.storage.endpoint_url)
    out.put(f"model{portable.suffix}", portable.data)
    bands, frames = shape
    say(f"takes (batch, {bands}, {frames}) in dB, gives {len(model.card.labels)} probabilities")
    say(f"largest difference to the model: {portable.largest_difference:.1e}")
    say(f"{in_bytes(len(portable.data))} in {out.uri}/model{portable.suffix}")


if __name__ == "__main__":
    sys.exit(main())
