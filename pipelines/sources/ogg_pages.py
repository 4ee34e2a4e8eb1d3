"""The same Ogg file every time: libsndfile draws a stream's serial number from the clock, and it stands in every page.

An encoded file enters; the same one with a serial number of the caller's leaves. Layout and checksum of a page as in
RFC 3533, section 6.
"""

import zlib

_SERIAL, _CHECKSUM, _NUM_SEGMENTS, _SEGMENTS = slice(14, 18), slice(22, 26), 26, 27  # within a page
_BITS_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


def with_serial(ogg: bytes, serial: int) -> bytes:
    """The file with this serial number in all its pages, their checksums mended.

    Args:
        ogg: whole pages of a single stream.
        serial: 0 to 2^32 - 1.

    Raises:
        ValueError: `ogg` is not made of Ogg pages.
    """
    pages, start = [], 0
    while start < len(ogg):
        page = bytearray(ogg[start : start + _page_size(ogg, start)])
        page[_SERIAL] = serial.to_bytes(4, "little")
        page[_CHECKSUM] = bytes(4)  # the checksum is that of the page with zeros in its place
        page[_CHECKSUM] = _checksum(bytes(page)).to_bytes(4, "little")
        pages.append(bytes(page))
        start += len(page)
    return b"".join(pages)


def _page_size(ogg: bytes, start: int) -> int:
    if ogg[start : start + 4] != b"OggS" or start + _SEGMENTS > len(ogg):
        raise ValueError(f"no Ogg page at byte {start}")
    first = start + _SEGMENTS
    lengths = ogg[first : first + ogg[start + _NUM_SEGMENTS]]
    return _SEGMENTS + len(lengths) + sum(lengths)


def _checksum(page: bytes) -> int:
    """Ogg's CRC-32: zlib's polynomial, but bits from the other end and neither inverted at the start nor at the end."""
    reflected = zlib.crc32(page.translate(_BITS_REVERSED), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int(f"{reflected:032b}"[::-1], 2)
