"""What the stages after a search say and return, and how they tell how far they have come."""

from pathlib import Path
from typing import Any

import pytest
from follow_up_toys import make_plan, own_split, search
from sweep_toys import SWEEP_ROW

from jobs import follow_ups
from jobs.command_line import parse_settings
from jobs.follow_ups import Searched, audit, confirm, splits_to_confirm_on
from jobs.seed_epochs import SeedEpochs
from jobs.settings import JobSettings
from pipelines.manifest import Clip, Manifest
from storage.object_store import ObjectStore, open_store
from sweeps.follow_ups import AuditSettings, ConfirmSettings
from sweeps.news import FoldEnded, FoldNews, News
from sweeps.run_planned import PlannedOutcome, PlannedTrials
from sweeps.train_turns import Failure
from sweeps.trial_actor import EpochNews
from training.progress import EpochMetrics


class ToyFeatures:
    """As far as the stages themselves look at a `FeatureStore`."""

    def __init__(self, store: ObjectStore) -> None:
        self.store = store


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> ObjectStore:
    """A store with an ended sweep of three trials, one of them stopped."""
    store = open_store(str(tmp_path_factory.mktemp("ended")))
    search(make_plan(), store)
    return store


def _searched(store: ObjectStore, *, share: float = 1.0, **confirm_settings: Any) -> Searched:
    plan = make_plan(confirm=ConfirmSettings(**confirm_settings), audit=AuditSettings(share=share))
    return Searched(
        plan=plan,
        features=ToyFeatures(store),  # type: ignore[arg-type]
        splits={None: own_split()},
        split=own_split(),
        row=SWEEP_ROW,
        feature_spec={},
    )


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[PlannedTrials]:
    """What would have been run; of each the first trial cannot be run, and the second fails."""
    found: list[PlannedTrials] = []

    def run(planned: PlannedTrials, *arguments: Any, **named: Any) -> PlannedOutcome:
        found.append(planned)
        failures = (Failure(reason="the process died", is_open=True), Failure(reason="not_finite", is_open=False))
        failed = {one.number: failure for one, failure in zip(planned.suggestions, failures, strict=False)}
        return PlannedOutcome(num_found=0, num_run=0, failed=failed)

    monkeypatch.setattr(follow_ups, "run_follow_up", run)
    return found


def test_what_could_not_be_run_is_said_and_counted_and_what_failed_is_said(
    ended: ObjectStore, ran: list[PlannedTrials], capsys: pytest.CaptureFixture[str]
) -> None:
    assert confirm(_searched(ended, best=2, seeds=(1, 2, 3))) == 1
    printed = capsys.readouterr().out
    assert "2 configurations × 3 seeds" in printed
    best, other = (one.of_trial for one in ran[0].suggestions)
    assert best != other
    assert "failed: the process died; the same command tries it again" in printed
    assert "failed: not_finite\n" in printed


def test_a_confirmation_that_would_add_nothing_is_not_made(
    ended: ObjectStore, ran: list[PlannedTrials], capsys: pytest.CaptureFixture[str]
) -> None:
    assert confirm(_searched(ended)) == 0
    assert "the sweep itself has all seeds" in capsys.readouterr().out
    assert ran == []
    confirm(_searched(ended, best=3))  # the third was stopped
    assert len(ran[0].suggestions) == 3


def test_an_audit_says_how_many_were_drawn(
    ended: ObjectStore, ran: list[PlannedTrials], capsys: pytest.CaptureFixture[str]
) -> None:
    assert audit(_searched(ended)) == 1
    printed = capsys.readouterr().out
    assert "1 of 1 stopped trials are run to their end (sweep.audit.share=1)" in printed
    assert "audit: cnn #2 failed" in printed


def test_where_nothing_is_drawn_that_is_said_and_nothing_is_run(
    ended: ObjectStore, ran: list[PlannedTrials], capsys: pytest.CaptureFixture[str]
) -> None:
    assert audit(_searched(ended, share=1e-9)) == 0
    assert "of 1 stopped trials none was drawn" in capsys.readouterr().out
    assert audit(_searched(ended, share=0.0)) == 0
    assert confirm(_searched(ended, best=0)) == 0
    assert capsys.readouterr().out == ""
    assert ran == []


def test_where_nothing_has_ended_there_is_nothing_to_confirm(
    tmp_path: Path, ran: list[PlannedTrials], capsys: pytest.CaptureFixture[str]
) -> None:
    assert confirm(_searched(open_store(str(tmp_path)))) == 0
    assert "no configuration has ended" in capsys.readouterr().out
    assert ran == []


def test_smoke_confirms_on_one_fold_alone() -> None:
    clips = tuple(
        Clip(clip_id=f"c{row:02d}", recording_id=f"c{row:02d}", uri=f"{row}.wav", labels=("ab"[row % 2],))
        for row in range(24)
    )
    manifest = Manifest(name="toy", root=".", clips=clips)
    settings = parse_settings(JobSettings, ["sweep.confirm.folds=true", "folds.num_folds=3"])
    whole, smoke = (splits_to_confirm_on(manifest, own_split(), settings, is_smoke=one) for one in (False, True))
    assert (list(whole), list(smoke)) == ([1, 2, 3], [1])
    plain = parse_settings(JobSettings, [])
    assert splits_to_confirm_on(manifest, own_split(), plain, is_smoke=False) == {None: own_split()}


def test_progress_counts_seed_epochs_over_all_trials() -> None:
    told: list[tuple[int, int | None, str]] = []
    watch = SeedEpochs(
        lambda done, total, text="": told.append((done, total, text)), {3: "cnn #3", 5: "cnn #5"}, per_trial=6
    )
    metrics = EpochMetrics(
        epoch=1,
        train_loss=1.5,
        validation_loss=1.0,
        validation_accuracy=0.5,
        validation_score=0.25,
        learning_rate=0.1,
        epoch_seconds=1.0,
    )
    news: list[News] = [
        FoldEnded(number=3, fold=None, state="finished"),
        FoldNews(number=5, fold=None, news=EpochNews(seed=7, seed_epoch=4, objective=0.5, metrics=metrics)),
    ]
    for one in news:
        watch(one)
    assert told == [(6, 12, "cnn #3 has ended"), (10, 12, "cnn #5 seed 7 epoch 1: loss 1.500, validation 0.250")]
