"""The features of a few clips, at once and without Ray, whose start would take longer than the clips.

Enters: a manifest and a spec. Leaves: what a feature store would hold, made by the same worker in the same
isolated process, in a temporary folder of this machine.
"""

import functools
import pickle
import tempfile

from pipelines.feature_spec import FeatureSpec
from pipelines.featurize import PipelineSettings
from pipelines.iq.uri import check_signals
from pipelines.manifest import Manifest
from pipelines.shards.isolated_worker import IsolatedWorker
from pipelines.shards.request import ShardRequest, shard_of
from pipelines.shards.worker import ShardWorker
from storage.feature_store import Features, FeatureStore
from storage.object_store import open_store

_HASH = "few"


def features_of_few(
    manifest: Manifest, spec: FeatureSpec, settings: PipelineSettings
) -> tuple[Features, list[dict[str, str]]]:
    """Rows of clips, and the quarantine (rows of QUARANTINE_SCHEMA) of all others.

    Args:
        settings: with its backend and device resolved.

    Raises:
        InvalidInput: the backend cannot run here, or the spec's representation is not for these clips.
        StorageError: the recordings' server is at fault.
    """
    check_signals(manifest.clips, spec)
    request = ShardRequest(
        index=0, clips_hash=_HASH, root=manifest.root, endpoint_url=manifest.endpoint_url, clips=manifest.clips
    )
    with tempfile.TemporaryDirectory() as folder:
        scratch = FeatureStore(open_store(folder), dataset=manifest.dataset, fingerprint=spec.fingerprint)
        make_worker = functools.partial(ShardWorker, spec, scratch, backend=settings.backend, device=settings.device)
        worker = IsolatedWorker(pickle.dumps(make_worker), clip_time_limit_s=settings.clip_time_limit_s)
        try:
            shard_of(worker.outcome(request.to_json()))
        finally:
            worker.close()
        return Features.of_rows(scratch.read_shard(0, _HASH)), scratch.reasons_so_far().to_pylist()
