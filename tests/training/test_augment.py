"""Augmentation does what its name says, to each clip by itself, and follows from the Generator alone."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch

from training.augment import augment, flip, gains_db, mask_axis, roll_in_time, shift
from training.mixing import mix
from training.pasting import paste_crops
from training.recipe import AugmentConfig

BATCH = torch.arange(4 * 6 * 10, dtype=torch.float32).reshape(4, 1, 6, 10) + 1
TARGETS = torch.eye(4)
_EVERYTHING = AugmentConfig(
    roll=True,
    flip_probability=0.5,
    frequency_flip_probability=0.5,
    shift_frames=3,
    shift_bands=2,
    shift_probability=0.5,
    inaugment_probability=0.5,
    time_mask_frames=3,
    frequency_mask_bands=2,
    mask_probability=0.7,
    mix="mixup",
    mix_alpha=0.4,
)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("mixing", ["mixup", "cutmix", "resizemix"])
def test_the_same_generator_gives_the_same_batch_and_another_one_another(mixing: Any) -> None:
    config = replace(_EVERYTHING, mix=mixing)
    first, second = augment(BATCH, TARGETS, config, seeded()), augment(BATCH, TARGETS, config, seeded())
    other = augment(BATCH, TARGETS, config, seeded(1))
    assert torch.equal(first[0], second[0])
    assert torch.equal(first[1], second[1])
    assert not torch.equal(first[0], other[0])


def test_nothing_is_done_where_everything_is_off() -> None:
    generator = seeded()
    for config in (AugmentConfig(), AugmentConfig(shift_frames=3, shift_probability=0.0)):
        x, targets = augment(BATCH, TARGETS, config, generator)
        assert torch.equal(x, BATCH)
        assert torch.equal(targets, TARGETS)
        assert gains_db(4, config, generator) is None
    assert torch.equal(generator.get_state(), seeded().get_state())  # nothing was drawn


def test_what_is_off_draws_nothing_so_that_older_recipes_keep_their_numbers() -> None:
    x, _ = augment(BATCH, TARGETS, AugmentConfig(flip_probability=0.5, time_mask_frames=4), seeded(2))
    generator = seeded(2)
    turned = torch.rand(4, generator=generator) < 0.5
    masks = [mask_axis(BATCH.shape, axis=3, max_width=4, generator=generator) for _ in range(2)]
    expected = torch.where(turned[:, None, None, None], BATCH.flip(3), BATCH).masked_fill(masks[0] | masks[1], 0.0)
    assert torch.equal(x, expected)


def test_the_batch_given_is_left_alone() -> None:
    before = BATCH.clone()
    mixings: tuple[Any, ...] = ("mixup", "cutmix", "resizemix")
    for mixing in mixings:
        augment(BATCH, TARGETS, replace(_EVERYTHING, mix=mixing), seeded())
    assert torch.equal(BATCH, before)


def test_a_rolled_clip_is_a_rotation_of_itself_in_time() -> None:
    rolled = roll_in_time(BATCH, seeded())
    for clip, original in zip(rolled, BATCH, strict=True):
        assert any(torch.equal(clip, original.roll(shift, dims=2)) for shift in range(10))
    assert not torch.equal(rolled, BATCH)


@pytest.mark.parametrize(
    ("axis", "config"),
    [(2, AugmentConfig(frequency_flip_probability=0.25)), (3, AugmentConfig(flip_probability=0.25))],
)
def test_some_clips_are_turned_around_and_the_others_not(axis: int, config: AugmentConfig) -> None:
    originals, labels = BATCH.repeat(50, 1, 1, 1), TARGETS.repeat(50, 1)
    flipped, targets = augment(originals, labels, config, seeded())
    turned = [torch.equal(clip, original.flip(axis - 1)) for clip, original in zip(flipped, originals, strict=True)]
    same = [torch.equal(clip, original) for clip, original in zip(flipped, originals, strict=True)]
    assert all(a != b for a, b in zip(turned, same, strict=True))
    assert 25 < sum(turned) < 75
    assert torch.equal(targets, labels)


def test_a_clip_with_its_bands_turned_around_begins_with_the_highest() -> None:
    clip = torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]).view(1, 1, 3, 2)
    turned = flip(clip, axis=2, probability=1.0, generator=seeded())
    assert turned[0, 0].tolist() == [[5.0, 6.0], [3.0, 4.0], [1.0, 2.0]]
    assert flip(clip, axis=3, probability=1.0, generator=seeded())[0, 0].tolist() == [
        [2.0, 1.0],
        [4.0, 3.0],
        [6.0, 5.0],
    ]


def test_a_shifted_clip_stands_where_it_was_moved_to_and_is_0_where_it_was() -> None:
    clips = torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]).expand(4, 1, 2, 3)
    in_time = shift(clips, torch.tensor([1, 0, -1, -2]), axis=3)[:, 0]
    assert in_time.tolist() == [
        [[0.0, 1.0, 2.0], [0.0, 4.0, 5.0]],
        [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]],
        [[2.0, 3.0, 0.0], [5.0, 6.0, 0.0]],
        [[3.0, 0.0, 0.0], [6.0, 0.0, 0.0]],
    ]
    in_frequency = shift(clips, torch.tensor([1, 0, -1, 0]), axis=2)[:, 0]
    assert in_frequency.tolist() == [
        [[0.0, 0.0, 0.0], [1.0, 2.0, 3.0]],
        [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]],
        [[4.0, 5.0, 6.0], [0.0, 0.0, 0.0]],
        [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]],
    ]


@pytest.mark.parametrize(("axis", "field"), [(2, "shift_bands"), (3, "shift_frames")])
def test_every_shift_up_to_the_largest_comes_up_either_way_and_of_every_channel_alike(axis: int, field: str) -> None:
    originals = BATCH[:1].expand(300, 3, 6, 10)
    moved, _ = augment(originals, torch.ones(300, 1), AugmentConfig(**{field: 2}), seeded())  # type: ignore[arg-type]
    found = set()
    for clip in moved:
        (places,) = (
            n for n in range(-2, 3) if torch.equal(clip, shift(originals[:1], torch.tensor([n]), axis=axis)[0])
        )
        found.add(places)
    assert found == {-2, -1, 0, 1, 2}


def test_as_many_clips_are_shifted_as_asked_and_never_out_of_sight() -> None:
    config = AugmentConfig(shift_frames=100, shift_bands=100, shift_probability=0.3)
    moved, _ = augment(BATCH[:1].expand(400, 1, 6, 10), torch.ones(400, 1), config, seeded())
    changed = (moved != BATCH[:1]).flatten(1).any(dim=1)
    assert 80 < int(changed.sum()) < 160
    assert (moved != 0).flatten(1).any(dim=1).all()


def test_a_mask_is_one_band_no_wider_than_allowed() -> None:
    mask = mask_axis(torch.Size([200, 1, 6, 10]), axis=3, max_width=4, generator=seeded())
    assert mask.shape == (200, 1, 1, 10)
    widths = mask.sum(dim=3).flatten()
    edges = mask.int().diff(dim=3, prepend=torch.zeros(200, 1, 1, 1), append=torch.zeros(200, 1, 1, 1)).abs().sum(dim=3)
    assert set(widths.tolist()) == {0, 1, 2, 3, 4}
    assert set(edges.flatten().tolist()) <= {0, 2}
    assert mask.any(dim=0).all()  # every frame is hidden in some clip


def test_hidden_places_are_0_and_all_others_untouched() -> None:
    config = AugmentConfig(time_mask_frames=4, frequency_mask_bands=3)
    x, _ = augment(BATCH, TARGETS, config, seeded())
    assert ((x == BATCH) | (x == 0)).all()
    assert (x == 0).any()


def test_gains_are_uniform_between_their_limits() -> None:
    gains = gains_db(4000, AugmentConfig(gain_db=6.0), seeded())
    assert gains is not None
    assert gains.shape == (4000, 1, 1)
    assert -6 <= float(gains.min()) < -5.9
    assert 5.9 < float(gains.max()) <= 6


def test_mixup_weighs_clips_as_it_weighs_their_labels() -> None:
    x, targets = mix(BATCH, TARGETS, AugmentConfig(mix_alpha=0.4), seeded())
    # Every clip is a weighted mean of the batch's, with the weights that its target has.
    torch.testing.assert_close(x, torch.einsum("bl,lcmt->bcmt", targets, BATCH))
    torch.testing.assert_close(targets.sum(dim=1), torch.ones(4))


@pytest.mark.parametrize("seed", range(5))
def test_cutmix_pastes_a_box_of_another_clip_at_its_own_place_and_counts_its_share(seed: int) -> None:
    x, targets = mix(BATCH, TARGETS, AugmentConfig(mix="cutmix", mix_alpha=1.0), seeded(seed))
    for row in range(4):
        partner = int(targets[row].masked_fill(TARGETS[row] > 0, -1).argmax())
        pasted = x[row] != BATCH[row]
        assert torch.equal(x[row][pasted], BATCH[partner][pasted])
        if partner != row and bool(pasted.any()):
            assert float(targets[row, row]) == pytest.approx(1 - pasted.float().mean().item(), abs=1e-6)


def test_resizemix_pastes_the_whole_of_another_clip_smaller() -> None:
    flat = torch.arange(4.0).view(4, 1, 1, 1).expand(4, 1, 20, 30).contiguous()
    x, targets = mix(flat, TARGETS, AugmentConfig(mix="resizemix", mix_alpha=1.0), seeded())
    torch.testing.assert_close(x.mean(dim=(1, 2, 3)), targets @ torch.arange(4.0))


def test_a_batch_is_mixed_as_often_as_asked() -> None:
    config = AugmentConfig(mix_alpha=0.4, mix_probability=0.3)
    generator = seeded()
    mixed = sum(not torch.equal(mix(BATCH, TARGETS, config, generator)[1], TARGETS) for _ in range(400))
    assert 80 < mixed < 160


def test_inaugment_keeps_what_it_does_not_cover_and_pastes_of_the_clip_itself() -> None:
    generator = seeded()
    for _ in range(20):
        x = paste_crops(BATCH, 1.0, generator)
        changed = (x != BATCH).flatten(1).any(dim=1)
        assert changed.any()
        low, high = BATCH.amin(dim=(1, 2, 3)), BATCH.amax(dim=(1, 2, 3))
        assert (x.amin(dim=(1, 2, 3)) >= low).all()
        assert (x.amax(dim=(1, 2, 3)) <= high).all()


def test_inaugment_pastes_a_crop_of_the_clip_resized() -> None:
    # A ramp over time stays a ramp when a crop of it is resized: what is pasted runs from one value of it to another.
    ramp = torch.arange(40.0).expand(1, 1, 30, 40)
    for seed in range(20):
        x = paste_crops(ramp, 1.0, seeded(seed))
        changed = (x != ramp)[0, 0]
        rows, columns = changed.any(dim=1).nonzero()[:, 0], changed.any(dim=0).nonzero()[:, 0]
        height, width = (int(found.max() - found.min()) + 1 for found in (rows, columns))
        assert 0.2 * 30 - 1 <= height <= 0.6 * 30 + 1
        assert width <= 0.6 * 40 + 1
        piece = x[0, 0, rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
        torch.testing.assert_close(piece, piece[:1].expand_as(piece), atol=1e-4, rtol=0)
        inner = piece[0].diff()[1:-1]  # bilinear resizing repeats the values at both ends
        torch.testing.assert_close(inner, inner[:1].expand_as(inner), atol=1e-4, rtol=0)
        assert (0.2 / 0.6 - 0.2 <= inner).all()
        assert (inner <= 0.6 / 0.2 + 0.5).all()


@pytest.mark.parametrize(
    "operation",
    [
        lambda x, g: paste_crops(x, 0.5, g),
        roll_in_time,
        lambda x, g: augment(x, torch.ones(len(x), 1), AugmentConfig(shift_frames=2, shift_bands=2), g)[0],
    ],
)
def test_shapes_stay(operation: Callable[[torch.Tensor, torch.Generator], torch.Tensor]) -> None:
    for shape in ((1, 1, 1, 1), (2, 3, 1, 7), (3, 1, 5, 2)):
        assert operation(torch.ones(shape), seeded()).shape == shape
