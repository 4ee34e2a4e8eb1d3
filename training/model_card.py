"""What is written on a trained model: everything that is needed to use it, and where it comes from.

Enters: a trial's configuration, a seed's result and the data. Leaves: the `ModelCard` of that seed's best weights.
"""

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

from storage.model_file import ModelCard
from training.config import TrialConfig
from training.data import TrialData
from training.metrics import Evaluation
from training.seed_run import SeedResult


def model_card(config: TrialConfig, result: SeedResult, data: TrialData, *, features: Mapping[str, Any]) -> ModelCard:
    """The card of `result.best_weights`.

    Args:
        features: the feature spec whose fingerprint the configuration names, field by field.
    """
    return ModelCard(
        architecture=config.architecture,
        options=dict(config.model),
        labels=data.labels,
        is_multi_label=data.is_multi_label,
        activation=config.loss.activation(is_multi_label=data.is_multi_label),
        features=_as_json(features),
        fingerprint=config.fingerprint,
        inputs=dataclasses.asdict(config.input),
        mean_db=data.mean_db,
        deviation_db=data.deviation_db,
        dataset=config.dataset,
        split_hash=config.split_hash,
        trial=_as_json(config.to_dict()),
        seed=result.seed,
        best_epoch=result.best_epoch,
        scores={"validation": _scores(result.validation), "test": _scores(result.test)},
    )


def _scores(evaluation: Evaluation) -> dict[str, float | None]:
    return {"loss": evaluation.loss, **evaluation.scores}


def _as_json(values: Mapping[str, Any]) -> dict[str, Any]:
    """As they will be read back: lists for tuples."""
    return dict(json.loads(json.dumps(dict(values))))
