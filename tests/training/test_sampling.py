"""What an epoch is made of: every row once, one window of every clip, or labels in equal shares."""

import numpy as np
import torch

from training.inputs import DevicePart
from training.recipe import InputConfig, LoopConfig
from training.sampling import epoch_rows


def _part(clip_of_row: list[int], labels_of_row: list[list[int]], num_labels: int = 3) -> DevicePart:
    targets = torch.zeros(len(clip_of_row), num_labels)
    for row, labels in enumerate(labels_of_row):
        targets[row, labels] = 1.0
    clips = sorted(set(clip_of_row))
    return DevicePart(
        log_mel=torch.zeros(len(clip_of_row), 2, 2),
        targets=targets,
        clip_of_row=torch.tensor(clip_of_row),
        clip_ids=tuple(map(str, clips)),
        groups=tuple(map(str, clips)),
        first_row=torch.tensor([clip_of_row.index(clip) for clip in clips]),
        first_label=torch.zeros(len(clips), dtype=torch.int64),
    )


def _draw(part: DevicePart, generator: torch.Generator, **loop: str) -> list[int]:
    return epoch_rows(part, InputConfig(), LoopConfig(**loop), generator).tolist()  # type: ignore[arg-type]


def test_an_epoch_has_every_row_once_in_another_order_each_time() -> None:
    part, generator = _part([0, 0, 1, 2, 2, 2], [[0]] * 6), torch.Generator().manual_seed(0)
    first, second = _draw(part, generator), _draw(part, generator)
    assert sorted(first) == sorted(second) == list(range(6))
    assert first != second


def test_one_window_of_every_clip_each_as_likely_as_the_others() -> None:
    part, generator = _part([0, 0, 1, 2, 2, 2], [[0]] * 6), torch.Generator().manual_seed(0)
    counts = np.zeros(6)
    for _ in range(3000):
        rows = epoch_rows(part, InputConfig(train_windows="random"), LoopConfig(), generator)
        assert sorted(part.clip_of_row[rows].tolist()) == [0, 1, 2]
        counts[rows.numpy()] += 1
    np.testing.assert_allclose(counts / 3000, [1 / 2, 1 / 2, 1, 1 / 3, 1 / 3, 1 / 3], atol=0.04)


def test_the_window_that_is_drawn_does_not_depend_on_the_number_of_threads() -> None:
    num_clips, windows = 2500, 4
    part = _part([clip for clip in range(num_clips) for _ in range(windows)], [[0]] * (num_clips * windows))
    threads = torch.get_num_threads()
    try:
        drawn = []
        for num_threads in (1, 2, 4):
            torch.set_num_threads(num_threads)
            generator = torch.Generator().manual_seed(7)
            drawn.append(epoch_rows(part, InputConfig(train_windows="random"), LoopConfig(), generator))
    finally:
        torch.set_num_threads(threads)
    numbers = torch.rand(num_clips * windows, generator=torch.Generator().manual_seed(7)).reshape(-1, windows)
    largest = numbers.argmax(dim=1) + windows * torch.arange(num_clips)  # no two of a clip are equal
    assert all(torch.equal(rows.sort().values, largest) for rows in drawn)
    assert all(torch.equal(rows, drawn[0]) for rows in drawn)


def test_balanced_draws_have_every_label_equally_often_and_as_many_rows_as_before() -> None:
    labels = [[0]] * 90 + [[1]] * 9 + [[2]] * 1
    part, generator = _part(list(range(100)), labels), torch.Generator().manual_seed(0)
    counts = np.zeros(3)
    for _ in range(60):
        rows = _draw(part, generator, sampling="balanced")
        assert len(rows) == 100
        counts += part.targets[rows].sum(dim=0).numpy()
    np.testing.assert_allclose(counts / 6000, 1 / 3, atol=0.03)


def test_a_label_without_a_row_is_never_drawn_and_rows_of_several_labels_are() -> None:
    part, generator = _part([0, 1], [[0, 2], [2]]), torch.Generator().manual_seed(0)
    drawn = [row for _ in range(200) for row in _draw(part, generator, sampling="balanced")]
    assert set(drawn) == {0, 1}
    assert abs(np.mean(drawn) - 0.25) < 0.06  # row 1 only where label 2 was drawn, and then in half of the cases
