"""Features at rest: `features/<dataset>/<fingerprint>/`, immutable Parquet shards, a quarantine and a commit marker.

Enters: tables of feature rows, shard by shard, from any process. Leaves: one table, or arrays, and only once
`_MANIFEST.json` says that the shards are complete: without that object a reader sees nothing.

    part-00003-<hash>.parquet                   feature rows of one shard of clips; its metadata hold the counts, and
                                                the <reasons> of its quarantine
    quarantine-00003-<hash>-<reasons>.parquet   the clips and variants of that shard that have none, with the reason
                                                (absent if there are none); <reasons> is the hash of its rows
    _CLIPS.parquet                              the clips whose rows a later version of the data set may copy
    _MANIFEST.json                              written last: the shards, their quarantines, the counts, the spec

Two jobs may write the same shard with other outcomes, as a clip may meet a time limit in one of them alone. The first
part stays and tells which quarantine is its own; the other one's quarantine is garbage that nobody is told of. Stores
written before keys of quarantines had <reasons> are read as they are: their parts and markers do not tell it.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pyarrow as pa

from storage.errors import InvalidInput, ObjectNotFound, StorageError, nearest
from storage.feature_rows import Where, iterate_rows, rows_per_group
from storage.feature_schemas import CLIPS_SCHEMA, FEATURE_COLUMNS, KEY_COLUMNS, QUARANTINE_SCHEMA, feature_schema
from storage.features import Features, LoadedType, gather
from storage.identity import content_hash
from storage.object_store import ObjectStore
from storage.parquet import open_parquet, read_parquet, select_columns, to_parquet
from storage.parts import MARKER, Parts
from storage.shards import COUNTS, Shard, ShardContent

__all__ = [
    "MARKER",
    "QUARANTINE_SCHEMA",
    "FeatureStore",
    "Features",
    "Shard",
    "ShardContent",
    "Where",
    "complete_features",
    "feature_schema",
]

_CLIPS = "_CLIPS.parquet"
_MARKER_FIELDS = ("dataset", "fingerprint", *COUNTS, "shards", "quarantines", "spec", "versions")
_REASONS_HASH = "reasons_hash"  # in the metadata of a part


def complete_features(store: ObjectStore) -> list[tuple[str, str]]:
    """(data set, fingerprint) of all features with a commit marker; one listing."""
    places = (info.key.split("/") for info in store.list("features/"))
    return [(place[1], place[2]) for place in places if len(place) == 4 and place[3] == MARKER]


class FeatureStore:
    """The features of one data set under one fingerprint. Writing a shard is atomic and idempotent; any process may."""

    def __init__(self, store: ObjectStore, *, dataset: str, fingerprint: str) -> None:
        self.store, self.dataset, self.fingerprint = store, dataset, fingerprint
        self.prefix = f"features/{dataset}/{fingerprint}/"
        # Where there were no variants yet, and where the keys of quarantines followed from the shards.
        absent_once = {"num_variants_quarantined": 0, "quarantines": None}
        self._parts = Parts(store, self.prefix, fields=_MARKER_FIELDS, defaults=absent_once)

    @property
    def uri(self) -> str:
        return f"{self.store.uri}/{self.prefix}"

    def write_shard(self, shard: Shard, rows: pa.Table, quarantine: pa.Table) -> Shard:
        """Stores a shard; its part comes last, so that a part is never without its quarantine.

        A part that is there is never replaced: another job may have counted it. (The two can differ, where one of them
        lost a clip to a time limit.) Nor is its quarantine, whose key no other outcome has.

        Args:
            shard: `reasons_hash` is found here.

        Returns:
            The shard that is stored.
        """
        if rows.num_rows != shard.num_rows or quarantine.num_rows != shard.num_reasons:
            raise AssertionError(f"{shard} does not describe {rows.num_rows} rows, {quarantine.num_rows} quarantined")
        shard = replace(shard, reasons_hash=_reasons_hash(quarantine))
        if shard.num_reasons:
            # Written even if it is there: it may be empty, or be garbage to a collector, who leaves what is new alone.
            self.store.put(self._quarantine_key(shard), to_parquet(quarantine))
        # In the place of what the table may bring along: it can be made of another part.
        metadata = {name: str(getattr(shard, name)) for name in COUNTS}
        if shard.num_reasons:
            metadata[_REASONS_HASH] = shard.reasons_hash
        rows = rows.replace_schema_metadata(metadata)
        group = rows_per_group(rows.schema.field("log_mel").type)
        key = self._parts.key(shard.index, shard.clips_hash)
        data = to_parquet(rows, rows_per_group=group)
        if self.store.put_if_absent(key, data):
            return shard
        is_empty = not self.store.size_bytes(key)  # a disk that was full, or a hand
        earlier = None if is_empty else self.find_shard(shard.index, shard.clips_hash)
        if earlier is None:  # its quarantine is lost
            self.store.put(key, data)
        return earlier or shard

    def forget(self, reasons: Collection[str]) -> int:
        """Takes away every shard with a clip or variant that is quarantined for one of `reasons`, to be made again.

        Returns:
            How many. The features are not complete then.
        """
        going = [
            shard
            for shard in self._quarantined_shards()
            if {*self._reasons_of(shard).column("reason").to_pylist()} & set(reasons)
        ]
        if going:
            self.withdraw()
        for shard in going:
            self.store.delete(self._parts.key(shard.index, shard.clips_hash))  # first
            self.store.delete(self._quarantine_key(shard))
        return len(going)

    def find_shard(self, index: int, clips_hash: str) -> Shard | None:
        """The finished shard made from just these clips, or None; a part whose quarantine is lost is not finished.

        Reads the footer of the part alone.
        """
        try:
            with open_parquet(self.store, self._parts.key(index, clips_hash)) as part:
                shard = _described(part.schema_arrow, index, clips_hash)
        except ObjectNotFound:
            return None
        if shard.num_reasons and not self.store.size_bytes(self._quarantine_key(shard)):
            return None
        return shard

    def read_back(self, shard: Shard) -> ShardContent:
        """The clips and variants that a finished shard accounts for, by rows or by quarantine.

        Raises:
            StorageError: its part or its quarantine is missing or damaged, or the part is of another outcome: somebody
                has taken it away since it was found, and somebody has made it again.
        """
        with open_parquet(self.store, self._parts.key(shard.index, shard.clips_hash)) as file:
            stored = _described(file.schema_arrow, shard.index, shard.clips_hash)
            part = select_columns(file, ["clip_id", "variant"])
        if stored != shard:
            raise StorageError(f"{self.uri}: another job has replaced shard {shard.index}. Run the same command again.")
        quarantine = self._reasons_of(shard) if shard.num_reasons else QUARANTINE_SCHEMA.empty_table()
        return ShardContent(with_rows=_pairs(part), quarantined=_pairs(quarantine), num_rows=part.num_rows)

    def read_shard(
        self,
        index: int,
        clips_hash: str,
        *,
        columns: Sequence[str] | None = None,
        where: Where | None = None,
    ) -> pa.Table:
        """Rows of one part, committed or not; of all columns, or of those named.

        Raises:
            ObjectNotFound: there is no such part.
            StorageError: it is damaged.
        """
        with open_parquet(self.store, self._parts.key(index, clips_hash)) as part:
            schema = part.schema_arrow.remove_metadata()
            if columns is not None:
                schema = pa.schema([schema.field(name) for name in columns])
            return pa.concat_tables([schema.empty_table(), *iterate_rows(part, columns, where)])

    def write_clips(self, clips: Sequence[Mapping[str, str | int]]) -> None:
        """Stores, before the commit, which clips later versions of the data set may copy: rows of CLIPS_SCHEMA."""
        self.store.put(self.prefix + _CLIPS, to_parquet(pa.Table.from_pylist(list(clips), schema=CLIPS_SCHEMA)))

    def clips(self) -> pa.Table:
        """What `write_clips` stored; empty where nothing was."""
        try:
            return read_parquet(self.store, self.prefix + _CLIPS).select(CLIPS_SCHEMA.names)
        except ObjectNotFound:
            return CLIPS_SCHEMA.empty_table()

    def finished_shards(self) -> set[tuple[int, str]]:
        """(index, clips_hash) of every part that is there; one listing."""
        return self._parts.finished()

    def commit(self, shards: Sequence[Shard], *, spec: dict[str, Any], versions: dict[str, str]) -> dict[str, Any]:
        """Writes the commit marker; the caller has reconciled the counts. A second commit changes nothing.

        Returns:
            The marker that is stored: the first one, whoever wrote it.
        """
        marker = {
            "dataset": self.dataset,
            "fingerprint": self.fingerprint,
            **{name: sum(getattr(shard, name) for shard in shards) for name in COUNTS},
            "shards": [[shard.index, shard.clips_hash, shard.num_reasons] for shard in shards],
            "quarantines": [
                self._quarantine_key(shard).removeprefix(self.prefix) for shard in shards if shard.num_reasons
            ],
            "spec": spec,
            "versions": versions,
        }
        return self._parts.commit(marker)

    def marker(self) -> dict[str, Any] | None:
        """What the commit marker says, or None while the features are not complete.

        Raises:
            StorageError: the marker is damaged.
        """
        return self._parts.marker()

    def withdraw(self) -> None:
        """Takes the commit marker away: the features are no longer complete, their shards stay."""
        self._parts.withdraw()

    def has_all_objects(self, marker: dict[str, Any]) -> bool:
        """Whether every object that a commit marker names is there and not empty; one listing."""
        return self._parts.has_all(self.object_keys(marker))

    def object_keys(self, marker: dict[str, Any]) -> set[str]:
        """The keys of all shards that a commit marker names, and of their quarantines."""
        return {*self._part_keys(marker), *self._quarantine_keys(marker)}

    def batches(
        self, *, columns: Sequence[str] | None = None, where: Where | None = None, skip_rows: int = 0
    ) -> Iterator[pa.Table]:
        """Feature rows in the order of the manifest, piece by piece, each of a few MiB; fetched as they are asked for.

        Of every part the footer is read, of a `where` the columns that decide, and of row groups with wanted rows the
        `columns` asked for. `log_mel` is as stored: of `uint8`, `load` and `AffineScale` know the dB.

        Args:
            columns: names of `feature_schema`; None for all.
            where: which rows; None for all.
            skip_rows: of those that would come first, the number that is left out; not with `where`.

        Raises:
            InvalidInput: there is no such column.
            StorageError: the features are not complete, or a part is missing or damaged.
        """
        assert where is None or not skip_rows
        unknown = [name for name in columns or () if name not in FEATURE_COLUMNS]
        if unknown:
            hint = nearest(unknown[0], FEATURE_COLUMNS)
            raise InvalidInput("columns", given=unknown[0], allowed=", ".join(FEATURE_COLUMNS), remedy=hint)
        for key in self._part_keys(self._committed()):
            with open_parquet(self.store, key) as part:
                if part.metadata.num_rows <= skip_rows:
                    skip_rows -= part.metadata.num_rows
                    continue
                for table in iterate_rows(part, columns, where):
                    if table.num_rows > skip_rows:
                        yield table.slice(skip_rows)
                    skip_rows = max(0, skip_rows - table.num_rows)

    def read(self, *, columns: Sequence[str] | None = None, where: Where | None = None) -> pa.Table:
        """The rows of `batches` as one table, with its columns even where there is no row.

        Raises:
            InvalidInput, StorageError: as `batches`.
        """
        tables = list(self.batches(columns=columns, where=where))
        schema = self.schema()
        if columns is not None:
            schema = pa.schema([schema.field(name) for name in columns])
        return pa.concat_tables([schema.empty_table(), *tables])

    def schema(self) -> pa.Schema:
        """The columns as stored (`feature_schema`).

        Raises:
            StorageError: the features are not complete, or the first part is missing or damaged.
        """
        with open_parquet(self.store, self._part_keys(self._committed())[0]) as part:
            schema = part.schema_arrow.remove_metadata()
            missing = sorted({*FEATURE_COLUMNS} - {*schema.names})
            if missing:  # told as damage
                raise ValueError(f"it has no column {missing[0]!r}")
            return schema

    def quarantine(self) -> pa.Table:
        """The clips and variants without features and why, as QUARANTINE_SCHEMA.

        Raises:
            StorageError: the features are not complete.
        """
        tables = map(self._read_quarantine, self._quarantine_keys(self._committed()))
        return pa.concat_tables([QUARANTINE_SCHEMA.empty_table(), *tables])

    def quarantine_hash(self) -> str:
        """Which clips and variants have no features, as 16 hexadecimal digits; empty where all have some.

        With the data set and the fingerprint it tells which rows there are, on any store, however they were cut into
        shards and for whatever reason the others are missing.

        Raises:
            StorageError: the features are not complete.
        """
        missing = sorted(_pairs(self.quarantine()))
        return content_hash(missing) if missing else ""

    def reasons_so_far(self) -> pa.Table:
        """As `quarantine`, of every shard that is there, whether the features are complete or not."""
        tables = map(self._reasons_of, self._quarantined_shards())
        return pa.concat_tables([QUARANTINE_SCHEMA.empty_table(), *tables])

    def load(self, *, where: Where | None = None, dtype: LoadedType | None = None) -> Features:
        """Reads log-mels in dB, and what a split needs, into contiguous memory that is allocated once.

        Beside the array, a piece of `batches` is in memory: a few MiB, whatever the size of the features.

        Args:
            dtype: of the array; None for the stored one, and float16 for `uint8`. Of features stored as `uint8` each
                value is within half a step of what was computed (`AffineScale`), plus half a unit in float16's last
                place.

        Raises:
            StorageError: as `batches`, or rows are missing.
        """
        keys = self.read(columns=KEY_COLUMNS, where=where)
        marker = self.marker()
        if where is None and marker is not None and keys.num_rows != marker["num_rows"]:
            raise StorageError(f"{self.uri} has {keys.num_rows} of {marker['num_rows']} rows. Delete it and run again.")
        return gather(keys, self.log_mels(where=where), field=self.schema().field("log_mel"), dtype=dtype)

    def log_mels(self, *, where: Where | None = None, skip_rows: int = 0) -> Iterator[pa.ChunkedArray]:
        """The column log_mel of `batches`, as stored.

        Raises:
            StorageError: as `batches`, or parts do not agree in what they store.
        """
        field = self.schema().field("log_mel")
        for batch in self.batches(columns=["log_mel"], where=where, skip_rows=skip_rows):
            if not batch.schema.field(0).equals(field, check_metadata=True):
                raise StorageError(f"{self.uri}: parts differ in log_mel. Delete the folder and run again.")
            yield batch.column(0)

    def _quarantined_shards(self) -> list[Shard]:
        """Finished shards with a quarantine; reads the footers of parts beside which one lies, their own or not."""
        prefix = self.prefix + "quarantine-"
        names = {info.key.removeprefix(prefix).removesuffix(".parquet") for info in self.store.list(prefix)}
        names |= {name.rpartition("-")[0] for name in names}  # without the hash of the reasons
        beside = (place for place in sorted(self.finished_shards()) if f"{place[0]:05d}-{place[1]}" in names)
        found = (self.find_shard(index, clips_hash) for index, clips_hash in beside)
        return [shard for shard in found if shard is not None and shard.num_reasons]

    def _reasons_of(self, shard: Shard) -> pa.Table:
        return self._read_quarantine(self._quarantine_key(shard))

    def _read_quarantine(self, key: str) -> pa.Table:
        table = read_parquet(self.store, key)
        if "variant" not in table.schema.names:  # stored before there were variants other than the original
            table = table.append_column("variant", pa.array(["original"] * table.num_rows))
        return table.select(QUARANTINE_SCHEMA.names).cast(QUARANTINE_SCHEMA)

    def _committed(self) -> dict[str, Any]:
        marker = self.marker()
        if marker is None:
            raise StorageError(f"{self.uri} holds no complete features. Run jobs/featurize.py with the same settings.")
        return marker

    def _part_keys(self, marker: dict[str, Any]) -> list[str]:
        return [self._parts.key(index, clips_hash) for index, clips_hash, _ in marker["shards"]]

    def _quarantine_keys(self, marker: dict[str, Any]) -> list[str]:
        if marker["quarantines"] is not None:
            return [self.prefix + name for name in marker["quarantines"]]
        shards = (shard for shard in marker["shards"] if shard[2])
        return [self._parts.key(index, clips_hash, kind="quarantine") for index, clips_hash, _ in shards]

    def _quarantine_key(self, shard: Shard) -> str:
        name = f"{shard.clips_hash}-{shard.reasons_hash}" if shard.reasons_hash else shard.clips_hash
        return self._parts.key(shard.index, name, kind="quarantine")


def _described(schema: pa.Schema, index: int, clips_hash: str) -> Shard:
    """What the metadata of a part tell of its shard."""
    told = {name.decode(): value.decode() for name, value in (schema.metadata or {}).items()}
    counts: dict[str, Any] = {name: int(told.get(name, 0)) for name in COUNTS}
    return Shard(index=index, clips_hash=clips_hash, **counts, reasons_hash=told.get(_REASONS_HASH, ""))


def _reasons_hash(quarantine: pa.Table) -> str:
    """12 hexadecimal digits for the rows of a quarantine, whichever release of Arrow writes them; empty for none."""
    return content_hash(quarantine.to_pylist(), length=12) if quarantine.num_rows else ""


def _pairs(table: pa.Table) -> frozenset[tuple[str, str]]:
    clip_ids, variants = table.column("clip_id").to_pylist(), table.column("variant").to_pylist()
    return frozenset(zip(clip_ids, variants, strict=True))
