"""Variants as text: one meaning has one text, and a generator of its own for every clip."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.command_line import parse_settings
from jobs.settings import JobSettings
from pipelines.variants import EFFECTS, ORIGINAL, Effect, Variant, parse_variant, variant_generator
from storage.errors import InvalidInput

NOISE = "noise(snr_db=15)"


@st.composite
def effects(draw: st.DrawFn) -> Effect:
    kind = draw(st.sampled_from(sorted(EFFECTS)))
    values = ((name, draw(st.floats(known.lowest, known.highest))) for name, known in EFFECTS[kind].items())
    return Effect(kind, tuple(values))


class TestText:
    @given(chain=st.lists(effects(), max_size=4))
    def test_it_leads_back_to_the_variant(self, chain: list[Effect]) -> None:
        variant = Variant(tuple(chain))
        assert parse_variant(str(variant)) == variant
        assert str(parse_variant(str(variant))) == str(variant)

    @pytest.mark.parametrize(
        ("text", "canonical"),
        [
            (" original ", "original"),
            ("pitch(semitones=+2.0)", "pitch(semitones=2)"),
            ("pitch( semitones = -3.50 )", "pitch(semitones=-3.5)"),
            ("gain(db=-0.0)", "gain(db=0)"),
            ("noise(snr_db=1e1)", "noise(snr_db=10)"),
            ("noise", "noise(snr_db=15)"),
            ("stretch()", "stretch(rate=0.9)"),
            ("reverb(wet=0.5)", "reverb(decay_s=0.4, wet=0.5)"),
            ("reverb(wet=.3,decay_s=1)", "reverb(decay_s=1, wet=0.3)"),
            ("pitch(semitones=+2) + noise(snr_db=+1e+1)", "pitch(semitones=2)+noise(snr_db=10)"),
        ],
    )
    def test_every_spelling_has_one_canonical_text(self, text: str, canonical: str) -> None:
        assert str(parse_variant(text)) == canonical

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("noisy(snr_db=15)", r"allowed: original, noise\(snr_db from -30 to 100\), .*Did you mean 'noise'\?"),
            ("orignal", "Did you mean 'original'"),
            ("original+noise", "original stands alone"),
            ("noise(snr=15)", r"allowed: noise\(snr_db from -30 to 100\)\. Did you mean 'snr_db'\?"),
            ("noise(15)", "Write name=number"),
            ("noise(snr_db=15,)", "Write name=number"),
            ("reverb(wet=1, wet=1)", "Give wet once"),
            ("reverb(decay_s=0)", r"allowed: reverb\(decay_s from 0\.05 to 10, wet from 0 to 1\)\. Correct decay_s"),
            ("stretch(rate=fast)", "Correct rate"),
            ("noise(snr_db=nan)", "Correct snr_db"),
            ("gain(db=inf)", "Correct db"),
            ("reverb(decay_s=0.4", "quote a text with a comma"),
            ("wet=0.3)", "quote a text with a comma"),
            ("noise+", "effects written as"),
            ("", "effects written as"),
        ],
    )
    def test_what_cannot_be_meant_is_refused_with_what_can(self, text: str, said: str) -> None:
        with pytest.raises(InvalidInput, match=rf"^features\.variants: got .*{said}"):
            parse_variant(text)

    def test_the_command_line_takes_it(self) -> None:
        word = f'features.variants=[original,pitch(semitones=2)+noise,"reverb(decay_s=1, wet=1)",{NOISE}]'
        variants = parse_settings(JobSettings, [word, "features.variant_seed=7"]).features.variants
        assert variants == (ORIGINAL, NOISE, "pitch(semitones=2)+noise(snr_db=15)", "reverb(decay_s=1, wet=1)")


class TestGenerator:
    def test_it_depends_on_seed_clip_and_variant_alone(self) -> None:
        def drawn(seed: int, clip_id: str, text: str) -> float:
            return float(variant_generator(seed, clip_id, parse_variant(text)).random())

        assert drawn(0, "a", "noise") == drawn(0, "a", "noise(snr_db=15.0)")
        others = [drawn(1, "a", "noise"), drawn(0, "b", "noise"), drawn(0, "a", "noise(snr_db=16)")]
        assert len({drawn(0, "a", "noise"), *others}) == 4

    def test_it_is_what_it_was(self) -> None:
        # Stored rows were drawn from it; if this fails, NUMERICS_VERSION must be raised.
        assert variant_generator(0, "clip", parse_variant("noise(snr_db=15)")).integers(1 << 62) == 3097421783115489531
