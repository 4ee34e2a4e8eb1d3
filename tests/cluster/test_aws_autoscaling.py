"""The head's role: all that Ray's own autoscaler asks of EC2, and nothing outside its cluster."""

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import boto3
import pytest
import yaml
from aws_stack import Stack
from iam_policies import Request, allows
from ray.autoscaler._private.aws.config import bootstrap_aws
from ray.autoscaler._private.aws.node_provider import AWSNodeProvider
from ray.autoscaler._private.util import prepare_config

_PROJECT = Path(__file__).parents[2]
_REGION = "us-east-1"
_TAGS = {"ray-node-type": "worker", "ray-node-name": "w", "ray-launch-config": "h", "ray-user-node-type": "gpu_g6"}
Change = Callable[[dict[str, Any]], Any]


@pytest.fixture(scope="module")
def provider_config(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """As `ray up` leaves it on the head: subnets, group and key found."""
    with pytest.MonkeyPatch.context() as environment:
        environment.chdir(_PROJECT)
        environment.setenv("HOME", str(tmp_path_factory.mktemp("home")))  # `ray up` writes its key there
        config = prepare_config(yaml.safe_load((_PROJECT / "ray_cluster.yaml").read_text()))
        (image,) = boto3.client("ec2").describe_images(Owners=["amazon"])["Images"][:1]
        for kind in config["available_node_types"].values():
            kind["node_config"]["ImageId"] = image["ImageId"]
        return bootstrap_aws(config)


@pytest.fixture
def asked(stack: Stack, provider_config: dict[str, Any]) -> Iterator[tuple[AWSNodeProvider, list[Request]]]:
    """Ray's node provider, and what it asks of IAM."""
    provider = AWSNodeProvider(provider_config["provider"], provider_config["cluster_name"])
    requests: list[Request] = []

    def note(params: dict[str, Any], model: Any, **_: Any) -> None:
        requests.extend(_requests(stack, model.name, params))

    clients = [resource.meta.client.meta.events for resource in (provider.ec2, provider.ec2_fail_fast)]
    for events in clients:
        events.register("before-parameter-build.ec2", note, unique_id="note")
    yield provider, requests
    for events in clients:
        events.unregister("before-parameter-build.ec2", note, unique_id="note")


def _requests(stack: Stack, operation: str, params: Mapping[str, Any]) -> list[Request]:
    """What AWS checks for a call, by its service authorization reference for EC2."""
    if operation == "DescribeInstances":
        return [Request(action="ec2:DescribeInstances", resource="*", context={"ec2:Region": _REGION})]
    if operation == "TerminateInstances":
        return [_on(stack, "TerminateInstances", name) for name in params["InstanceIds"]]
    if operation == "CreateTags":
        keys = tuple(tag["Key"] for tag in params["Tags"])
        return [_on(stack, "CreateTags", name, **{"aws:TagKeys": keys}) for name in params["Resources"]]
    assert operation == "RunInstances", operation
    return _launch(stack, params)


def _arn(stack: Stack, name: str) -> str:
    return f"arn:aws:ec2:{_REGION}:{stack.account}:{name}"


def _on(stack: Stack, action: str, instance_id: str, **context: str | tuple[str, ...]) -> Request:
    (found,) = boto3.client("ec2").describe_instances(InstanceIds=[instance_id])["Reservations"]
    tags = {f"aws:ResourceTag/{tag['Key']}": tag["Value"] for tag in found["Instances"][0].get("Tags", [])}
    return Request(action=f"ec2:{action}", resource=_arn(stack, f"instance/{instance_id}"), context={**tags, **context})


def _launch(stack: Stack, params: Mapping[str, Any]) -> list[Request]:
    iam = boto3.client("iam")
    requests = []
    context: dict[str, str | tuple[str, ...]] = {"ec2:Region": _REGION}
    if "IamInstanceProfile" in params:
        profile = iam.get_instance_profile(InstanceProfileName=params["IamInstanceProfile"]["Name"])["InstanceProfile"]
        context["ec2:InstanceProfile"] = profile["Arn"]
        passed = {"iam:PassedToService": "ec2.amazonaws.com"}
        requests += [Request(action="iam:PassRole", resource=role["Arn"], context=passed) for role in profile["Roles"]]
    if "MetadataOptions" in params:
        context["ec2:MetadataHttpTokens"] = params["MetadataOptions"]["HttpTokens"]
    (tags,) = (spec["Tags"] for spec in params["TagSpecifications"] if spec["ResourceType"] == "instance")
    context |= {f"aws:RequestTag/{tag['Key']}": tag["Value"] for tag in tags}
    at_launch = {**context, "ec2:CreateAction": "RunInstances", "aws:TagKeys": tuple(tag["Key"] for tag in tags)}
    parts = [
        f"arn:aws:ec2:{_REGION}::image/{params['ImageId']}",
        *(_arn(stack, f"security-group/{group}") for group in params["SecurityGroupIds"]),
        *(_arn(stack, name) for name in ("network-interface/*", "volume/*", f"subnet/{params['SubnetId']}")),
        _arn(stack, f"key-pair/{params['KeyName']}"),
    ]
    if params.get("InstanceMarketOptions", {}).get("MarketType") == "spot":
        parts.append(_arn(stack, "spot-instances-request/*"))
    return [
        *requests,
        Request(action="ec2:RunInstances", resource=_arn(stack, "instance/*"), context=context),
        Request(action="ec2:CreateTags", resource=_arn(stack, "instance/*"), context=at_launch),
        *(Request(action="ec2:RunInstances", resource=part, context={"ec2:Region": _REGION}) for part in parts),
    ]


def _refused(stack: Stack, requests: Sequence[Request], role: str = "head") -> list[str]:
    return [request.action for request in requests if not allows(stack.policies[role], request)]


@pytest.mark.parametrize("kind", ["cpu_worker", "gpu_g6"])
def test_ray_starts_tags_and_ends_its_workers_with_the_heads_role(
    stack: Stack, provider_config: dict[str, Any], asked: tuple[AWSNodeProvider, list[Request]], kind: str
) -> None:
    provider, requests = asked
    (node,) = provider.create_node(provider_config["available_node_types"][kind]["node_config"], _TAGS, 1)
    assert provider.non_terminated_nodes({}) == [node]
    assert provider.internal_ip(node)
    provider.set_node_tags(node, {"ray-node-status": "up-to-date"})
    provider.terminate_nodes([node])
    assert provider.non_terminated_nodes({}) == []
    asked_for = {request.action for request in requests}
    of_ec2 = {"RunInstances", "CreateTags", "DescribeInstances", "TerminateInstances"}
    assert asked_for == {"iam:PassRole", *(f"ec2:{name}" for name in of_ec2)}
    assert _refused(stack, requests) == []
    assert set(_refused(stack, requests, "worker")) == asked_for  # a worker can do none of it


def test_ray_takes_the_security_group_of_the_stack(stack: Stack, provider_config: dict[str, Any]) -> None:
    for kind in provider_config["available_node_types"].values():
        assert kind["node_config"]["SecurityGroupIds"] == [stack.outputs["SecurityGroup"]]


@pytest.fixture
def launch(stack: Stack, provider_config: dict[str, Any]) -> dict[str, Any]:
    """The arguments of a launch that is allowed."""
    params = copy.deepcopy(provider_config["available_node_types"]["cpu_worker"]["node_config"])
    params["SubnetId"] = params.pop("SubnetIds")[0]
    params["TagSpecifications"] = [
        {"ResourceType": "instance", "Tags": [{"Key": "ray-cluster-name", "Value": stack.cluster_name}]}
    ]
    assert _refused(stack, _launch(stack, params)) == []
    return params


@pytest.mark.parametrize(
    ("change", "refused"),
    [
        (lambda params: params["TagSpecifications"][0]["Tags"][0].update(Value="other"), {"ec2:RunInstances"}),
        (lambda params: params["TagSpecifications"][0].update(Tags=[]), {"ec2:RunInstances"}),
        (lambda params: params.update(MetadataOptions={"HttpTokens": "optional"}), {"ec2:RunInstances"}),
        (lambda params: params.pop("MetadataOptions"), {"ec2:RunInstances"}),
        (lambda params: params.pop("IamInstanceProfile"), {"ec2:RunInstances"}),
        (lambda params: params.update(SecurityGroupIds=["sg-default"]), {"ec2:RunInstances"}),
        (
            lambda params: params.update(IamInstanceProfile={"Name": "melsweep-head"}),
            {"ec2:RunInstances", "iam:PassRole"},
        ),
    ],
)
def test_the_head_launches_workers_of_its_cluster_alone(
    stack: Stack, launch: dict[str, Any], change: Change, refused: set[str]
) -> None:
    change(launch)
    assert set(_refused(stack, _launch(stack, launch))) == refused


def test_the_head_neither_ends_nor_tags_what_is_not_of_its_cluster(stack: Stack, launch: dict[str, Any]) -> None:
    launch["TagSpecifications"][0]["Tags"][0]["Value"] = "other"
    (other,) = boto3.resource("ec2").create_instances(**launch, MinCount=1, MaxCount=1)
    tag = {"Resources": [other.id], "Tags": [{"Key": "ray-cluster-name", "Value": stack.cluster_name}]}
    requests = [
        *_requests(stack, "TerminateInstances", {"InstanceIds": [other.id]}),
        *_requests(stack, "CreateTags", tag),
    ]
    assert _refused(stack, requests) == ["ec2:TerminateInstances", "ec2:CreateTags"]


@pytest.mark.parametrize(
    "action", ["iam:PassRole", "iam:AttachRolePolicy", "ec2:AuthorizeSecurityGroupIngress", "sts:AssumeRole"]
)
@pytest.mark.parametrize("role", ["head", "worker"])
def test_no_node_can_widen_its_own_rights(stack: Stack, role: str, action: str) -> None:
    passed = {"iam:PassedToService": "ec2.amazonaws.com"}
    for resource in (
        f"arn:aws:iam::{stack.account}:role/admin",
        stack.outputs["CollectorRole"],
        stack.outputs["StoreOfWorkers"],
        _arn(stack, f"security-group/{stack.outputs['SecurityGroup']}"),
    ):
        assert not allows(stack.policies[role], Request(action=action, resource=resource, context=passed))
