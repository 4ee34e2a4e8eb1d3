"""What a trial sees of the features: train all variants, validation and test originals, statistics of train alone."""

import dataclasses
from contextlib import nullcontext
from typing import Any

import numpy as np
import pytest
import torch

from storage.errors import InvalidInput
from storage.feature_store import Features
from storage.split import PARTS, Part, Split
from training import TrialConfig, TrialData, load_trial_data
from training.inputs import device_data
from training.recipe import LossConfig
from training.row_batches import RowBatches
from training.scoring import score

VARIANTS = ("original", "noise(snr_db=15)", "pitch(semitones=2)+gain(db=-6)")
_PART_OF: dict[str, Part] = {"a": "train", "b": "train", "c": "validation", "d": "test"}


def _features(variants: tuple[str, ...] = VARIANTS) -> Features:
    """Two windows of every variant of four clips; the level of a row tells its clip (tens) and its variant (ones)."""
    keys = [(clip, variant, window) for clip in _PART_OF for variant in variants for window in range(2)]
    levels_db = [10 * "abcd".index(clip) + VARIANTS.index(variant) for clip, variant, _ in keys]
    return Features(
        log_mel=np.broadcast_to(np.array(levels_db, dtype=np.float32)[:, None, None], (len(keys), 4, 6)).copy(),
        clip_ids=tuple(clip for clip, _, _ in keys),
        groups=tuple(f"recording-{clip}" for clip, _, _ in keys),
        variants=tuple(variant for _, variant, _ in keys),
        windows=tuple(window for _, _, window in keys),
        labels=(("dog",),) * len(keys),
    )


def _split() -> Split:
    groups = {clip: f"recording-{clip}" for clip in _PART_OF}
    return Split(dataset="toy", policy="by hand", parts=_PART_OF, groups=groups)


def test_train_sees_all_variants_and_the_other_parts_originals_only() -> None:
    data = load_trial_data(_features(), _split())
    levels_db = {part: data.parts[part].log_mel[:, 0, 0].tolist() for part in PARTS}
    assert levels_db == {
        "train": [0, 0, 1, 1, 2, 2, 10, 10, 11, 11, 12, 12],
        "validation": [20, 20],
        "test": [30, 30],
    }
    assert data.parts["train"].clip_ids == ("a",) * 6 + ("b",) * 6


def test_mean_and_deviation_are_those_of_the_rows_that_are_trained_on() -> None:
    data = load_trial_data(_features(), _split())
    assert data.mean_db == pytest.approx(6.0)
    assert data.deviation_db == pytest.approx(np.std([0, 1, 2, 10, 11, 12]))


@pytest.mark.parametrize("seed", range(5))
def test_what_is_trained_on_is_bit_for_bit_what_two_passes_would_give(seed: int) -> None:
    # Tensors are float32, so digits of mean and deviation beyond float32's do not reach them. TRAINING_VERSION may
    # stay what it was while the statistics were made in two passes over a float64 copy.
    noise = np.random.default_rng(seed).normal(-48, 19, (24, 64, 108)).astype(np.float16)
    data = load_trial_data(dataclasses.replace(_features(), log_mel=noise), _split())
    train = data.parts["train"].log_mel.astype(np.float64)
    two_passes = dataclasses.replace(data, mean_db=float(train.mean()), deviation_db=float(train.std()))
    ours, theirs = _scaled(data), _scaled(two_passes)
    assert all(torch.equal(ours[part], theirs[part]) for part in PARTS)


def _scaled(data: TrialData) -> dict[Part, torch.Tensor]:
    config = TrialConfig(architecture="cnn", dataset="d", fingerprint="f", split_hash="s")
    on_device = device_data(data, config, torch.device("cpu"))
    return {part: on_device.scaling.scaled(on_device.parts[part].log_mel) for part in PARTS}


