"""The proof that nothing was lost: every variant of every clip has rows or a reason, read back from the store.

Enters: a manifest, a spec, and shards that workers say are finished. Leaves: what the shards hold, or an error that
names the first clip that is missing.
"""

from collections.abc import Iterable, Mapping, Sequence

from pipelines.feature_spec import FeatureSpec
from pipelines.manifest import Manifest
from pipelines.shards.request import ShardRequest
from pipelines.variants import ORIGINAL
from storage.errors import StorageError
from storage.feature_store import FeatureStore, Shard, ShardContent


def reconcile(
    manifest: Manifest,
    spec: FeatureSpec,
    requests: Sequence[ShardRequest],
    done: Mapping[int, Shard],
    features: FeatureStore,
) -> dict[int, ShardContent]:
    """Holds that every variant of every clip has rows or a reason, and not both.

    Reads the ids back from the store rather than trusting counters.

    Returns:
        What it read, by the shard's index.

    Raises:
        StorageError: the counts do not close, or nothing but quarantined clips would be committed.
    """
    contents = {
        request.index: _read_back(done[request.index], request, features)
        for request in requests
        if request.index in done  # clips of all others are told as lost
    }
    refused = {index: _refused(content, spec) for index, content in contents.items()}
    expected = {(clip.clip_id, variant) for clip in manifest.clips for variant in spec.variants}
    found = {pair for index, content in contents.items() for pair in content.with_rows | refused[index]}
    if found != expected:
        lost, strange = _in_words(expected - found), _in_words(found - expected)
        what = "clips" if len(spec.variants) == 1 else "variants of clips"
        raise StorageError(
            f"{features.uri}: of {len(expected)} {what} {len(lost)} have neither features nor a reason "
            f"(first: {lost[:1]}), {len(strange)} are unknown (first: {strange[:1]}). Nothing was committed; "
            "delete the folder and run the same command again."
        )
    if all(shard.num_rows == 0 for shard in done.values()):
        raise StorageError(
            f"{features.uri}: every one of {len(manifest.clips)} clips would be quarantined. Nothing was committed. "
            "Check that the recordings can be read and decoded on every node, empty the folder and run again."
        )
    for index, content in contents.items():  # a clip of several windows can lose one and still be found
        _hold_rows(done[index], content, refused[index], features)
    return contents


def _read_back(shard: Shard, request: ShardRequest, features: FeatureStore) -> ShardContent:
    content = features.read_back(shard)
    if shard.clips_hash != request.clips_hash:
        raise StorageError(
            f"{features.uri}: shard {shard.index} was made from other clips. Delete the folder and rerun."
        )
    return content


def _hold_rows(shard: Shard, content: ShardContent, refused: set[tuple[str, str]], features: FeatureStore) -> None:
    both = _in_words(content.with_rows & refused)
    if content.num_rows != shard.num_rows:
        what = f"has {content.num_rows} of {shard.num_rows} rows"
    elif both:
        what = f"has rows and a reason against them (first: {both[:1]})"
    else:
        return
    raise StorageError(f"{features.uri}: shard {shard.index} {what}. Delete the folder and run the same command again.")


def _refused(content: ShardContent, spec: FeatureSpec) -> set[tuple[str, str]]:
    """The quarantined pairs; a clip whose original is quarantined has rows of no variant."""
    whole = {clip_id for clip_id, variant in content.quarantined if variant == ORIGINAL}
    return {*content.quarantined, *((clip_id, variant) for clip_id in whole for variant in spec.variants)}


def _in_words(pairs: Iterable[tuple[str, str]]) -> list[str]:
    return [clip_id if variant == ORIGINAL else f"{clip_id} as {variant}" for clip_id, variant in sorted(pairs)]
