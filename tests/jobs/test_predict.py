"""Using a model as a person does: one recording in the terminal, many into Parquet, whatever may be wrong with them."""

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch
from numpy.typing import NDArray
from trained_toys import LABELS, RATE_HZ, SPEC, Trained, sound

from cluster.versions import VersionsDiffer, installed
from jobs import predict
from jobs.model_features import own_spec, prediction_spec
from jobs.predict_parts import Answering, predict_features, predict_parts
from pipelines.variants import ORIGINAL
from storage.errors import InvalidInput, StorageError
from storage.feature_store import FeatureStore
from storage.features import Features
from storage.model_file import from_bytes, save_model
from storage.object_store import ObjectStore, open_store
from storage.part_rows import PartRows
from storage.predictions import Predictions
from training.inference import Aggregate


def words_of(trained: Trained, folder: Path, *more: str) -> list[str]:
    """With a store of the test's own for what is written."""
    model = f"model={trained.store.uri}/{trained.key}"
    return [model, f"storage.uri={folder}/store", *more]


def predictions_in(place: ObjectStore) -> pd.DataFrame:
    """As anybody reads them."""
    folder = Path(place.uri)
    return pd.concat([pd.read_parquet(path) for path in sorted(folder.glob("part-*.parquet"))]).set_index("recording")


