"""Containers by their first bytes: which decoder a file is for, and whether all bytes that it announces are there.

Enters: an encoded file. Only headers and the tail are read, never the samples. libsndfile quietly shortens a cut-off
WAV, AIFF or Ogg to what is there, and FFmpeg most others, so the announced sizes are read here.
"""

from dataclasses import dataclass, replace
from typing import Literal

from pipelines.decoding.encoded import EncodedFile
from pipelines.decoding.rules import Undecodable

_OGG_PAGE_HEADER_BYTES = 27
_OGG_LAST_PAGE_FLAG = 0x04
_OGG_LARGEST_PAGE_BYTES = _OGG_PAGE_HEADER_BYTES + 255 + 255 * 255
_OGG_FOR_LIBSNDFILE = (b"\x01vorbis", b"OpusHead", b"\x7fFLAC")

_MAGIC_FOR_LIBSNDFILE = (b"RF64", b"riff", b"fLaC", b"FORM", b".snd", b"dns.", b"caff")
_ID3_HEADER_BYTES = 10
_MPEG_SYNC, _MPEG_LAYER = 0xFFE0, 0x0006

# More chunks than any recorder writes; a large file of empty chunks must not take hours.
_MAX_CHUNKS = 1024

_ASF_HEADER = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
_ASF_DATA = bytes.fromhex("3626b2758e66cf11a6d900aa0062ce6c")
_EBML, _MATROSKA_SEGMENT = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"
_W64_DATA = bytes.fromhex("64617461f3acd3118cd100c04f8edb8a")
_MP4_BOXES = tuple(b"ftyp moov mdat free skip wide styp sidx moof mfra meta udta uuid".split())


def is_for_libsndfile(encoded: EncodedFile) -> bool:
    """True where the first bytes are those of a container and codec that libsndfile reads.

    Such a file is never given to another decoder: one that libsndfile finds damaged is damaged. MPEG audio is known by
    its frame header, behind an ID3 tag if there is one, Ogg by the codec of its first stream.
    """
    head = encoded.read_at(0, 64)
    if head[:3] == b"ID3":
        head = encoded.read_at(_ID3_HEADER_BYTES + _seven_bits(head[6:10]), 64)
    if head[:4] == b"OggS":
        packet = _OGG_PAGE_HEADER_BYTES + (head[26] if len(head) > 26 else 0)
        return len(head) < packet + 8 or head[packet:].startswith(_OGG_FOR_LIBSNDFILE)
    if head[:4] in (b"RIFF", b"RIFX"):
        return head[8:12] in (b"WAVE", b"")  # RIFF holds AVI too
    sync = int.from_bytes(head[:2], "big")
    is_mpeg = len(head) >= 2 and sync & _MPEG_SYNC == _MPEG_SYNC and sync & _MPEG_LAYER != 0  # layer 0 is AAC
    return is_mpeg or head.startswith(_MAGIC_FOR_LIBSNDFILE)


def check_is_whole(encoded: EncodedFile) -> None:
    """Compares the announced size of a container with the file's.

    Noticed in WAV, RF64, W64, AIFF, AU, CAF, Ogg, MP4/M4A/MOV, Matroska/WebM, ASF/WMA and AVI, however far behind the
    clip the cut lies. Not noticed where the sizes were never filled in (streamed WAV, AU and CAF, live WebM), nor in
    formats that announce none: FLAC and MP3 (their decoder misses samples), ADTS, MPEG streams, AMR (nobody can tell).

    Raises:
        Undecodable: truncated.
    """
    head = encoded.read_at(0, 16)
    layout = _layout(head)
    if layout is not None:
        _check_chunks(encoded, layout)
    elif head[:4] == b"OggS":
        _check_ogg_ends(encoded)
    elif head[:4] == b".snd":
        _check_au(encoded, head)
    elif head[:4] == _EBML:
        _check_matroska(encoded)


