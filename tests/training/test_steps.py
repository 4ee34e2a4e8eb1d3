"""A step moves the weights by the mean gradient of its clips, however they are cut into batches and pieces."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import nn

from training import TrialConfig
from training.config import with_values
from training.losses import Loss
from training.steps import Batch, LazyBatch, OutOfMemory, Stepper

CPU = torch.device("cpu")


class Scarce(nn.Module):
    """A model on a device with room for a few clips."""

    def __init__(self, most_clips: int, *, norm: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(nn.Linear(6, 5), nn.BatchNorm1d(5) if norm else nn.Identity(), nn.Linear(5, 3))
        self.most_clips = most_clips
        self.seen: list[int] = []

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if len(x) > self.most_clips:
            raise torch.OutOfMemoryError
        self.seen.append(len(x))
        return self.layers(x)  # type: ignore[no-any-return]


def lazy(sizes: Sequence[int]) -> list[LazyBatch]:
    """The same clips, cut into batches of these sizes."""
    generator = torch.Generator().manual_seed(4)
    inputs = torch.randn(sum(sizes), 6, generator=generator)
    targets = torch.eye(3)[torch.randint(3, (sum(sizes),), generator=generator)]

    def maker(batch: Batch) -> Callable[[], Batch]:
        return lambda: batch

    batches = zip(inputs.split(list(sizes)), targets.split(list(sizes)), strict=True)
    return [LazyBatch(make=maker(batch), num_clips=len(batch[0])) for batch in batches]


def stepper(config: TrialConfig, model: nn.Module, events: list[str]) -> Stepper:
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    loss = Loss(config.loss, torch.eye(3), activation="softmax")
    return Stepper(config, model, loss, optimizer, CPU, on_event=events.append)


def step_of(config: TrialConfig, sizes: Sequence[int], *, most_clips: int = 99, events: Any = None) -> Scarce:
    model = Scarce(most_clips)
    stepper(config, model, [] if events is None else events).step(lazy(sizes))
    return model


def gradients(model: nn.Module) -> torch.Tensor:
    return torch.cat([parameter.grad.reshape(-1) for parameter in model.parameters() if parameter.grad is not None])


@pytest.mark.parametrize("sizes", [(4, 4), (4, 2), (5, 1), (4, 4, 3)])
def test_accumulated_batches_make_the_step_of_one_large_one(trial_config: TrialConfig, sizes: tuple[int, ...]) -> None:
    accumulated, at_once = step_of(trial_config, sizes), step_of(trial_config, [sum(sizes)])
    torch.testing.assert_close(gradients(accumulated), gradients(at_once), rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(("most_clips", "pieces"), [(4, [4, 4]), (3, [2, 2, 2, 2]), (1, [1] * 8)])
def test_what_does_not_fit_is_computed_in_pieces_to_the_same_gradient(
    trial_config: TrialConfig, most_clips: int, pieces: list[int]
) -> None:
    events: list[str] = []
    scarce, plenty = (
        step_of(trial_config, [8], most_clips=most_clips, events=events),
        step_of(trial_config, [8]),
    )
    torch.testing.assert_close(gradients(scarce), gradients(plenty), rtol=1e-5, atol=1e-7)
    assert scarce.seen[-len(pieces) :] == pieces
    assert events[-1] == f"out of memory: batches are now computed in {len(pieces)} pieces"


def test_a_later_step_and_one_that_was_taken_up_again_begin_with_the_pieces_that_fitted(
    trial_config: TrialConfig,
) -> None:
    events: list[str] = []
    first = stepper(trial_config, Scarce(4), events)
    first.step(lazy([8]))
    first.step(lazy([8]))
    again = stepper(trial_config, Scarce(4), events)
    again.load(first.state())
    again.step(lazy([8]))
    assert len(events) == 1
    assert again.num_pieces == 2


def test_one_clip_that_does_not_fit_ends_the_trial(trial_config: TrialConfig) -> None:
    with pytest.raises(OutOfMemory, match=r"^one clip needs more memory than cpu has left\. Use a smaller"):
        step_of(trial_config, [8], most_clips=0)


def test_where_batchnorm_trains_no_piece_has_a_single_clip(trial_config: TrialConfig) -> None:
    model = Scarce(3, norm=True)
    stepper(trial_config, model, []).step(lazy([8, 9, 3]))
    assert min(model.seen) >= 2
    model = Scarce(1, norm=True)
    with pytest.raises(OutOfMemory, match="the fewest that BatchNorm trains on"):
        stepper(trial_config, model, []).step(lazy([8]))


def test_an_optimizer_state_that_does_not_fit_says_what_to_do(trial_config: TrialConfig) -> None:
    model = Scarce(99)

    class Hungry(torch.optim.SGD):
        def step(self, closure: Any = None) -> Any:
            raise torch.OutOfMemoryError

    loss = Loss(trial_config.loss, torch.eye(3), activation="softmax")
    steps = Stepper(trial_config, model, loss, Hungry(model.parameters(), lr=0.1), CPU)
    with pytest.raises(OutOfMemory, match=r"the state of adamw needs more memory .*optimizer\.kind=sgd"):
        steps.step(lazy([8]))


def test_the_norm_of_the_whole_step_is_clipped(trial_config: TrialConfig) -> None:
    config = with_values(trial_config, {"optimizer.clip_norm": 0.01})
    assert float(gradients(step_of(config, (4, 2))).norm()) == pytest.approx(0.01, rel=1e-3)
