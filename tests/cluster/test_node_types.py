"""The node types of `ray_cluster.yaml`, as Ray's autoscaler chooses among them by what EC2 says of the instances."""

import copy
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import boto3
import pytest
import yaml
from ray.autoscaler._private.aws.node_provider import AWSNodeProvider
from ray.autoscaler._private.util import prepare_config
from ray.autoscaler.v2.instance_manager.config import AutoscalingConfig
from ray.autoscaler.v2.scheduler import ResourceDemandScheduler, SchedulingRequest
from ray.autoscaler.v2.utils import ResourceRequestUtil

_PROJECT = Path(__file__).parents[2]
_TRIAL = {"CPU": 1.0, "GPU": 1.0}
_DECODER = {"CPU": 1.0}


@pytest.fixture(scope="module")
def config(s3_server: str) -> dict[str, Any]:
    """With the resources that `ray up` finds by the instance types; moto knows EC2's catalogue."""
    with pytest.MonkeyPatch.context() as environment:
        environment.chdir(_PROJECT)
        given = prepare_config(yaml.safe_load((_PROJECT / "ray_cluster.yaml").read_text()))
    return AWSNodeProvider.fillout_available_node_types_resources(given)


def _launched(config: dict[str, Any], wanted: Mapping[str, float], count: int, *failing: str) -> Counter[str]:
    """What is launched for so many requests; launches of the types in `failing` have just failed."""
    autoscaling = AutoscalingConfig(copy.deepcopy(config), skip_content_hash=True)
    request = SchedulingRequest(
        disable_launch_config_check=True,
        node_type_configs=autoscaling.get_node_type_configs(),
        max_num_nodes=autoscaling.get_max_num_worker_nodes(),  # no head is among the instances here
        resource_requests=ResourceRequestUtil.group_by_count([ResourceRequestUtil.make(dict(wanted))] * count),
        cloud_resource_availabilities=dict.fromkeys(failing, 0.0),
        recoverable_resource_availabilities=dict.fromkeys(failing, 0.0),
    )
    reply = ResourceDemandScheduler(event_logger=None).schedule(request)
    return Counter({launch.instance_type: launch.count for launch in reply.to_launch})


def test_the_gpu_types_have_one_gpu_each_with_the_same_memory(config: dict[str, Any]) -> None:
    gpus = {}
    for kind in config["available_node_types"].values():
        name = kind["node_config"]["InstanceType"]
        (found,) = boto3.client("ec2").describe_instance_types(InstanceTypes=[name])["InstanceTypes"]
        assert "GpuInfo" in found or "InstanceMarketOptions" not in kind["node_config"]
        if "GpuInfo" in found:
            assert "spot" in found["SupportedUsageClasses"]
            gpus[name] = [(gpu["Count"], gpu["MemoryInfo"]["SizeInMiB"]) for gpu in found["GpuInfo"]["Gpus"]]
    assert len(gpus) >= 2
    assert len({str(gpu) for gpu in gpus.values()}) == 1
    assert all(count == 1 for ((count, _),) in gpus.values())


def test_trials_launch_the_preferred_spot_type(config: dict[str, Any]) -> None:
    assert _launched(config, _TRIAL, 2) == {"gpu_g6": 2}


def test_a_spot_type_that_cannot_be_had_is_replaced_by_the_other_of_its_size(config: dict[str, Any]) -> None:
    assert _launched(config, _TRIAL, 2, "gpu_g6") == {"gpu_g5": 2}


def test_many_trials_launch_all_gpu_types_up_to_their_limits(config: dict[str, Any]) -> None:
    launched = _launched(config, _TRIAL, 100)
    assert launched.keys() <= {"gpu_g6", "gpu_g5", "gpu_g5_large"}
    assert sum(launched.values()) == config["max_workers"]
    assert all(count <= config["available_node_types"][name]["max_workers"] for name, count in launched.items())


def test_decoding_launches_no_gpus(config: dict[str, Any]) -> None:
    cpus = config["available_node_types"]["cpu_worker"]["resources"]["CPU"]
    assert _launched(config, _DECODER, 2 * cpus) == {"cpu_worker": 2}
