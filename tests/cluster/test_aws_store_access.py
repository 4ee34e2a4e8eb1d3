"""What each role of the AWS stack may do with the store: all that the project does, and no more.

The project's own code works on a store of moto's through a client that asks the role's policies before each request.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.request import Request as HttpRequest
from urllib.request import urlopen

import boto3
import numpy as np
import pytest
import torch
from aws_stack import Stack
from botocore.exceptions import ClientError
from compaction_toys import EVER, SWEEP, write
from feature_toys import commit_rows, make_rows
from iam_policies import Request, allows, guard, s3_request
from store_toys import keys_of

from storage.checkpoints import Checkpoint, Checkpoints
from storage.compaction import compact, tidy
from storage.embedding_store import EmbeddingStore
from storage.errors import ObjectNotFound, StorageError
from storage.feature_store import FeatureStore
from storage.garbage import delete_garbage, find_garbage
from storage.generations import Partition
from storage.model_file import delete_models
from storage.object_store import ObjectStore, probe
from storage.part_rows import ROW_KEY, parts_with_rows
from storage.predictions import Predictions
from storage.results_table import ResultsTable
from storage.s3 import S3ObjectStore

_ROLES = ("head", "worker", "collector")
# Every folder of the store; a node deletes in those of its role alone.
_DELETED_BY = {
    "_probe/x": {"head"},
    "audits/esc-1/f00d/page.html": set(),
    "checkpoints/sweep-a/t0/seed=1/step-00000002.safetensors": {"head", "worker"},
    "compacted/trials/sweep=a/00000001.json": set(),
    "embeddings/esc-1/f00d/beef/_MANIFEST.json": set(),
    "embeddings/esc-1/f00d/beef/part-00000-0000.parquet": {"head"},
    "experiments/0001/experiment.json": set(),
    "features/esc-1/f00d/_MANIFEST.json": set(),
    "features/esc-1/f00d/part-00000-0000.parquet": set(),
    "models/sweep-a/t0/seed=1.safetensors": {"head"},
    "predictions/esc-1/a/part-0.parquet": {"head"},
    "reports/sweep-a.html": set(),
    "results/trials/sweep=a/t0.parquet": set(),
    "splits/esc-1/abc.json": set(),
}


def _open(stack: Stack, role: str, refused: list[Request] | None = None, *, uri: str = "") -> S3ObjectStore:
    store = S3ObjectStore(uri or stack.store_uri)
    guard(store.client, stack.policies[role], refused)
    return store


def _features(store: ObjectStore, fingerprint: str) -> FeatureStore:
    features = FeatureStore(store, dataset="esc-1", fingerprint=fingerprint)
    commit_rows(features, [make_rows(np.zeros((2, 2, 3), dtype=np.float16))])
    return features


@pytest.mark.parametrize("role", ["head", "worker"])
def test_a_node_computes_stores_and_resumes(stack: Stack, role: str) -> None:
    refused: list[Request] = []
    store = _open(stack, role, refused)
    features = _features(store, f"{role}f00d")
    assert len(features.load().clip_ids) == 2
    embeddings = EmbeddingStore(features, "beef")
    parts = parts_with_rows(features)
    for part in parts:
        keys = features.read_shard(part.index, part.clips_hash, columns=ROW_KEY)
        embeddings.write_part(part.index, part.clips_hash, keys, np.zeros((keys.num_rows, 4), dtype=np.float32))
    embeddings.commit(parts, spec={}, versions={})
    checkpoints = Checkpoints(store, f"checkpoints/{role}/t0")
    assert checkpoints.newest("seed=1") is None
    for step in (1, 2):
        checkpoints.save("seed=1", Checkpoint(step=step, tensors={"w": torch.ones(2)}, state={}))
    assert len(keys_of(store, f"checkpoints/{role}/")) == 1
    newest = checkpoints.newest("seed=1")
    assert newest is not None
    assert newest.step == 2
    checkpoints.delete_all()
    assert [write(store, commit, sweep_id=role) for commit in ("t0", "t1", "t0")] == [True, True, False]
    assert compact(store, Partition(table="failures", sweep_id=role), min_commits=1).num_commits == 2
    store.put(f"reports/{role}.html", b"<p>")
    with pytest.raises(ObjectNotFound):
        store.get("splits/esc-1/none.json")
    assert store.size_bytes("splits/esc-1/none.json") is None
    assert refused == []


def test_the_driver_on_the_head_clears_up_what_it_replaces(stack: Stack) -> None:
    refused: list[Request] = []
    store = _open(stack, "head", refused)
    probe(store)
    assert keys_of(store, "_probe/") == []
    store.put("models/sweep-a/t1/seed=1.safetensors", b"m")
    delete_models(store, "sweep-a", "t1")
    predictions = Predictions(_open(stack, "head", refused, uri=f"{stack.store_uri}/predictions/esc-1/a"))
    predictions.write_part("00000-a", b"part")
    assert predictions.finished_parts(["00001-b"]) == set()
    embeddings = EmbeddingStore(_features(store, "stale"), "beef")
    store.put("embeddings/esc-1/stale/beef/part-00000-0000.parquet", b"part")
    embeddings.delete_parts([(0, "0000")])
    assert not keys_of(store, "models/") + keys_of(store, "predictions/") + keys_of(store, "embeddings/esc-1/stale/")
    assert refused == []


def test_a_worker_can_check_the_store_although_it_may_not_clear_up_after_it(stack: Stack) -> None:
    refused: list[Request] = []
    probe(_open(stack, "worker", refused))
    assert [request.action for request in refused] == ["s3:DeleteObject"]


def test_the_collector_deletes_features_and_tidies_results(stack: Stack) -> None:
    store = _open(stack, "collector")
    features = _features(_open(stack, "worker"), "beef")
    for commit in ("t0", "t1"):
        write(_open(stack, "worker"), commit)
    compact(store, SWEEP, min_commits=1)
    assert tidy(store, SWEEP, settled_before=EVER).num_deleted == 2
    assert ResultsTable(store).read("failures", sweep_id=SWEEP.sweep_id).num_rows == 2
    (garbage,) = (
        found for found in find_garbage(store, referred=(), written_before=EVER).garbage if found.fingerprint == "beef"
    )
    assert delete_garbage(store, garbage)
    assert keys_of(store, features.prefix) == []


@pytest.mark.parametrize("role", ["head", "worker"])
def test_a_node_that_collects_or_tidies_is_refused_and_deletes_nothing(stack: Stack, role: str) -> None:
    store = _open(stack, role)
    features = _features(store, f"{role}beef")
    before = keys_of(store, features.prefix)
    with pytest.raises(StorageError, match="refused access"):
        features.withdraw()
    garbage = [item for item in find_garbage(store, referred=(), written_before=EVER).garbage if role in item.prefix]
    with pytest.raises(StorageError, match="refused access"):
        delete_garbage(store, garbage[0])
    assert keys_of(store, features.prefix) == before


@pytest.mark.parametrize("role", ["head", "worker"])
def test_no_node_replaces_a_result(stack: Stack, role: str) -> None:
    store = _open(stack, role)
    for key in ("results/trials/sweep=a/t0.parquet", "compacted/trials/sweep=a/00000001.json"):
        store.put_if_absent(key, b"first")
        with pytest.raises(StorageError, match="refused access"):
            store.put(key, b"second")
        assert store.get(key) == b"first"


@pytest.mark.parametrize("role", _ROLES)
@pytest.mark.parametrize("key", _DELETED_BY)
def test_who_may_delete_what(stack: Stack, role: str, key: str) -> None:
    bucket, _, prefix = stack.store_uri.removeprefix("s3://").partition("/")
    request = s3_request("DeleteObject", {"Bucket": bucket, "Key": f"{prefix}/{key}"})
    assert allows(stack.policies[role], request) == (role == "collector" or role in _DELETED_BY[key])


@pytest.mark.parametrize("role", _ROLES)
@pytest.mark.parametrize("uri", ["s3://{bucket}", "s3://{bucket}/team", "s3://{bucket}/team/melsweep-2", "s3://other"])
def test_beside_the_prefix_nothing_is_read_written_listed_or_deleted(stack: Stack, role: str, uri: str) -> None:
    bucket = stack.store_uri.removeprefix("s3://").partition("/")[0]
    store = _open(stack, role, uri=uri.format(bucket=bucket))
    touches: list[Callable[[str], Any]] = [store.get, store.delete, store.size_bytes]
    for touch in (*touches, lambda key: store.put(key, b""), lambda key: list(store.list(key))):
        with pytest.raises(StorageError, match="refused access"):
            touch("checkpoints/x")


def test_recordings_are_read_by_the_nodes_and_never_written(stack: Stack) -> None:
    bucket = stack.recordings_uri.removeprefix("s3://").partition("/")[0]
    boto3.client("s3").put_object(Bucket=bucket, Key="recordings/a.wav", Body=b"RIFF")
    for role in ("head", "worker"):
        recordings = _open(stack, role, uri=stack.recordings_uri)
        assert keys_of(recordings) == ["a.wav"]
        assert recordings.get("a.wav") == b"RIFF"
        with pytest.raises(StorageError, match="refused access"):
            recordings.put("a.wav", b"")
        with pytest.raises(StorageError, match="refused access"):
            recordings.delete("a.wav")


@contextmanager
def _enforced(endpoint_url: str, *, after_calls: float) -> Iterator[None]:
    def set_calls(number: float) -> None:
        plain = {"Content-Type": "text/plain"}
        with urlopen(HttpRequest(f"{endpoint_url}/moto-api/reset-auth", data=str(number).encode(), headers=plain)):
            pass

    set_calls(after_calls)
    try:
        yield
    finally:
        set_calls(float("inf"))


@pytest.mark.parametrize("role", _ROLES)
def test_moto_enforces_the_same(stack: Stack, s3_server: str, role: str) -> None:
    """moto heeds actions and resources, no conditions: one that denies under a condition is left out for it."""
    policies = [
        {**policy, "Statement": [statement for statement in policy["Statement"] if statement["Effect"] == "Allow"]}
        for policy in stack.policies[role]
    ]
    bucket, _, prefix = stack.store_uri.removeprefix("s3://").partition("/")
    iam, user = boto3.client("iam"), f"as-{role}"
    iam.create_user(UserName=user)
    for number, policy in enumerate(policies):
        iam.put_user_policy(UserName=user, PolicyName=str(number), PolicyDocument=json.dumps(policy))
    key = iam.create_access_key(UserName=user)["AccessKey"]
    client = boto3.client(
        "s3", aws_access_key_id=key["AccessKeyId"], aws_secret_access_key=key["SecretAccessKey"], endpoint_url=s3_server
    )
    with _enforced(s3_server, after_calls=0):
        for name in (*(f"{prefix}/{key}" for key in _DELETED_BY), "team/other", "x"):
            for operation in ("get_object", "head_object", "put_object", "delete_object"):
                given: dict[str, Any] = {"Bucket": bucket, "Key": name}
                called = operation.title().replace("_", "")
                assert _is_permitted(client, operation, given) == allows(policies, s3_request(called, given)), given


def _is_permitted(client: Any, operation: str, given: dict[str, Any]) -> bool:
    try:
        getattr(client, operation)(**given)
    except ClientError as e:
        code = e.response["Error"]["Code"]
        assert code in {"AccessDenied", "403", "NoSuchKey", "404"}, code
        return code in {"NoSuchKey", "404"}
    return True


def test_the_gate_of_these_tests_refuses_what_it_does_not_know() -> None:
    request = Request(action="s3:GetObject", resource="arn:aws:s3:::b/k")
    allow = {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}
    assert allows([{"Statement": [allow]}], request)
    assert not allows([{"Statement": [allow, {**allow, "Effect": "Deny"}]}], request)
    assert not allows([], request)
    for odd in ({"NotAction": "s3:Put*"}, {"Condition": {"IpAddress": {"aws:SourceIp": "192.0.2.1"}}}):
        with pytest.raises(ValueError, match="not known here"):
            allows([{"Statement": [{**allow, **odd}]}], request)
    with pytest.raises(ValueError, match="not known here"):
        s3_request("CopyObject", {"Bucket": "b", "Key": "k"})
