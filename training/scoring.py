"""A model's answers on one part: batches forward, windows to clips, clips to an `Evaluation`."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import nn

from models import Classifier
from storage.split import Part
from training.inputs import DeviceData
from training.metrics import Evaluation, evaluate
from training.row_batches import RowBatches


def score(
    model: nn.Module,
    data: DeviceData,
    part: Part,
    *,
    autocast: Callable[[], AbstractContextManager[Any]],
    batches: RowBatches,
) -> Evaluation | None:
    """Scores a part, or returns None where an output is not finite. Leaves the model in evaluation mode."""
    probabilities_RL = answers(model, data, part, autocast=autocast, batches=batches)
    if not bool(probabilities_RL.isfinite().all()):
        return None
    of_part = data.parts[part]
    return evaluate(
        clip_ids=of_part.clip_ids,
        groups=of_part.groups,
        targets=(of_part.targets[of_part.first_row.to(of_part.targets.device)] > 0).cpu().numpy(),
        first_label=of_part.first_label.numpy(),
        probabilities=clip_means(probabilities_RL.cpu(), of_part.clip_of_row, len(of_part.clip_ids)).numpy(),
        is_multi_label=data.is_multi_label,
        activation=data.activation,
    )


def answers(
    model: nn.Module,
    data: DeviceData,
    part: Part,
    *,
    autocast: Callable[[], AbstractContextManager[Any]],
    batches: RowBatches,
) -> torch.Tensor:
    """Probabilities of every row, float32 (rows, L): a softmax, or a sigmoid a label, as the loss has it."""
    model.eval()
    logits_RL = _of_rows(model, data, part, autocast, batches)
    return logits_RL.sigmoid() if data.activation == "sigmoid" else logits_RL.softmax(dim=1)


def embeddings(
    model: Classifier,
    data: DeviceData,
    part: Part,
    *,
    autocast: Callable[[], AbstractContextManager[Any]],
    batches: RowBatches,
) -> torch.Tensor:
    """What the head sees of every clip, the mean over its windows; float32 (clips, D) on the CPU."""
    model.eval()
    embed = model.embed if data.embedding is None else torch.nn.Identity()
    of_rows_RD = _of_rows(embed, data, part, autocast, batches)
    of_part = data.parts[part]
    return clip_means(of_rows_RD.cpu(), of_part.clip_of_row, len(of_part.clip_ids)).float()


def clip_means(of_rows_RL: torch.Tensor, clip_of_row: torch.Tensor, num_clips: int) -> torch.Tensor:
    """Mean over the windows of every clip, float64 (clips, L)."""
    sums = torch.zeros((num_clips, of_rows_RL.shape[1]), dtype=torch.float64)
    sums.index_add_(0, clip_of_row, of_rows_RL.double())
    return sums / clip_of_row.bincount(minlength=num_clips)[:, None]


def _of_rows(
    answer: Callable[[torch.Tensor], torch.Tensor],
    data: DeviceData,
    part: Part,
    autocast: Callable[[], AbstractContextManager[Any]],
    batches: RowBatches,
) -> torch.Tensor:
    """What is answered to every row of a part, float32, batch by batch."""
    log_mel, scaling = data.parts[part].log_mel, data.scaling

    def of_batch(rows: slice) -> torch.Tensor:
        return answer(scaling.shaped(scaling.scaled(log_mel[rows]))).float()

    input_size = scaling.input_size(log_mel.shape[1:])
    with torch.inference_mode(), autocast():
        return torch.cat(list(batches.answers(len(log_mel), of_batch, input_size=input_size)))
