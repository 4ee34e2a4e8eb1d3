"""What every trial of a sweep reserves, by its architecture; measured first, where the settings leave it to that.

Enters: a plan, the trials' context in Ray's object store, the results table. Leaves: `Shares`, which travel to trials
and answer Tune before each of them.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import ray

from cluster.session import NodeResources, cluster_resources
from cluster.waiting import wait_for_node
from search_spaces.largest import largest_values
from storage.results_table import ResultsTable
from sweeps.measurements import Measurements
from sweeps.measuring import CannotMeasure, measure
from sweeps.placement import Measurement, Share, alone, cpu_share, gpu_share, in_words, told
from sweeps.plan import SweepPlan
from sweeps.resources import trial_resources
from sweeps.spots import Spot, find_spot, kind_of_node


@dataclass(frozen=True, kw_only=True, slots=True)
class Shares:
    """Of each architecture what a trial reserves, and what one reserves whose memory ran out beside others.

    Attributes:
        beside_others: architecture → share.
        alone: likewise; None where a trial shares nothing that it could have for itself.
        sets_threads: whether trials without a GPU compute in as many threads as they reserve CPUs, whatever
            OMP_NUM_THREADS says: so they were measured.
    """

    beside_others: Mapping[str, Share]
    alone: Mapping[str, Share | None]
    sets_threads: bool = False

    def of(self, tune_config: Mapping[str, Any]) -> Share:
        """What Tune reserves for a trial with this configuration."""
        architecture = tune_config["configuration"]["architecture"]
        return (self.alone[architecture] if tune_config["alone"] else None) or self.beside_others[architecture]

    def may_be_alone(self, tune_config: Mapping[str, Any]) -> bool:
        """Whether a trial with this configuration has others beside it, and could do without them."""
        return not tune_config["alone"] and self.alone[tune_config["configuration"]["architecture"]] is not None

    def num_threads(self, tune_config: Mapping[str, Any]) -> int | None:
        """That a trial computes in; None for what the environment says."""
        share = self.of(tune_config)
        return max(1, math.floor(share.num_cpus)) if self.sets_threads and not share.num_gpus else None


def find_shares(
    plan: SweepPlan, context: ray.ObjectRef, results: ResultsTable, *, say: Callable[[str], None]
) -> Shares:
    """Those of the settings; where these say `auto`, of what was measured, now or when the sweep ran before.

    Args:
        context: a `TrialContext`.
        say: is told a line per architecture that is measured.

    Raises:
        InvalidInput: no single node of the cluster has what the settings ask for.
        StorageError: the store failed.
    """
    num_cpus, num_gpus = trial_resources(plan.settings, device=plan.device, section="sweep")
    wait_for_node(num_cpus=num_cpus, num_gpus=num_gpus)
    nodes = cluster_resources().nodes
    given = Share(num_cpus=_cpus_beside(plan, nodes, num_cpus, num_gpus), num_gpus=num_gpus)
    shares = dict.fromkeys(plan.settings.architectures, given)
    is_measured = _is_measured(plan)
    if is_measured:
        recorded = Measurements(results, plan.sweep_id)
        for architecture in shares:
            shares[architecture] = _measured_share(plan, architecture, context, nodes, recorded, given, say)
    return Shares(
        beside_others=shares,
        alone={architecture: alone(share, nodes) for architecture, share in shares.items()},
        sets_threads=is_measured,
    )


def _is_measured(plan: SweepPlan) -> bool:
    settings = plan.settings
    return (settings.gpus_per_trial if plan.device == "cuda" else settings.cpus_per_trial) == "auto"


def _cpus_beside(plan: SweepPlan, nodes: Sequence[NodeResources], num_cpus: float, num_gpus: float) -> float:
    """CPUs of a trial with a known share of a GPU: where they are left open, no more than there are beside it."""
    node = kind_of_node(nodes, device="cuda")
    if plan.settings.cpus_per_trial != "auto" or node is None or not num_gpus:
        return num_cpus
    return min(num_cpus, math.floor(10_000 * num_gpus * node.num_cpus / node.num_gpus) / 10_000)


def _measured_share(
    plan: SweepPlan,
    architecture: str,
    context: ray.ObjectRef,
    nodes: Sequence[NodeResources],
    recorded: Measurements,
    given: Share,
    say: Callable[[str], None],
) -> Share:
    settings = plan.settings
    spot = find_spot(
        nodes,
        device=plan.device,
        cpus_per_trial=settings.cpus_per_trial,
        max_concurrent_trials=settings.max_concurrent_trials,
    )
    try:
        if spot is None:
            raise CannotMeasure(f"no node with a whole {plan.device.upper()} is there")
        measured = _measurement(plan, architecture, context, spot, recorded)
    except CannotMeasure as e:
        say(f"{architecture}: {in_words(given)} a trial, as it could not be measured: {e}")
        return given
    share = _by_measurement(plan, measured, spot)
    say(told(measured, share))
    return share


def _measurement(
    plan: SweepPlan, architecture: str, context: ray.ObjectRef, spot: Spot, recorded: Measurements
) -> Measurement:
    config = plan.trial_config(architecture, largest_values(plan.space(architecture)))
    key = (config.trial_id, spot.in_words)
    found = recorded.recorded().get(key)
    if found is None:
        measured = measure(config, context, spot)
        recorded.record(measured, _by_measurement(plan, measured, spot))
        found = recorded.recorded()[key]  # the first one's, where two processes measured at once
    return found


def _by_measurement(plan: SweepPlan, measured: Measurement, spot: Spot) -> Share:
    if plan.device == "cuda":
        return gpu_share(measured, num_cpus=plan.settings.cpus_per_trial)
    return cpu_share(measured, node_bytes=spot.node.memory_bytes)
