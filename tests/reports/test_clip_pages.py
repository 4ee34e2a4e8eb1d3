"""Pages with pictures and players: self-contained, escaped, bounded, and readable as what they are."""

import base64
import io
import re
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest
from PIL import Image

from reports.audit_page import render_audit_page, shown_findings
from reports.clip_cards import ClipView, SoundView, clip_card
from reports.data_page import DataOverview, render_data_page
from reports.pictures import sound_picture, spectrogram_png
from storage.feature_images import viridis
from storage.findings import Finding

HOSTILE = '<script>alert("x")</script>&amp;'
SUMMARY = {
    "dataset": f"data-{HOSTILE}",
    "fingerprint": "f" * 16,
    "num_clips": 4,
    "num_clips_compared": 3,
    "num_quarantined": 1,
    "num_windows_without_pattern": 0,
    "not_checked": {},
    "split": HOSTILE,
    "settings": {"near_duplicates": {"min_correlation": 0.5}},
    "written_at": "2026-11-21 09:00 UTC",
}


def _sound() -> SoundView:
    generator = np.random.default_rng(0)
    return SoundView(
        seconds=2.0,
        envelope=np.array([[-0.5, 0, -1], [0.5, 0, 1]], dtype=np.float32),
        log_mel=generator.uniform(-80, 0, (32, 40)).astype(np.float32),
        mel_hz=np.geomspace(50, 11_000, 32),
        mp3=b"\xff\xfb" + generator.bytes(500),
    )


def _view(clip_id: str, **fields: Any) -> ClipView:
    return ClipView(clip_id=clip_id, facts=[("label", HOSTILE)], **({"sound": _sound()} | fields))


def _finding(kind: str, clip_id: str, other: str | None = None, **columns: Any) -> Finding:
    both = {"other_clip_id": other, "other_group": "h", "other_labels": (HOSTILE,)} if other else {}
    known = {"group": HOSTILE, "labels": ("dog",), "measure": "correlation", "value": 0.75, "detail": HOSTILE}
    return Finding(kind=kind, clip_id=clip_id, **(known | both | columns))  # type: ignore[arg-type]


class _Tags(HTMLParser):
    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attributes)))

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def _check_self_contained(page: str) -> _Tags:
    parsed = _Tags(page)
    assert "script" not in {tag for tag, _ in parsed.tags}
    addresses = [value for _, found in parsed.tags for name, value in found.items() if name in ("src", "href")]
    assert all(value is not None and value.startswith("data:") for value in addresses)
    policy = next(found["content"] for _, found in parsed.tags if found.get("http-equiv"))
    assert policy is not None
    assert "default-src 'none'" in policy
    assert "script-src 'none'" in policy
    assert "media-src data:" in policy
    return parsed


class TestAuditPage:
    def test_it_is_self_contained_and_hostile_names_stay_text(self) -> None:
        findings = [_finding("near_duplicate", HOSTILE, "b"), _finding("silence", "c"), _finding("unreadable", "d")]
        views = {clip_id: _view(clip_id) for clip_id in (HOSTILE, "b", "c")}
        parsed = _check_self_contained(render_audit_page(findings, SUMMARY, views, per_kind=3))
        tags = [tag for tag, _ in parsed.tags]
        assert (tags.count("audio"), tags.count("image"), tags.count("svg")) == (3, 3, 3)
        assert parsed.text.count(HOSTILE) > 5
        assert "Found: near duplicates 1, silence 1, unreadable 1." in "".join(parsed.text)

    def test_a_kind_shows_its_first_findings_and_names_the_others(self) -> None:
        findings = [_finding("silence", f"clip{number:03d}") for number in range(300)]
        shown = shown_findings(findings, per_kind=2)
        assert [finding.clip_id for finding in shown] == ["clip000", "clip001"]
        page = render_audit_page(findings, SUMMARY, {"clip000": _view("clip000")}, per_kind=2)
        text = "".join(_check_self_contained(page).text)
        assert page.count("<audio") == 1
        assert "clip199" in text
        assert "clip200" not in text
        assert "100 more are in findings.parquet" in text

    def test_a_pair_that_is_found_twice_is_shown_once(self) -> None:
        findings = [_finding("near_duplicate", "a", "b"), _finding("split_overlap", "a", "b")]
        assert shown_findings(findings, per_kind=5) == findings[:1]

    def test_unreadable_clips_are_not_shown(self) -> None:
        assert shown_findings([_finding("unreadable", "a")], per_kind=5) == []

    def test_no_findings_are_said_in_words(self) -> None:
        text = "".join(_check_self_contained(render_audit_page([], SUMMARY, {}, per_kind=3)).text)
        assert "4 clips. Nothing was found." in text

    def test_what_was_not_checked_is_not_said_to_be_zero(self) -> None:
        words = dict.fromkeys(("silence", "clipping", "band_limited", "unreadable"), "not checked: <b>deaf</b>")
        page = render_audit_page([], {**SUMMARY, "not_checked": words}, {}, per_kind=3)
        assert page.count('<td class="number">–</td>') == 4
        assert page.count("not checked: &lt;b&gt;deaf&lt;/b&gt;") == 5  # of every kind, and of sound as a whole


