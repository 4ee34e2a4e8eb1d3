"""First bytes tell who decodes a file, and announced sizes whether it is whole, without reading its samples."""

from typing import Any

import numpy as np
import pytest
from audio_files import CountingSource, encode, encode_av, sweep

from pipelines.decoding.containers import check_is_whole, is_for_libsndfile
from pipelines.decoding.encoded import EncodedFile
from pipelines.decoding.rules import Undecodable

RATE_HZ = 16_000
_SOUND = np.random.default_rng(0).uniform(-0.9, 0.9, 60 * RATE_HZ).astype(np.float32)
_BY_LIBSNDFILE = {
    name: encode(_SOUND, rate_hz=RATE_HZ, format=name)
    for name in ("WAV", "WAVEX", "RF64", "W64", "AIFF", "AU", "CAF", "OGG")
}
_BY_FFMPEG = {
    name: encode_av(_SOUND, rate_hz=RATE_HZ, container=name, codec=codec)
    for name, codec in {"mp4": "aac", "mov": "pcm_s16le", "matroska": "aac", "asf": "wmav2", "avi": "pcm_s16le"}.items()
}
_SIZED = {**_BY_LIBSNDFILE, **_BY_FFMPEG}


@pytest.mark.parametrize("name", _SIZED)
class TestSizes:
    def test_a_whole_file_passes_and_costs_little(self, name: str) -> None:
        source = CountingSource(_SIZED[name])
        check_is_whole(_opened(source))
        assert source.num_bytes_read < 70_000  # the largest Ogg page
        assert source.num_bytes_read < len(_SIZED[name]) // 2

    @pytest.mark.parametrize("kept", [0.1, 0.5, 0.999])
    def test_a_cut_is_found_without_reading_up_to_it(self, name: str, kept: float) -> None:
        source = CountingSource(_SIZED[name][: int(kept * len(_SIZED[name]))])
        with pytest.raises(Undecodable, match="truncated"):
            check_is_whole(_opened(source))
        assert source.num_bytes_read < 70_000

    def test_tags_behind_the_end_do_no_harm(self, name: str) -> None:
        _check(_SIZED[name] + b"TAG" + bytes(125))  # ID3v1


class TestUnknownSizes:
    def test_an_mp4_box_that_goes_to_the_end(self) -> None:
        _check(_BY_FFMPEG["mp4"] + bytes(4) + b"free" + bytes(100))

    def test_an_mp4_box_with_eight_bytes_of_size(self) -> None:
        large = b"\x00\x00\x00\x01mdat" + (16 + 1_000).to_bytes(8, "big") + bytes(1_000)
        _check(_BY_FFMPEG["mp4"] + large)
        with pytest.raises(Undecodable, match="truncated: 1 of 1016 bytes"):
            _check(_BY_FFMPEG["mp4"] + large[:-1])

    def test_a_cut_between_the_fragments_of_an_mp4_is_found(self) -> None:
        fragments = b"".join((8 + 100).to_bytes(4, "big") + name + bytes(100) for name in (b"moof", b"mdat") * 20)
        _check(_BY_FFMPEG["mp4"] + fragments)
        with pytest.raises(Undecodable, match="truncated: 8 of 108 bytes"):
            _check(_BY_FFMPEG["mp4"] + fragments[:-8])

    def test_an_au_of_unknown_size(self) -> None:
        _check(_SIZED["AU"][:8] + b"\xff" * 4 + _SIZED["AU"][12:-1_000])

    def test_a_caf_of_unknown_size(self) -> None:
        at = _SIZED["CAF"].index(b"data") + 4
        _check(_SIZED["CAF"][:at] + b"\xff" * 8 + _SIZED["CAF"][at + 8 : -1_000])

    def test_a_file_of_nothing_but_empty_chunks_ends(self) -> None:
        source = CountingSource(b"RIFF\0\0\0\0WAVE" + b"junk\0\0\0\0" * 1_000_000)
        with pytest.raises(Undecodable, match="truncated: the file ends before its samples"):
            check_is_whole(_opened(source))
        assert source.num_bytes_read < 100_000


class TestWhoDecodes:
    @pytest.mark.parametrize("name", _BY_LIBSNDFILE)
    def test_containers_of_libsndfile(self, name: str) -> None:
        assert is_for_libsndfile(_file(_BY_LIBSNDFILE[name]))

    @pytest.mark.parametrize("name", _BY_FFMPEG)
    def test_containers_of_ffmpeg(self, name: str) -> None:
        assert not is_for_libsndfile(_file(_BY_FFMPEG[name]))

    def test_mpeg_audio_is_libsndfiles_and_aac_is_not_with_a_tag_or_without(self) -> None:
        mp3 = encode(sweep(0.5, RATE_HZ), rate_hz=RATE_HZ, format="MP3")
        aac = encode_av(sweep(0.5, RATE_HZ), rate_hz=RATE_HZ, container="adts", codec="aac")
        tag = b"ID3\x04\x00\x00\x00\x00\x02\x00" + bytes(256)
        assert [is_for_libsndfile(_file(encoded)) for encoded in (mp3, tag + mp3)] == [True, True]
        assert [is_for_libsndfile(_file(encoded)) for encoded in (aac, tag + aac)] == [False, False]

    def test_an_ogg_is_libsndfiles_by_its_first_codec(self) -> None:
        speex = _BY_LIBSNDFILE["OGG"].replace(b"\x01vorbis", b"Speex  ", 1)
        opus = encode_av(sweep(0.5, 48_000), rate_hz=48_000, container="ogg", codec="libopus")
        assert is_for_libsndfile(_file(opus))
        assert not is_for_libsndfile(_file(speex))

    @pytest.mark.parametrize("encoded", [b"", b"\xff", b"OggS", b"RIFF", b"text"])
    def test_a_few_bytes_do_no_harm(self, encoded: bytes) -> None:
        assert is_for_libsndfile(_file(encoded)) == (encoded in (b"OggS", b"RIFF"))


def _file(encoded: bytes) -> EncodedFile:
    return _opened(CountingSource(encoded))


def _opened(source: Any) -> EncodedFile:
    return EncodedFile(source, whole=False)


def _check(encoded: bytes) -> None:
    check_is_whole(_file(encoded))
