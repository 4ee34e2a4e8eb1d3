"""Which rows an epoch trains on, and in which order; every draw from the Generator given.

Enters: a part on its device. Leaves: row numbers on the CPU.
"""

import torch

from training.inputs import DevicePart
from training.recipe import InputConfig, LoopConfig


def epoch_rows(part: DevicePart, inputs: InputConfig, loop: LoopConfig, generator: torch.Generator) -> torch.Tensor:
    """int64 (rows of the epoch,).

    An epoch has every row once; with `train_windows: random` one row of every clip, drawn anew each epoch; and with
    `sampling: balanced` as many draws with replacement, first a label, each as likely, then a row that has it.
    """
    rows = _one_row_a_clip(part, generator) if inputs.train_windows == "random" else torch.arange(part.num_rows)
    if loop.sampling == "balanced":
        return rows[_balanced(part.targets[rows.to(part.targets.device)].cpu(), generator)]
    return rows[torch.randperm(len(rows), generator=generator)]


def _one_row_a_clip(part: DevicePart, generator: torch.Generator) -> torch.Tensor:
    # The largest of as many uniform numbers as a clip has rows falls on each of them with the same probability.
    order = torch.rand(part.num_rows, generator=generator).argsort(stable=True)
    by_clip = order[part.clip_of_row[order].argsort(stable=True)]  # clip after clip, its largest number last
    return by_clip[part.clip_of_row.bincount(minlength=len(part.clip_ids)).cumsum(0) - 1]


def _balanced(targets_RL: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Positions of as many rows as there are; labels without a row are never drawn."""
    has_label = targets_RL > 0
    rows_per_label = has_label.sum(dim=0)
    labels = torch.multinomial((rows_per_label > 0).float(), len(targets_RL), replacement=True, generator=generator)
    place = (torch.rand(len(labels), generator=generator) * rows_per_label[labels]).long()
    first = torch.cat([torch.zeros(1, dtype=torch.int64), rows_per_label.cumsum(0)[:-1]])
    rows_by_label = has_label.T.nonzero()[:, 1]  # label after label
    return rows_by_label[first[labels] + place]
