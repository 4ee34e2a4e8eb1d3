"""The stack of `cluster/aws/access.yaml`, created by moto as AWS would, and what came out of it."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3

TEMPLATE = Path(__file__).parents[2] / "cluster" / "aws" / "access.yaml"
SSH_CIDR = "192.0.2.0/24"
Policies = list[dict[str, Any]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Stack:
    """Attributes:
    store_uri, recordings_uri: of the prefixes that the roles are for; both buckets are there.
    policies: the policy documents of each role: head, worker, collector.
    """

    cluster_name: str
    vpc_id: str
    store_uri: str
    recordings_uri: str
    outputs: Mapping[str, str]
    policies: Mapping[str, Policies]

    @property
    def account(self) -> str:
        return str(boto3.client("sts").get_caller_identity()["Account"])


def create_stack(cluster_name: str = "melsweep") -> Stack:
    """Creates the stack at the endpoint of the environment. moto cannot delete it."""
    number = uuid.uuid4().hex[:8]
    buckets = {"Bucket": f"store-{number}", "RecordingsBucket": f"recordings-{number}"}
    for bucket in buckets.values():
        boto3.client("s3").create_bucket(Bucket=bucket)
    vpc_id = boto3.client("ec2").describe_vpcs(Filters=[{"Name": "is-default", "Values": ["true"]}])["Vpcs"][0]["VpcId"]
    parameters = {
        "ClusterName": cluster_name,
        "VpcId": vpc_id,
        "SshCidr": SSH_CIDR,
        "Prefix": "team/melsweep",
        **buckets,
    }
    cloudformation = boto3.client("cloudformation")
    cloudformation.create_stack(
        StackName=cluster_name,
        TemplateBody=TEMPLATE.read_text(),
        Parameters=[{"ParameterKey": name, "ParameterValue": value} for name, value in parameters.items()],
        Capabilities=["CAPABILITY_NAMED_IAM"],
    )
    (stack,) = cloudformation.describe_stacks(StackName=cluster_name)["Stacks"]
    return Stack(
        cluster_name=cluster_name,
        vpc_id=vpc_id,
        store_uri=f"s3://{buckets['Bucket']}/team/melsweep",
        recordings_uri=f"s3://{buckets['RecordingsBucket']}/recordings",
        outputs={output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]},
        policies={role: _policies(f"{cluster_name}-{role}") for role in ("head", "worker", "collector")},
    )


def _policies(role: str) -> Policies:
    iam = boto3.client("iam")
    documents = []
    for attached in iam.list_attached_role_policies(RoleName=role)["AttachedPolicies"]:
        version = iam.get_policy(PolicyArn=attached["PolicyArn"])["Policy"]["DefaultVersionId"]
        policy = iam.get_policy_version(PolicyArn=attached["PolicyArn"], VersionId=version)
        documents.append(policy["PolicyVersion"]["Document"])
    return documents