def test_rounding_of_a_constant_train_part_is_no_deviation_to_divide_by() -> None:
    silence = np.full((24, 4, 6), -60, dtype=np.float32)
    silence[0, 0, 0] = np.nextafter(np.float32(-60), np.float32(0))
    assert silence.std(dtype=np.float64) > 0
    assert load_trial_data(dataclasses.replace(_features(), log_mel=silence), _split()).deviation_db == 1.0


def test_a_part_without_originals_is_refused() -> None:
    with pytest.raises(InvalidInput, match="the validation part: got 'no feature rows'"):
        load_trial_data(_features(VARIANTS[1:]), _split())


def test_features_of_two_channels_are_refused_with_what_would_do() -> None:
    features = _features()
    doubled = dataclasses.replace(features, log_mel=np.stack([features.log_mel] * 2, axis=1))
    with pytest.raises(InvalidInput, match=r"got 'shape \(2, 4, 6\)'.*features\.representation=iq_magnitude"):
        load_trial_data(doubled, _split())


class TestLabels:
    def test_the_first_label_is_the_corpus_s_and_all_are_kept(self) -> None:
        data = load_trial_data(
            _labelled({"a": ("owl", "crow"), "b": ("crow",), "c": ("crow",), "d": ("owl",)}), _split()
        )
        assert data.labels == ("crow", "owl")
        assert data.is_multi_label
        train = data.parts["train"]
        assert train.has_label.tolist() == [[True, True]] * 2 + [[True, False]] * 2
        assert train.first_label.tolist() == [1, 1, 0, 0]

    @pytest.mark.parametrize("secondary_target", [1.0, 0.25])
    def test_what_is_scored_as_first_is_the_corpus_s_first_label(self, secondary_target: float) -> None:
        data = load_trial_data(_labelled({clip: ("owl", "crow") for clip in "abcd"}), _split())
        loss = LossConfig(kind="bce", secondary_target=secondary_target)
        config = TrialConfig(architecture="cnn", dataset="d", fingerprint="f", split_hash="s", loss=loss)
        on_device = device_data(data, config, torch.device("cpu"))
        model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(24, 2))
        found = score(model, on_device, "test", autocast=nullcontext, batches=RowBatches(on_device.device))
        assert found is not None
        assert found.first_label.tolist() == [data.labels.index("owl")]
        assert found.has_label.tolist() == [[True, True]]

    @pytest.mark.parametrize("kind", ["bce", "focal"])
    def test_a_loss_that_would_take_several_labels_leaves_single_ones_single(self, kind: Any) -> None:
        labels: dict[str, tuple[str, ...]] = {clip: ("owl",) for clip in "bcd"}
        data = load_trial_data(_labelled({"a": ("crow",), **labels}), _split())
        config = TrialConfig(
            architecture="cnn", dataset="d", fingerprint="f", split_hash="s", loss=LossConfig(kind=kind)
        )
        on_device = device_data(data, config, torch.device("cpu"))
        assert not on_device.is_multi_label
        found = score(
            torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(24, 2)),
            on_device,
            "test",
            autocast=nullcontext,
            batches=RowBatches(on_device.device),
        )
        assert found is not None
        assert found.score == found.accuracy
        yes, no = found.probabilities[0, 1], found.probabilities[0, 0]
        if kind == "bce":
            assert found.loss == pytest.approx(-np.mean(np.log([yes, 1 - no])), rel=1e-5)
        else:
            assert found.loss == pytest.approx(-np.log(yes), rel=1e-5)
            assert yes + no == pytest.approx(1)

    def test_a_label_that_nothing_was_trained_on_is_refused(self) -> None:
        features = _labelled({"a": ("owl",), "b": ("owl",), "c": ("owl", "crow"), "d": ("owl",)})
        with pytest.raises(InvalidInput, match=r"the validation part: got \"clip c with the labels \['owl', 'crow'\]"):
            load_trial_data(features, _split())

    def test_a_label_that_nothing_was_trained_on_can_be_dropped_and_keeps_its_output(self) -> None:
        features = _labelled({"a": ("owl",), "b": ("owl",), "c": ("crow", "owl"), "d": ("owl", "rare")})
        data = load_trial_data(features, _split(), unseen_labels="drop")
        assert data.labels == ("crow", "owl", "rare")  # as in a fold that trains on all of them
        for part in PARTS:
            assert data.parts[part].has_label.tolist() == [[False, True, False]] * len(data.parts[part].clip_ids)
            assert set(data.parts[part].first_label) == {1}
        (told,) = data.events
        assert told == "no training clip has the labels crow, rare, which were dropped from validation and test"

    def test_a_clip_that_has_no_other_label_is_left_out_and_told(self) -> None:
        features = _features(("original",))
        parts: dict[str, Part] = {**_PART_OF, "e": "test"}
        features = dataclasses.replace(
            features,
            log_mel=np.concatenate([features.log_mel, features.log_mel[-2:]]),
            clip_ids=(*features.clip_ids, "e", "e"),
            groups=(*features.groups, "recording-e", "recording-e"),
            variants=(*features.variants, "original", "original"),
            windows=(*features.windows, 0, 1),
            labels=(*features.labels, ("rare",), ("rare",)),
        )
        split = Split(dataset="toy", policy="by hand", parts=parts, groups={c: f"recording-{c}" for c in parts})
        with pytest.raises(InvalidInput, match=r"the test part: .*clip e .*trial\.loss\.unseen_labels=drop"):
            load_trial_data(features, split)
        data = load_trial_data(features, split, unseen_labels="drop")
        assert set(data.parts["test"].clip_ids) == {"d"}
        assert "clips left out, as they have no other label: 1 of test" in data.events[0]

    def test_a_clip_without_any_label_is_refused_all_the_same_and_so_is_a_part_without_clips(self) -> None:
        features = _labelled({"a": ("owl",), "b": ("owl",), "c": (), "d": ("owl",)})
        with pytest.raises(InvalidInput, match=r"clip c with the labels \[\]"):
            load_trial_data(features, _split(), unseen_labels="drop")
        features = _labelled({"a": ("owl",), "b": ("owl",), "c": ("crow",), "d": ("owl",)})
        with pytest.raises(
            InvalidInput, match=r"the validation part: got 'no feature rows'.*more labels are trained on"
        ):
            load_trial_data(features, _split(), unseen_labels="drop")

    def test_where_every_label_is_trained_on_nothing_changes(self) -> None:
        features = _labelled({clip: ("owl", "crow") for clip in "abcd"})
        dropped, refused = (load_trial_data(features, _split(), unseen_labels=how) for how in ("drop", "refuse"))
        assert dropped.labels == refused.labels
        assert dropped.events == refused.events == ()

    def test_several_labels_and_a_loss_over_one_do_not_go_together(self) -> None:
        data = load_trial_data(_labelled({clip: ("owl", "crow") for clip in "abcd"}), _split())
        config = TrialConfig(architecture="cnn", dataset="d", fingerprint="f", split_hash="s")
        with pytest.raises(InvalidInput, match=r"trial\.loss\.kind: got 'cross_entropy'"):
            device_data(data, config, torch.device("cpu"))

    def test_labels_after_the_first_weigh_what_the_loss_says(self) -> None:
        data = load_trial_data(_labelled({clip: ("owl", "crow") for clip in "abcd"}), _split())
        loss = LossConfig(kind="bce", secondary_target=0.25)
        config = TrialConfig(architecture="cnn", dataset="d", fingerprint="f", split_hash="s", loss=loss)
        targets = device_data(data, config, torch.device("cpu")).parts["train"].targets
        assert targets.tolist() == [[0.25, 1.0]] * 4


def _labelled(labels: dict[str, tuple[str, ...]]) -> Features:
    features = _features(("original",))
    return dataclasses.replace(features, labels=tuple(labels[clip] for clip in features.clip_ids))
