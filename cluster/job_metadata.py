"""What a job submitted to a cluster is about, written where `ray job list` and the dashboard show it.

Enters: names and values, a sweep's id for example. Leaves: the metadata of the job's entry, beside what its user gave
with `--metadata-json`. The id of a sweep is a hash that also tells which clips have no features, so that nobody knows
it when the job is submitted; and Ray 2.60 has no call by which a job adds to its own metadata.
"""

import json
import logging
from collections.abc import Mapping

import ray
from ray._private.ray_constants import KV_NAMESPACE_JOB
from ray.dashboard.modules.job.common import JOB_ID_METADATA_KEY, JobInfoStorageClient
from ray.experimental.internal_kv import _internal_kv_get, _internal_kv_put

from cluster.submitted_job import submitted_job


def tell_job(**metadata: str) -> None:
    """Adds to the metadata of the job that this process is the driver of; does nothing where it is no job's.

    Ray itself writes the entry again when the driver has ended, so nobody else writes it now. A job never fails by
    what is told of it: a Ray that keeps its entries elsewhere is a warning.
    """
    job_id = ((submitted_job() or {}).get("metadata") or {}).get(JOB_ID_METADATA_KEY)
    if job_id is None or not ray.is_initialized():
        return
    try:
        _add(job_id, metadata)
    except Exception as e:
        logging.getLogger(__name__).warning("the job's entry does not tell of %s: %s", ", ".join(metadata), e)


def _add(job_id: str, metadata: Mapping[str, str]) -> None:
    key = JobInfoStorageClient.JOB_DATA_KEY.format(job_id=job_id).encode()
    entry = json.loads(_internal_kv_get(key, namespace=KV_NAMESPACE_JOB) or b"")
    entry["metadata"] = {**(entry.get("metadata") or {}), **metadata}
    _internal_kv_put(key, json.dumps(entry).encode(), overwrite=True, namespace=KV_NAMESPACE_JOB)
