"""Small files that claim to be large, or become large when they are unpacked."""

import gzip
import io
import json
import struct
import zipfile
from collections.abc import Callable

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import safetensors.torch
import soundfile
import torch

CLAIMED = 2**31  # bytes, samples or rows: 2 GiB at least
_UNPACKED = 2**28  # bytes that a small file unpacks to, where it is made of them


def false_safetensors() -> dict[str, bytes]:
    """Headers of 2 GB, tensors of 2 GB, headers without an end to their brackets."""
    header = {"w": {"dtype": "F32", "shape": [CLAIMED // 4], "data_offsets": [0, CLAIMED]}}
    nested = b'{"w":' + b"[" * 200_000
    return {
        "a header of 2 GB": struct.pack("<Q", CLAIMED) + b'{"w":{}}' + bytes(100),
        "a header of exabytes": struct.pack("<Q", 2**62) + b'{"w":{}}' + bytes(100),
        "a tensor of 2 GB": _with_header(json.dumps(header).encode()) + bytes(100),
        "endless brackets": _with_header(nested),
    }


def false_cards() -> dict[str, bytes]:
    """Models whose cards ask for other layers than the file has weights of, or are no cards."""
    card = {
        **{"format": 1, "architecture": "cnn", "options": {"width": 20_000}, "labels": ["a"], "is_multi_label": False},
        **{"features": {}, "fingerprint": "f", "inputs": {}, "mean_db": 0.0, "deviation_db": 1.0, "dataset": "d"},
        **{"split_hash": "s", "trial": {}, "seed": 1, "best_epoch": 1, "scores": {}},
    }
    wide = {"head.linear.weight": torch.ones(1, 4)}
    return {
        "layers of 100 GB": safetensors.torch.save(wide, {"melsweep_model": json.dumps(card)}),
        "a card of brackets": safetensors.torch.save(wide, {"melsweep_model": "[" * 200_000}),
    }


def false_weights() -> dict[str, bytes]:
    """Of torch.save: packed entries that unpack to half a gigabyte, and one that claims 2 GB."""
    saved = _written(lambda file: torch.save({"w": torch.zeros(4)}, file))
    return {
        "packed entries": _rezipped(saved, zipfile.ZIP_DEFLATED, bytes(_UNPACKED)),
        "an entry of 2 GB": _claiming(saved, CLAIMED - 1),
    }


def false_arrays() -> dict[str, bytes]:
    """.npy: a shape of 2 GB, and a header of 4 GB."""
    shape = _written(
        lambda file: np.lib.format.write_array_header_1_0(
            file, {"descr": "<f4", "fortran_order": False, "shape": (CLAIMED // 4,)}
        )
    )
    return {
        "a shape of 2 GB": shape + bytes(100),
        "a shape of exabytes": shape.replace(str(CLAIMED // 4).encode(), b"9" * 9).replace(b"<f4", b"<f8"),
        "a header of 4 GB": b"\x93NUMPY\x02\x00" + b"\xff" * 4 + b"{'descr': '<f4'}",
    }


def false_parquet(column: str) -> dict[str, bytes]:
    """One text thousands of times; rows of nothing that take room; zeros; a footer that lies."""
    long = "x" * 2**16
    texts = pa.table({column: [long] * 2**6})
    repeated = pa.DictionaryArray.from_arrays(pa.array(np.zeros(2**15, np.int32)), pa.array([long]))
    packed = _parquet([texts] * 2**4, use_dictionary=False)
    return {
        "one text by a dictionary": _parquet([pa.table({column: repeated})], store_schema=False),
        "one text by its difference": _parquet(
            [texts] * 2**4, use_dictionary=False, column_encoding={column: "DELTA_BYTE_ARRAY"}
        ),
        "one text, packed": packed,
        "zeros, packed": _parquet([pa.table({column: np.zeros(2**19)})] * 2**4, use_dictionary=False),
        "lists of nothing": _parquet([pa.table({column: pa.nulls(2**10, pa.list_(pa.float32(), 2**10))})] * 2**4),
        "a footer of 2 GB": packed[:-8] + struct.pack("<I", CLAIMED - 1) + b"PAR1",
    }


def false_hdf5() -> dict[str, bytes]:
    """RadioML with rows that nobody wrote, and with chunks that would be unpacked to gigabytes."""
    return {
        "2,000,000,000 rows of nothing": _hdf5(CLAIMED, 1024, chunks=(1, 1024, 2)),
        "rows of 2 GB": _hdf5(1, CLAIMED // 8, chunks=(1, 1024, 2)),
        "chunks of 2 GB": _hdf5(1, 16, chunks=(CLAIMED // 2**13, 1024, 2)),
    }


def false_recordings() -> dict[str, bytes]:
    """A WAV whose samples, and a FLAC whose length, are said to be of gigabytes."""
    samples = np.random.default_rng(0).uniform(-0.5, 0.5, 8_000)
    wav = _written(lambda file: soundfile.write(file, samples, 8_000, format="WAV"))
    flac = bytearray(_written(lambda file: soundfile.write(file, samples, 8_000, format="FLAC")))
    at = wav.index(b"data") + 4
    flac[21] |= 0x0F  # RFC 9639: the number of samples in 36 bits, from the lower half of byte 21
    flac[22:26] = b"\xff" * 4
    return {
        "2 GB of samples": wav[:at] + struct.pack("<I", CLAIMED) + wav[at + 4 :],
        "68,719,476,735 samples": bytes(flac),
    }


def false_pickles() -> dict[str, bytes]:
    """Of RadioML 2016.10A: bytes and arrays of gigabytes."""
    array = (
        b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntS'b'\ntR(I1\n(I%d\ntcnumpy\ndtype\n"
        b"(S'f4'\nI0\nI1\ntR(I3\nS'<'\nNNNI-1\nI-1\nI0\ntbI00\nS'abcd'\ntb."
    )
    return {
        "bytes of 2 GB": b"\x80\x04\x8e" + struct.pack("<Q", CLAIMED) + b"abc",
        "a bytearray of 2 GB": b"\x80\x05\x96" + struct.pack("<Q", CLAIMED) + b"abc",
        "a memo of 16 GB": b"\x80\x04Nr\xff\xff\xff\x7f.",
        "an array of 2 GB": array % CLAIMED,
    }


def false_tables() -> dict[str, bytes]:
    """A packed table, and a cell without an end."""
    return {
        "packed": gzip.compress(b"uri,label\n" + bytes(_UNPACKED // 4)),
        "no end of a cell": b'uri,label\n"' + b"a,b\n" * 1_000,
    }


def false_archives() -> dict[str, bytes]:
    """An entry that is said to have 2 GB, and a list of entries that is."""
    saved = _written(_one_entry)
    return {
        "an entry of 2 GB": _claiming(saved, CLAIMED - 1),
        "entries of 2 GB": saved[:-10] + struct.pack("<II", CLAIMED, 0) + b"\0\0",
    }


def false_json() -> dict[str, bytes]:
    """Brackets without end, and a number of a million digits."""
    return {"brackets": b"[" * 200_000, "a long number": b'{"shards":' + b"9" * 1_000_000 + b"}"}


def false_counts() -> dict[str, bytes]:
    """Of embeddings: more rows than any memory holds, and fewer than none."""
    fields = {"dataset": "d", "fingerprint": "f", "embedding_id": "e", "parts": [], "spec": {}, "versions": {}}
    sizes = {"rows without end": (2**40, 2**20), "rows of 4 GB": (2**30, 1), "fewer rows than none": (-1, 1)}
    return {
        name: json.dumps({**fields, "num_rows": num_rows, "embedding_size": embedding_size}).encode()
        for name, (num_rows, embedding_size) in sizes.items()
    }


def _with_header(header: bytes) -> bytes:
    return struct.pack("<Q", len(header)) + header


def _written(write: Callable[[io.BytesIO], object]) -> bytes:
    file = io.BytesIO()
    write(file)
    return file.getvalue()


def _parquet(groups: list[pa.Table], **options: object) -> bytes:
    """A file of these row groups, written one after the other so that it takes no memory to make it."""

    def write(file: io.BytesIO) -> None:
        with pq.ParquetWriter(file, groups[0].schema, compression="zstd", **options) as writer:
            for group in groups:
                writer.write_table(group)

    return _written(write)


def _hdf5(num_rows: int, num_samples: int, *, chunks: tuple[int, ...]) -> bytes:
    def write(file: io.BytesIO) -> None:
        with h5py.File(file, "w") as hdf5:
            layout = {"maxshape": (None, None, 2), "chunks": chunks, "compression": "gzip"}
            hdf5.create_dataset("X", (num_rows, num_samples, 2), "f4", **layout)
            hdf5.create_dataset("Y", (num_rows, 24), "i8", chunks=(1, 24))
            hdf5.create_dataset("Z", (num_rows, 1), "i8", chunks=(1, 1))

    return _written(write)


def _one_entry(file: io.BytesIO) -> None:
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("a", bytes(1_000))


def _rezipped(archive: bytes, method: int, largest: bytes) -> bytes:
    """The archive with its entries packed, that of the tensor's values replaced."""

    def write(file: io.BytesIO) -> None:
        with zipfile.ZipFile(io.BytesIO(archive)) as before, zipfile.ZipFile(file, "w", method) as after:
            for entry in before.infolist():
                after.writestr(entry.filename, largest if entry.filename.endswith("data/0") else before.read(entry))

    return _written(write)


def _claiming(archive: bytes, claimed: int) -> bytes:
    """The archive with every size of an entry, here and in its list, replaced by another one."""
    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        entry = max(opened.infolist(), key=lambda entry: entry.file_size)
    sizes = struct.pack("<II", entry.compress_size, entry.file_size)
    return archive.replace(sizes, struct.pack("<II", entry.compress_size, claimed))
