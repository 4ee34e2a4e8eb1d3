"""A plan's identity, and what it makes of settings."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import save_file
from sweep_toys import make_plan

from jobs.command_line import parse_settings
from jobs.settings import JobSettings
from models import create_model
from search_spaces import get_space, list_spaces
from storage.errors import InvalidInput
from sweeps import ExperimentPlan, SweepSettings
from sweeps.studies import Studies
from training.embeddings import can_train_head


def test_the_same_plan_is_the_same_sweep_and_another_seed_list_another() -> None:
    assert make_plan().sweep_id == make_plan().sweep_id
    assert make_plan().sweep_id != make_plan(seeds=(1, 3)).sweep_id
    assert make_plan().sweep_id != replace(make_plan(), split_hash="6" * 16).sweep_id


def test_how_a_sweep_is_run_does_not_change_which_it_is() -> None:
    assert make_plan(max_concurrent_trials=3, cpus_per_trial=2.0).sweep_id == make_plan().sweep_id
    assert make_plan(cpus_per_trial="auto", gpus_per_trial="auto").sweep_id == make_plan().sweep_id


def test_another_kind_of_device_is_another_sweep_of_other_trials() -> None:
    on_cpu, on_gpu = make_plan(), replace(make_plan(), device="cuda")
    assert on_cpu.sweep_id != on_gpu.sweep_id
    configs = [plan.trial_config("cnn", {}) for plan in (on_cpu, on_gpu)]
    assert configs[0].trial_id != configs[1].trial_id
    assert [config.precision_resolved for config in configs] == ["fp32", "bf16"]


def test_a_changed_space_is_another_sweep(monkeypatch: pytest.MonkeyPatch) -> None:
    before = make_plan().sweep_id
    space = get_space("cnn")
    monkeypatch.setattr(
        "sweeps.plan.get_space", lambda name: replace(space, default={**space.default, "optimizer.learning_rate": 1e-3})
    )
    assert make_plan().sweep_id != before


def test_sweep_trial_fixes_what_the_space_would_search() -> None:
    plan = make_plan(trial={"optimizer.learning_rate": 0.5, "model.width": 8})
    assert plan.trial_config("cnn", {}).optimizer.learning_rate == 0.5
    assert plan.trial_config("cnn", {}).model["width"] == 8
    assert "optimizer.learning_rate" not in plan.space("cnn").distributions
    assert "optimizer.weight_decay" in plan.space("cnn").distributions


def test_an_unknown_name_in_sweep_trial_is_told() -> None:
    with pytest.raises(InvalidInput, match=r"sweep\.trial\.learning_rat"):
        make_plan(trial={"learning_rat": 1}).trial_config("cnn", {})


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("architectures", ("cn",)),
        ("architectures", ()),
        ("architectures", ("cnn", "cnn")),
        ("seeds", (1, 1)),
        ("seeds", ()),
        ("num_trials", 0),
        ("epochs", 0),
        ("reduction_factor", 1),
        ("cpus_per_trial", 0.0),
        ("gpus_per_trial", -0.5),
        ("name", "../x"),
    ],
)
def test_settings_that_cannot_be_are_refused_by_name(field: str, value: object) -> None:
    with pytest.raises(InvalidInput, match=f"sweep.{field}"):
        SweepSettings(**{field: value})  # type: ignore[arg-type]


class TestGrace:
    """Seed-epochs before the first rung, against those of a seed."""

    @pytest.mark.parametrize("scheduler", ["seed_epochs", "asha"])
    def test_one_beyond_the_epochs_of_a_seed_is_refused(self, scheduler: str) -> None:
        with pytest.raises(InvalidInput, match=r"sweep\.grace_epochs: got 30; allowed: at most sweep\.epochs=25") as e:
            make_plan(epochs=25, grace_epochs=30, scheduler=scheduler)
        assert "Lower it" in e.value.remedy

    def test_one_of_all_epochs_leaves_the_rungs_between_seeds(self) -> None:
        assert make_plan(epochs=3, grace_epochs=3, seeds=(1, 2, 3)).rung_places(0) == (3, 6)

    @pytest.mark.parametrize("scheduler", ["fifo", "adaptive"])
    def test_without_rungs_it_may_be_anything(self, scheduler: str) -> None:
        assert make_plan(epochs=2, grace_epochs=3, scheduler=scheduler).settings.grace_epochs == 3


class TestTransfer:
    """Models of timm with published weights: `timm/<name>`."""

    def test_any_model_of_timm_has_a_space_whose_frozen_backbone_is_run_once(self) -> None:
        plan = make_plan(architectures=("timm/test_resnet",), trial={})
        space = plan.space("timm/test_resnet")
        assert {"model.head", "model.head_hidden", "model.dropout"} <= space.distributions.keys()
        assert not any(name.startswith("augment.") for name in {*space.default, *space.distributions})
        assert can_train_head(plan.trial_config("timm/test_resnet", {})) is None
        plan.check(feature_shape=(64, 64))

    def test_a_backbone_that_is_trained_is_disturbed_and_searched_so(self) -> None:
        plan = make_plan(architectures=("timm/test_resnet",), trial={"freeze": "none"})
        assert "augment.mix_alpha" in plan.space("timm/test_resnet").distributions
        assert plan.trial_config("timm/test_resnet", {}).augment.time_mask_frames > 0

    def test_a_frozen_backbone_of_any_other_space_is_not_disturbed_unless_asked_to(self, tmp_path: Path) -> None:
        save_file(create_model("cnn", num_classes=2, seed=0).state_dict(), tmp_path / "w.safetensors")
        frozen = {"freeze": "backbone", "weights": f"{tmp_path}/w.safetensors"}
        plan = make_plan(trial=frozen)
        assert can_train_head(plan.trial_config("cnn", {})) is None
        assert "augment.mix_alpha" not in plan.space("cnn").distributions
        asked = make_plan(trial={**frozen, "augment.mix_alpha": 0.3})
        assert asked.trial_config("cnn", {}).augment.mix_alpha == 0.3
        assert not asked.trial_config("cnn", {}).augment.roll

    def test_other_weights_by_the_same_name_are_another_sweep(self, monkeypatch: pytest.MonkeyPatch) -> None:
        before = make_plan(architectures=("timm/test_resnet",), trial={}).sweep_id
        monkeypatch.setattr("sweeps.configurations.name_of_published", lambda config: "timm/test_resnet.newer")
        assert make_plan(architectures=("timm/test_resnet",), trial={}).sweep_id != before

    def test_a_name_that_timm_does_not_have_is_told_before_anything_is_computed(self) -> None:
        for trial in ({"weights": "", "freeze": "none"}, {}):  # begun at random, and with published weights
            plan = make_plan(architectures=("cnn", "timm/test_resnett"), trial=trial)
            with pytest.raises(InvalidInput, match=r"near names: test_resnet") as told:
                plan.check(feature_shape=(64, 64))
            assert (told.value.field, told.value.given) == ("sweep.architectures", "timm/test_resnett")

    def test_a_model_without_published_weights_is_told_with_the_setting_that_says_which(self) -> None:
        with pytest.raises(InvalidInput, match=r"^sweep\.trial\.weights: .*coatnet_0_224: timm publishes"):
            make_plan(architectures=("timm/coatnet_0_224",), trial={}).check(feature_shape=(64, 64))

    def test_a_tag_that_timm_does_not_have_is_told_with_those_that_it_has(self) -> None:
        with pytest.raises(InvalidInput, match=r"no weights have the tag 'nothing'; allowed: r160_in1k") as told:
            make_plan(architectures=("timm/test_resnet.nothing",), trial={}).check(feature_shape=(64, 64))
        assert told.value.field == "sweep.architectures"


class TestFirst:
    def test_the_first_configuration_has_these_values_and_the_search_goes_on_from_there(self) -> None:
        plan = make_plan(first={"optimizer.learning_rate": 1e-3, "loss.kind": "bce"})
        first = Studies(plan).suggest(0)
        assert first is not None
        assert first.config.optimizer.learning_rate == 1e-3
        assert first.untuned_default
        assert "optimizer.learning_rate" in plan.space("cnn").distributions
        assert plan.trial_config("cnn", {"optimizer.learning_rate": 2e-3}).loss.kind == "bce"

    def test_a_searched_name_that_is_fixed_may_be_anywhere(self) -> None:
        values = {"optimizer.learning_rate": 0.5}
        plan = make_plan(first=values, trial=values)
        assert plan.trial_config("cnn", {}).optimizer.learning_rate == 0.5

    def test_another_one_is_another_sweep(self) -> None:
        assert make_plan(first={"optimizer.learning_rate": 1e-3}).sweep_id != make_plan().sweep_id

    @pytest.mark.parametrize(
        ("first", "told"),
        [
            (
                {"optimizer.learning_rate": 7.0},
                r"^sweep\.first\.optimizer\.learning_rate: got 7\.0; allowed: values of",
            ),
            ({"optimizer.learning_rate": "x"}, r"^sweep\.first\.optimizer\.learning_rate: got 'x'; .* for timm/"),
            ({"optimizer.learning_rat": 1e-3}, r"^sweep\.first\.optimizer\.learning_rat: .*Did you mean"),
            ({"": 1}, r"^sweep\.first\.: got 1; allowed: a known name"),
            ({"model.head": ["x"]}, r"^sweep\.first\.model\.head: got \['x'\]"),
        ],
    )
    def test_what_cannot_be_is_refused(self, first: dict[str, Any], told: str) -> None:
        plan = make_plan(architectures=("timm/test_resnet",), trial={"weights": "", "freeze": "none"}, first=first)
        with pytest.raises(InvalidInput, match=told):
            plan.check(feature_shape=(64, 64))


def test_the_search_of_s1_begins_with_its_recipe_and_varies_its_head() -> None:
    settings = parse_settings(JobSettings, ["preset=s1"])
    plan = replace(make_plan(), settings=settings.sweep)
    (architecture,) = settings.sweep.architectures
    first = Studies(plan).suggest(0)
    assert first is not None
    recipe = replace(make_plan(), settings=settings.sweep)
    trained = ExperimentPlan(
        settings=settings.train,
        dataset=recipe.dataset,
        fingerprint=recipe.fingerprint,
        split_hashes={5: recipe.split_hash},
        device="cpu",
    ).trial_config(5)
    ours, theirs = first.config.to_dict(), trained.to_dict()
    differing = {name for name in ours if ours[name] != theirs[name]}
    assert differing == {"seeds", "model"}
    assert ours["model"] == {**theirs["model"], "dropout": 0.5}  # what the head has by itself
    assert {"optimizer.learning_rate", "optimizer.weight_decay", "model.head"} <= plan.space(
        architecture
    ).distributions.keys()
    assert can_train_head(first.config) is None


@pytest.mark.parametrize("architecture", list_spaces())
def test_every_space_makes_a_trial_and_a_model(architecture: str) -> None:
    from models import create_model

    config = make_plan(architectures=(architecture,), trial={}).trial_config(architecture, {})
    create_model(architecture, num_classes=2, in_channels=1, seed=0, options=config.model)


def test_there_is_a_space_for_every_architecture() -> None:
    from models import list_architectures

    assert set(list_spaces()) == set(list_architectures())


def test_features_of_two_channels_are_refused_before_anything_is_computed() -> None:
    with pytest.raises(InvalidInput, match=r"features\.representation: got 'features of shape \(2, 64, 65\)'"):
        make_plan().check(feature_shape=(2, 64, 65))


def test_features_with_other_clips_in_quarantine_make_another_sweep_of_other_trials() -> None:
    whole, retried = make_plan(), replace(make_plan(), quarantine_hash="9" * 16)
    assert whole.sweep_id != retried.sweep_id
    assert whole.trial_config("cnn", {}).trial_id != retried.trial_config("cnn", {}).trial_id


def test_the_quarantine_is_not_for_users_to_set() -> None:
    with pytest.raises(InvalidInput, match=r"sweep\.trial\.quarantine_hash"):
        make_plan(trial={"quarantine_hash": "1"}).trial_config("cnn", {})


@pytest.mark.parametrize("seeds", [(), (1, 1), (2**63,), (10**20,)])
def test_seeds_that_no_table_takes_are_refused(seeds: tuple[int, ...]) -> None:
    with pytest.raises(InvalidInput, match=r"sweep\.seeds: .* of 64 bits"):
        make_plan(seeds=seeds)