class TestOneFile:
    def test_it_is_told_what_the_trial_said(
        self, trained: Trained, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        path, said = next(iter(trained.test_probabilities(trained.key).items()))
        words = words_of(trained, tmp_path, f"files={trained.recordings / path}")
        assert predict.main(words) == 0
        printed = capsys.readouterr().out
        order = np.argsort(said)[::-1]
        rows = [line.split() for line in printed.splitlines() if line.endswith("%  ")]
        expected = [[str(place), LABELS[index], f"{100 * said[index]:.1f}"] for place, index in enumerate(order[:5], 1)]
        assert [row[:3] for row in rows] == expected
        assert not (tmp_path / "store").exists()

    def test_all_windows_of_a_long_recording(
        self, trained: Trained, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        soundfile.write(tmp_path / "long.flac", sound("low", 9, 3.0), RATE_HZ, format="FLAC")
        words = words_of(trained, tmp_path, f"files={tmp_path}/long.flac")
        assert predict.main(words) == 0
        assert "long.flac (1 window)" in capsys.readouterr().out
        assert predict.main([*words, "windows=all"]) == 0
        assert "long.flac (6 windows, mean)" in capsys.readouterr().out
        assert predict.main([*words, "windows=all", "window_hop_s=0.25", "aggregate=max"]) == 0
        assert "long.flac (11 windows, max)" in capsys.readouterr().out

    def test_several_labels_from_a_threshold_on(
        self, trained: Trained, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        path, said = next(iter(trained.test_probabilities(trained.several).items()))
        threshold = float(np.sort(said)[-3]) - 1e-4
        words = [f"files={trained.recordings / path}", f"storage.uri={trained.store.uri}", f"model={trained.several}"]
        assert predict.main([*words, f"threshold={threshold:.6f}"]) == 0
        (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("from ")]
        held = [label for label, probability in zip(LABELS, said, strict=True) if probability >= threshold]
        assert line.endswith(f"on: {', '.join(held)}")
        assert len(held) == 3

    def test_one_that_is_no_audio_is_named_with_the_reason(
        self, trained: Trained, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (tmp_path / "text.wav").write_text("not a sound")
        assert predict.main(words_of(trained, tmp_path, f"files={tmp_path}/text.wav")) == 2
        assert "cannot be used: text.wav: not_audio" in capsys.readouterr().out

    def test_one_of_which_the_model_says_nothing_finite_is_named_with_the_reason(
        self, trained: Trained, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        words = [*words_of(trained, tmp_path, f"files={trained.recordings}/low/0.wav"), broken_model(trained, tmp_path)]
        assert predict.main(words) == 2
        assert "cannot be used: 0.wav: not_finite (the model's probabilities" in capsys.readouterr().out


def broken_model(trained: Trained, folder: Path) -> str:
    """The setting of a model one of whose weights is NaN."""
    tensors, card = from_bytes(trained.store.get(trained.key), name="toy")
    broken = {name: tensor * torch.nan if name.startswith("head.") else tensor for name, tensor in tensors.items()}
    save_model(open_store(str(folder)), "broken.safetensors", broken, card)
    return f"model={folder}/broken.safetensors"


@pytest.mark.usefixtures("ray_local")
class TestMany:
    @pytest.mark.slow
    def test_a_folder_is_told_what_the_trial_said_and_goes_on_where_it_was(
        self, trained: Trained, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        shutil.copytree(trained.recordings, tmp_path / "recordings")
        (tmp_path / "recordings" / "bad.wav").write_text("not a sound")
        (tmp_path / "recordings" / "notes.txt").write_text("left out")
        words = words_of(trained, tmp_path, f"files={tmp_path}/recordings", f"out={tmp_path}/out")
        words += ["pipeline.clips_per_shard=19", "pipeline.num_actors=1"]
        assert predict.main(words) == 0
        printed = capsys.readouterr().out
        assert "cannot be used: bad.wav: not_audio" in printed
        assert "36 of 37 recordings predicted" in printed
        out = open_store(f"{tmp_path}/out")
        found = predictions_in(out)
        assert len(found) == 36
        for path, said in trained.test_probabilities(trained.key).items():
            row = found.loc[path]
            np.testing.assert_allclose(row["probabilities"], said, atol=1e-6)
            assert row["label_1"] == row["labels"][0] == LABELS[int(np.argmax(said))]
            assert row["probability_5"] == pytest.approx(sorted(said)[-5], abs=1e-6)
        assert list(pd.read_parquet(tmp_path / "out" / "quarantine.parquet")["clip_id"]) == ["bad.wav"]
        assert json.loads(out.get("_PREDICTIONS.json"))["labels"] == list(LABELS)

        lost = sorted(info.key for info in out.list("part-"))[1]
        out.delete(lost)
        out.put("part-00009-stale-0.parquet", b"of a shard that was made anew")
        assert predict.main(words) == 0
        assert "18 recordings predicted now, 18 found" in capsys.readouterr().out
        pd.testing.assert_frame_equal(predictions_in(out), found)

        assert predict.main([*words, "aggregate=max"]) == 2
        assert "a part of the same predictions" in capsys.readouterr().err

        about = json.loads(out.get("_PREDICTIONS.json"))
        assert (about["device"], about["precision"]) == ("cpu", "fp32")
        changed = {**about, "device": "cuda", "precision": "bf16"}
        out.put("_PREDICTIONS.json", json.dumps(changed, indent=1, sort_keys=True).encode())
        assert predict.main(words) == 2
        assert "it differs in device, precision." in capsys.readouterr().err

    @pytest.mark.slow
    def test_recordings_of_which_the_model_says_nothing_finite_are_quarantined(
        self, trained: Trained, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        words = words_of(trained, tmp_path, f"files={trained.recordings}/low", f"out={tmp_path}/out")
        assert predict.main([*words, broken_model(trained, tmp_path)]) == 2
        printed = capsys.readouterr()
        assert "cannot be used: 0.wav: not_finite" in printed.out
        assert "probabilities of all recordings are not finite" in printed.err
        quarantine = Predictions(open_store(f"{tmp_path}/out")).quarantine().to_pandas()
        assert quarantine["uri"].tolist() == [f"{number}.wav" for number in range(6)]

    @pytest.mark.slow
    def test_a_prefix_on_s3_into_the_store_there(
        self, trained: Trained, s3_uri: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        bucket = open_store(s3_uri)
        for path in ("low/0.wav", "top/5.wav"):
            bucket.put(f"recordings/{path}", (trained.recordings / path).read_bytes())
        bucket.put("model.safetensors", trained.store.get(trained.key))
        words = [f"model={s3_uri}/model.safetensors", f"files={s3_uri}/recordings", f"storage.uri={s3_uri}/store"]
        assert predict.main([*words, "windows=all", "window_hop_s=0.25"]) == 0
        assert "2 of 2 recordings predicted" in capsys.readouterr().out
        keys = [info.key for info in bucket.list("store/predictions/")]
        assert sum(key.endswith(".parquet") and "/part-" in key for key in keys) >= 1
        assert any(key.endswith("_COMPLETE.json") for key in keys)
        assert predict.main([words[0], f"files={s3_uri}/recordings/low/0.wav", words[2]]) == 0
        assert "0.wav (1 window)" in capsys.readouterr().out

    def test_what_no_worker_could_do_is_refused_before_any_starts(
        self, trained: Trained, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        words = words_of(trained, tmp_path, f"files={trained.recordings}")
        assert predict.main([*words, "device=cuda"]) == 2
        assert "no node of the Ray cluster has a GPU" in capsys.readouterr().err
        tensors, card = from_bytes(trained.store.get(trained.key), name="toy")
        fewer = dataclasses.replace(card, labels=card.labels[1:])
        save_model(open_store(str(tmp_path)), "fewer.safetensors", tensors, fewer)
        assert predict.main([*words, f"model={tmp_path}/fewer.safetensors"]) == 2
        assert "do not make a cnn of 5 labels" in capsys.readouterr().err
        assert not (tmp_path / "store" / "features").exists()

    def test_where_nothing_can_be_decoded_every_reason_is_told(
        self, trained: Trained, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (tmp_path / "recordings").mkdir()
        (tmp_path / "recordings" / "a.wav").write_text("not a sound")
        (tmp_path / "recordings" / "b.wav").touch()
        assert predict.main(words_of(trained, tmp_path, f"files={tmp_path}/recordings")) == 2
        printed = capsys.readouterr()
        assert "a.wav: not_audio" in printed.out
        assert "b.wav: empty_file" in printed.out
        assert "every one of 2 clips" in printed.err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["files="], "Give files=…"),
        (["model="], "Give model=…"),
        (["features.num_mels=64"], "features.num_mels"),
        (["thresold=0.2"], "Did you mean 'threshold'?"),
        (["threshold=2"], "predict.threshold"),
        (["files=nowhere.wav"], "nowhere.wav (no such file or folder)"),
        (["files=gs://bucket"], "files: got 'gs://bucket'"),
        (["model=models/toy/x/seed=1.safetensors"], "one of 0 keys below models/"),
        (["model=../nowhere"], "a model file"),
        (["windows=random"], "model, first, all, spaced"),
        (["window_hop_s=0"], "features.window_hop_s"),
    ],
)
def test_what_cannot_be_is_one_line(
    trained: Trained, tmp_path: Path, words: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    given = words_of(trained, tmp_path, f"files={trained.recordings}", *words)
    assert predict.main(given) == 2
    printed = capsys.readouterr().err
    assert told in printed
    assert len(printed.strip().splitlines()) == 1
    assert not (tmp_path / "store").exists()


class NotFinite:
    """A predictor that has no number for the second of four windows."""

    def __init__(self, trained: Trained) -> None:
        self.card = from_bytes(trained.store.get(trained.key), name="toy")[1]

    def __call__(self, log_mel: NDArray[Any]) -> NDArray[np.float32]:
        found = np.full((len(log_mel), len(LABELS)), 1 / len(LABELS), dtype=np.float32)
        found[1, 2] = np.nan
        return found


@pytest.mark.parametrize("aggregate", ["mean", "max"])
def test_a_recording_with_a_window_that_is_not_finite_takes_none_of_its_neighbours_with_it(
    trained: Trained, aggregate: Aggregate
) -> None:
    features = Features(
        log_mel=np.zeros((4, *SPEC.feature_shape), dtype=np.float16),
        clip_ids=("a", "b", "b", "c"),
        groups=("a", "b", "b", "c"),
        variants=(ORIGINAL,) * 4,
        windows=(0, 0, 1, 0),
        labels=((),) * 4,
    )
    answers = predict_features(NotFinite(trained), features, Answering(aggregate=aggregate, threshold=0.5))  # type: ignore[arg-type]
    assert [prediction.recording for prediction in answers.predictions] == ["a", "c"]
    assert answers.not_finite == ("b",)


def test_a_file_that_is_no_model_is_refused(
    trained: Trained, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "best.safetensors").write_text("<html>")
    words = [f"model={tmp_path}/best.safetensors", f"files={trained.recordings}"]
    assert predict.main(words) == 2
    assert "best.safetensors is no model of melsweep" in capsys.readouterr().err


def test_a_model_of_another_feature_spec_is_refused(
    trained: Trained, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As where another version of melsweep computes other numbers for the same spec."""
    tensors, card = from_bytes(trained.store.get(trained.key), name="toy")
    store = open_store(str(tmp_path))
    save_model(store, "other.safetensors", tensors, dataclasses.replace(card, fingerprint="0" * 16))
    words = [f"model={tmp_path}/other.safetensors", f"files={trained.recordings}", f"storage.uri={tmp_path}/store"]
    assert predict.main(words) == 2
    assert "trained on features 0000000000000000" in capsys.readouterr().err


def test_only_the_cutting_of_a_model_s_features_may_differ(trained: Trained) -> None:
    _, card = from_bytes(trained.store.get(trained.key), name="toy")
    assert own_spec(card) == SPEC == prediction_spec(card, windows="model", window_hop_s=None)
    every = prediction_spec(card, windows="all", window_hop_s=0.1)
    assert dataclasses.replace(every, windows=SPEC.windows, window_hop_s=SPEC.window_hop_s) == SPEC
    assert prediction_spec(card, windows="all", window_hop_s=None).window_hop_s == SPEC.window_s

    some = dataclasses.replace(SPEC, windows="all", max_windows=3)
    limited = dataclasses.replace(card, features=dataclasses.asdict(some), fingerprint=some.fingerprint)
    assert prediction_spec(limited, windows="model", window_hop_s=None) == some
    unlimited = dataclasses.replace(some, max_windows=None)
    assert prediction_spec(limited, windows="all", window_hop_s=None) == unlimited
    spaced = dataclasses.replace(unlimited, windows="spaced", window_hop_s=SPEC.window_s)
    assert prediction_spec(limited, windows="spaced", window_hop_s=None) == spaced

    varied = dataclasses.replace(SPEC, variants=(ORIGINAL, "gain(db=-6)"))
    card = dataclasses.replace(card, features=dataclasses.asdict(varied), fingerprint=varied.fingerprint)
    assert prediction_spec(card, windows="model", window_hop_s=None) == SPEC
    with pytest.raises(StorageError, match="feature spec cannot be used"):
        own_spec(dataclasses.replace(card, features={"num_mells": 3}))
    with pytest.raises(InvalidInput, match="trained on features"):
        own_spec(dataclasses.replace(card, features={**card.features, "num_mels": 25}))


@pytest.mark.usefixtures("ray_local")
def test_a_worker_with_other_packages_than_the_drivers_predicts_nothing(tmp_path: Path) -> None:
    """Nor does it look at the model."""
    features = FeatureStore(open_store(str(tmp_path)), dataset="toy-0", fingerprint="f" * 16)
    part = PartRows(index=0, clips_hash="c" * 16, rows_hash="r" * 16, num_rows=1)
    answering = Answering(aggregate="mean", threshold=0.5)
    newer = {**installed(), "torch": "99.1"}
    with mock.patch("cluster.versions.installed", return_value=newer), pytest.raises(VersionsDiffer, match=r"99\.1"):
        list(predict_parts(features, [part], b"no model", answering, device="cpu"))
