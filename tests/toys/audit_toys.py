"""Small stores of real features for tests of the audit."""

import dataclasses
from pathlib import Path

from pipelines.feature_spec import FeatureSpec
from pipelines.manifest import Clip, Manifest
from pipelines.shards.request import ShardRequest
from pipelines.shards.worker import ShardWorker
from storage.feature_store import FeatureStore
from storage.object_store import open_store


def featurized(root: Path, *clips: Clip, spec: FeatureSpec) -> tuple[Manifest, FeatureStore]:
    """Clips of files below `root`, and their features, computed in one shard and committed below `root/store`."""
    manifest = Manifest(name="data", root=str(root), clips=clips)
    features = FeatureStore(open_store(str(root / "store")), dataset=manifest.dataset, fingerprint=spec.fingerprint)
    worker = ShardWorker(spec, features, backend="cpu")
    request = ShardRequest(index=0, clips_hash="0" * 12, root=str(root), endpoint_url=None, clips=manifest.clips)
    features.commit([worker.compute(request)], spec=dataclasses.asdict(spec), versions={})
    return manifest, features