class TestDataPage:
    def _overview(self, **fields: Any) -> DataOverview:
        known: dict[str, Any] = {
            "dataset": HOSTILE,
            "source": "esc50",
            "num_clips": 6,
            "num_by_label": {HOSTILE: 4, "": 2},
            "num_by_fold": {"1": 3, "2": 3},
            "num_by_group": {HOSTILE: 5, "g": 1},
            "num_folds_by_label": {HOSTILE: {"1": 3, "2": 1}, "": {"2": 2}},
            "num_read": 6,
            "durations_s": [1.0, 2.0, 6.0],
            "num_by_rate_hz": {8_000: 1, 44_100: 2},
            "num_by_channels": {1: 3},
            "unreadable": [(HOSTILE, "not_audio", HOSTILE)],
        }
        return DataOverview(**(known | fields))

    def test_it_is_self_contained_and_hostile_names_stay_text(self) -> None:
        views = {HOSTILE: [_view("a"), _view("b", sound=None, note=f"cannot be read: {HOSTILE}")], "": [_view("c")]}
        parsed = _check_self_contained(render_data_page(self._overview(), views))
        text = "".join(parsed.text)
        assert [tag for tag, _ in parsed.tags].count("audio") == 2
        assert f"cannot be read: {HOSTILE}" in text
        assert "1.00 s to 6.00 s, median 2.00 s" in text
        assert "8,000 Hz (1 clip), 44,100 Hz (2 clips)" in text
        assert "(no label)" in text
        assert f"{HOSTILE} (5)" in text

    def test_labels_that_are_not_shown_are_named(self) -> None:
        page = render_data_page(self._overview(), {"": [_view("c")]})
        assert "1 class with fewer clips is not shown: &lt;script&gt;" in page

    def test_a_data_set_without_folds_or_readable_clips_can_be_looked_at(self) -> None:
        overview = self._overview(num_by_fold={}, durations_s=[], num_by_rate_hz={}, num_by_channels={})
        assert "none given" in render_data_page(overview, {})


class TestPictures:
    def test_the_png_has_a_pixel_per_cell_low_bands_below_and_loud_ones_light(self) -> None:
        log_mel = np.full((3, 5), -80, dtype=np.float32)
        log_mel[0, 4] = 0  # the lowest band, at the end
        image = np.asarray(Image.open(io.BytesIO(spectrogram_png(log_mel))).convert("RGB"))
        assert image.shape == (3, 5, 3)
        assert image[2, 4].tolist() == [0xFD, 0xE7, 0x25]
        assert image[0, 0].tolist() == [0x44, 0x01, 0x54]

    def test_lightness_rises_through_the_palette(self) -> None:
        lightness = viridis(64).astype(float) @ [0.2126, 0.7152, 0.0722]
        assert (np.diff(lightness) > 0).all()

    def test_axes_name_seconds_and_hertz(self) -> None:
        sound = _sound()
        picture = sound_picture(
            HOSTILE, seconds=2.0, envelope=sound.envelope, log_mel=sound.log_mel, mel_hz=sound.mel_hz
        )
        texts = re.findall(r"<text[^>]*>([^<]*)</text>", picture)
        assert texts == ["±1", "50", "100", "200", "500", "1k", "2k", "5k", "10k", "Hz", "0 s", "0.5", "1", "1.5", "2"]

    @pytest.mark.parametrize("seconds", [0.0001, 0.3, 59.0])
    def test_any_length_has_few_ticks(self, seconds: float) -> None:
        sound = _sound()
        picture = sound_picture(
            "a", seconds=seconds, envelope=sound.envelope, log_mel=sound.log_mel, mel_hz=sound.mel_hz
        )
        assert 1 <= picture.count('text-anchor="middle"') <= 7

    def test_a_silent_spectrogram_is_a_picture_too(self) -> None:
        assert spectrogram_png(np.zeros((2, 2), dtype=np.float32))[:4] == b"\x89PNG"

    def test_the_player_holds_the_very_bytes(self) -> None:
        view = _view("a")
        assert view.sound is not None
        assert f"data:audio/mpeg;base64,{base64.b64encode(view.sound.mp3).decode()}" in clip_card(view)