def _check_ogg_ends(encoded: EncodedFile) -> None:
    """RFC 3533: the last page of a stream carries a flag, and its segment table gives its length."""
    start = max(0, encoded.size_bytes - _OGG_LARGEST_PAGE_BYTES)
    tail = encoded.read_at(start, _OGG_LARGEST_PAGE_BYTES)
    page = tail.rfind(b"OggS")
    table = page + _OGG_PAGE_HEADER_BYTES
    if page < 0 or len(tail) < table or not tail[page + 5] & _OGG_LAST_PAGE_FLAG:
        raise Undecodable("truncated", "the last Ogg page does not end the stream")
    body = table + tail[table - 1]
    announced = body + sum(tail[table:body])
    if announced > len(tail):
        raise Undecodable(
            "truncated", f"the last Ogg page ends at byte {start + announced}, {encoded.size_bytes} are there"
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class _Layout:
    """How a container lines up its chunks, each with a name, a size and a body.

    Attributes:
        first: position of the first chunk.
        name, size: where they stand in a chunk's header, whose end is the later of the two.
        checked: names of the chunks that must be there to their last byte.
        goes_on: more chunks are checked behind the first of these; otherwise exactly one of them must be there.
        counts_header: sizes include the header.
        padding: a chunk begins at a multiple of so many bytes from its predecessor.
    """

    first: int
    name: slice
    size: slice
    byte_order: Literal["little", "big"]
    checked: tuple[bytes, ...]
    goes_on: bool = False
    counts_header: bool = False
    padding: int = 1

    @property
    def header_bytes(self) -> int:
        return max(self.name.stop, self.size.stop)


_FOUR, _NEXT_FOUR = slice(0, 4), slice(4, 8)
_WAV = _Layout(first=12, name=_FOUR, size=_NEXT_FOUR, byte_order="little", checked=(b"data",), padding=2)
_LAYOUTS = {
    b"RIFF": _WAV,
    b"RF64": _WAV,
    b"RIFX": replace(_WAV, byte_order="big"),
    b"FORM": replace(_WAV, byte_order="big", checked=(b"SSND", b"BODY")),
    b"caff": _Layout(first=8, name=_FOUR, size=slice(4, 12), byte_order="big", checked=(b"data",)),
    b"riff": _Layout(
        first=40,
        name=slice(0, 16),
        size=slice(16, 24),
        byte_order="little",
        checked=(_W64_DATA,),
        counts_header=True,
        padding=8,
    ),
    _ASF_HEADER[:4]: _Layout(
        first=0, name=slice(0, 16), size=slice(16, 24), byte_order="little", checked=(_ASF_DATA,), counts_header=True
    ),
}
_AVI = replace(_WAV, first=0, checked=(b"RIFF",), goes_on=True)
_MP4 = _Layout(
    first=0, name=_NEXT_FOUR, size=_FOUR, byte_order="big", checked=_MP4_BOXES, goes_on=True, counts_header=True
)


def _layout(head: bytes) -> _Layout | None:
    if head[4:8] in _MP4_BOXES:
        return _MP4
    if head[:4] == b"RIFF" and head[8:12] == b"AVI ":
        return _AVI
    return _LAYOUTS.get(head[:4])


def _check_chunks(encoded: EncodedFile, layout: _Layout) -> None:
    position = layout.first
    for _ in range(_MAX_CHUNKS):
        header = encoded.read_at(position, layout.header_bytes)
        if len(header) < layout.header_bytes:
            break
        is_checked = header[layout.name] in layout.checked
        size_bytes = _chunk_size_bytes(encoded, layout, position, header)
        if size_bytes is None or (layout.goes_on and not is_checked):
            return
        missing = position + size_bytes - encoded.size_bytes
        if is_checked and missing > 0:
            raise Undecodable("truncated", f"{missing} of {size_bytes} bytes of the samples are missing")
        if is_checked and not layout.goes_on:
            return
        position += size_bytes + -size_bytes % layout.padding
    if not layout.goes_on:
        raise Undecodable("truncated", "the file ends before its samples")


def _chunk_size_bytes(encoded: EncodedFile, layout: _Layout, position: int, header: bytes) -> int | None:
    """A chunk's length with its header; None where it is not known."""
    announced = header[layout.size]
    size_bytes = int.from_bytes(announced, layout.byte_order)
    if size_bytes >= 2 ** (8 * len(announced)) - 64:  # by a tool that could not seek back to fill in the size
        if encoded.read_at(0, 4) != b"RF64" or position == layout.first:
            return None
        size_bytes = int.from_bytes(encoded.read_at(28, 8), "little")  # EBU Tech 3306: the ds64 chunk holds it
    if layout is _MP4 and size_bytes == 0:  # ISO/IEC 14496-12: up to the end of the file
        return None
    if layout is _MP4 and size_bytes == 1:  # the same: the size stands behind the name, in 8 bytes
        size_bytes = int.from_bytes(encoded.read_at(position + 8, 8), "big")
    return max(size_bytes if layout.counts_header else size_bytes + layout.header_bytes, layout.header_bytes)


def _check_au(encoded: EncodedFile, head: bytes) -> None:
    """The header holds where the samples begin and how many bytes they have; all ones where that was not known."""
    first, size_bytes = (int.from_bytes(head[at : at + 4], "big") for at in (4, 8))
    missing = first + size_bytes - encoded.size_bytes
    if missing > 0 and size_bytes != 2**32 - 1:
        raise Undecodable("truncated", f"{missing} of {size_bytes} bytes of the samples are missing")


def _check_matroska(encoded: EncodedFile) -> None:
    """RFC 8794: elements of an id, a size and a body; a header, then a segment that holds all else."""
    head = encoded.read_at(4, 8)
    length, header_bytes = _variable_size(head)
    if header_bytes is None:
        return
    segment = 4 + length + header_bytes
    head = encoded.read_at(segment, 12)
    if head[:4] != _MATROSKA_SEGMENT:
        raise Undecodable("truncated", "the file ends before its samples")
    length, size_bytes = _variable_size(head[4:])
    missing = segment + 4 + length + (size_bytes or 0) - encoded.size_bytes
    if missing > 0:
        raise Undecodable("truncated", f"{missing} of {size_bytes} bytes of the samples are missing")


def _variable_size(field: bytes) -> tuple[int, int | None]:
    """Length of an EBML size and its value: the leading zeros of its first byte tell how many bytes follow."""
    if not field or not field[0]:
        return 0, None
    length = 9 - field[0].bit_length()
    value = int.from_bytes(field[:length], "big") - (1 << 7 * length)
    return length, None if value == (1 << 7 * length) - 1 else value  # all ones: not known


def _seven_bits(field: bytes) -> int:
    """ID3v2 writes seven bits of a size into each of four bytes."""
    size = 0
    for byte in field:
        size = size << 7 | byte & 0x7F
    return size
