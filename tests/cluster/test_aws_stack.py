"""The template of the AWS stack: valid, closed to strangers, and what `ray_cluster.yaml` refers to."""

import re
from pathlib import Path
from typing import Any

import boto3
import pytest
import yaml
from aws_stack import SSH_CIDR, TEMPLATE, Stack
from cfnlint import lint

_PROJECT = Path(__file__).parents[2]


class _Loader(yaml.SafeLoader):
    """Reads CloudFormation's short forms (!Ref, !Sub …) as their arguments."""


_Loader.add_multi_constructor("!", lambda loader, suffix, node: getattr(node, "value", None))  # type: ignore[no-untyped-call]


@pytest.fixture
def template() -> dict[str, Any]:
    return yaml.load(TEMPLATE.read_text(), _Loader)


def _group(stack: Stack) -> dict[str, Any]:
    (group,) = boto3.client("ec2").describe_security_groups(GroupIds=[stack.outputs["SecurityGroup"]])["SecurityGroups"]
    return group


def test_cloudformation_finds_nothing_wrong_with_the_template() -> None:
    assert lint(TEMPLATE.read_text(), None, ["us-east-1", "eu-central-1"]) == []


@pytest.mark.parametrize(
    ("right", "wrong"), [("InstanceProfileName:", "ProfileName:"), ("!GetAtt Nodes.GroupId", "!GetAtt Nodes.GroupID")]
)
def test_a_misspelt_name_is_found(right: str, wrong: str) -> None:
    found = lint(TEMPLATE.read_text().replace(right, wrong, 1), None, ["us-east-1"])
    assert any(wrong.strip(":").rpartition(".")[2] in str(match) for match in found)


def test_from_outside_only_ssh_from_the_named_addresses_is_admitted(stack: Stack) -> None:
    from_addresses = [rule for rule in _group(stack)["IpPermissions"] if not rule["UserIdGroupPairs"]]
    (rule,) = from_addresses
    assert (rule["IpProtocol"], rule["FromPort"], rule["ToPort"]) == ("tcp", 22, 22)
    assert [place["CidrIp"] for place in rule["IpRanges"]] == [SSH_CIDR]
    assert not rule["Ipv6Ranges"]
    assert not rule["PrefixListIds"]


def test_everything_is_admitted_among_the_nodes_alone(stack: Stack) -> None:
    group = _group(stack)
    among = [rule for rule in group["IpPermissions"] if rule["UserIdGroupPairs"]]
    (rule,) = among
    assert rule["IpProtocol"] == "-1"
    assert not rule["IpRanges"]
    assert [pair["GroupId"] for pair in rule["UserIdGroupPairs"]] == [group["GroupId"]]


@pytest.mark.parametrize(
    ("cidr", "is_allowed"),
    [
        ("0.0.0.0/0", False),
        ("10.0.0.0/8", False),
        ("203.0.113.7", False),
        ("::/0", False),
        ("203.0.113.0/24", True),
        ("203.0.113.7/32", True),
    ],
)
def test_ssh_cannot_be_opened_to_the_internet(template: dict[str, Any], cidr: str, is_allowed: bool) -> None:
    """AllowedPattern has to match the whole value."""
    parameter = template["Parameters"]["SshCidr"]
    assert "Default" not in parameter
    assert (re.fullmatch(parameter["AllowedPattern"], cidr) is not None) == is_allowed


@pytest.mark.parametrize("prefix", ["", "*", "a/*", "/a", "a/", "a//b", "a/?"])
def test_a_prefix_that_would_widen_the_policies_is_refused(template: dict[str, Any], prefix: str) -> None:
    parameter = template["Parameters"]["Prefix"]
    assert re.fullmatch(parameter["AllowedPattern"], prefix) is None
    assert re.fullmatch(parameter["AllowedPattern"], "team/melsweep-2")


def test_ray_cluster_yaml_names_what_the_stack_makes(stack: Stack) -> None:
    config = yaml.safe_load((_PROJECT / "ray_cluster.yaml").read_text())
    assert config["cluster_name"] == stack.cluster_name
    assert config["provider"]["security_group"] == {"GroupName": _group(stack)["GroupName"]}
    kinds = config["available_node_types"]
    profiles = {name: kind["node_config"]["IamInstanceProfile"] for name, kind in kinds.items()}
    assert profiles.pop("head") == {"Name": "melsweep-head"}
    assert all(profile == {"Name": "melsweep-worker"} for profile in profiles.values())
    for role in ("head", "worker"):
        profile = boto3.client("iam").get_instance_profile(InstanceProfileName=f"melsweep-{role}")["InstanceProfile"]
        assert [held["RoleName"] for held in profile["Roles"]] == [f"melsweep-{role}"]


def test_nodes_cannot_take_the_collectors_role(stack: Stack) -> None:
    iam = boto3.client("iam")

    def who(role: str) -> list[dict[str, str]]:
        trust = iam.get_role(RoleName=f"melsweep-{role}")["Role"]["AssumeRolePolicyDocument"]
        return [statement["Principal"] for statement in trust["Statement"]]

    assert who("head") == who("worker") == [{"Service": "ec2.amazonaws.com"}]
    assert who("collector") == [{"AWS": f"arn:aws:iam::{stack.account}:root"}]
    for role in ("head", "worker"):
        actions = [statement["Action"] for policy in stack.policies[role] for statement in policy["Statement"]]
        assert not [action for action in actions if "sts:" in str(action)]


def test_no_statement_allows_a_whole_service(stack: Stack) -> None:
    for role, policies in stack.policies.items():
        for statement in (statement for policy in policies for statement in policy["Statement"]):
            actions = statement["Action"] if isinstance(statement["Action"], list) else [statement["Action"]]
            assert not [action for action in actions if "*" in action], (role, statement)
            assert statement["Resource"] != "*" or actions == ["ec2:DescribeInstances"]
