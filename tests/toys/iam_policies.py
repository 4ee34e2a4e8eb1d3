"""What IAM answers to a request under some policies, and an S3 client that asks before it sends.

The rules are those of AWS's page on policy evaluation, for the elements that `cluster/aws/` uses: nothing is allowed
that no statement allows, and a statement that denies wins. An element or operator that is not known here is an error
and never passed over. moto enforces policies as well, but no conditions, and resources of S3 alone;
`tests/cluster/test_aws_store_access.py` holds that the two agree there.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import ClientError

_ELEMENTS = {"Sid", "Effect", "Action", "Resource", "Condition"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """One action on one resource.

    Attributes:
        context: the condition keys that the request carries; several values of one as a tuple.
    """

    action: str
    resource: str
    context: Mapping[str, str | tuple[str, ...]] = field(default_factory=dict)


def allows(policies: Sequence[Mapping[str, Any]], request: Request) -> bool:
    """Whether a principal with these policy documents may do it."""
    statements = [statement for policy in policies for statement in policy["Statement"]]
    effects = {statement["Effect"] for statement in statements if _concerns(statement, request)}
    if not effects <= {"Allow", "Deny"}:
        raise ValueError(f"unknown effect among {effects}")
    return effects == {"Allow"}


def guard(client: Any, policies: Sequence[Mapping[str, Any]], refused: list[Request] | None = None) -> None:
    """Lets an S3 client send only what the policies allow; anything else is answered as S3 does, with 403.

    Args:
        refused: gets what was not allowed.
    """

    def ask(params: dict[str, Any], model: Any, **_: Any) -> None:
        request = s3_request(model.name, params)
        if not allows(policies, request):
            if refused is not None:
                refused.append(request)
            raise ClientError({"Error": {"Code": "AccessDenied", "Message": "Access Denied"}}, model.name)

    client.meta.events.register("before-parameter-build.s3", ask)


def s3_request(operation: str, params: Mapping[str, Any]) -> Request:
    """What S3 checks for an operation of its API, with the condition keys that the project's policies name."""
    bucket = f"arn:aws:s3:::{params['Bucket']}"
    if operation == "ListObjectsV2":
        prefix = {"s3:prefix": params["Prefix"]} if "Prefix" in params else {}
        return Request(action="s3:ListBucket", resource=bucket, context=prefix)
    if operation == "HeadBucket":
        return Request(action="s3:ListBucket", resource=bucket)
    action = {"HeadObject": "GetObject"}.get(operation, operation)
    if action not in {"GetObject", "PutObject", "DeleteObject"}:
        raise ValueError(f"which permission {operation} needs is not known here")
    condition = {"s3:if-none-match": params["IfNoneMatch"]} if "IfNoneMatch" in params else {}
    return Request(action=f"s3:{action}", resource=f"{bucket}/{params['Key']}", context=condition)


def _concerns(statement: Mapping[str, Any], request: Request) -> bool:
    if unknown := statement.keys() - _ELEMENTS:
        raise ValueError(f"elements that are not known here: {unknown}")
    return (
        any(_is_like(pattern.lower(), request.action.lower()) for pattern in _listed(statement["Action"]))
        and any(_is_like(pattern, request.resource) for pattern in _listed(statement["Resource"]))
        and all(
            _holds(operator, _listed(wanted), request.context.get(key))
            for operator, keys in statement.get("Condition", {}).items()
            for key, wanted in keys.items()
        )
    )


def _holds(operator: str, wanted: list[str], given: str | tuple[str, ...] | None) -> bool:
    values = (given,) if isinstance(given, str) else given
    if operator == "Null":
        return wanted == ["true" if values is None else "false"]
    if operator == "ForAllValues:StringLike":
        return all(any(_is_like(pattern, value) for pattern in wanted) for value in values or ())
    if operator not in {"StringEquals", "StringLike", "ArnEquals"}:
        raise ValueError(f"the operator {operator} is not known here")
    if values is None:  # a key that the request does not carry fulfils no condition on its value
        return False
    if operator == "StringEquals":
        return any(value in wanted for value in values)
    return any(_is_like(pattern, value) for pattern in wanted for value in values)


def _is_like(pattern: str, value: str) -> bool:
    parts = (re.escape(part).replace(r"\?", ".") for part in pattern.split("*"))
    return re.fullmatch(".*".join(parts), value, re.DOTALL) is not None


def _listed(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else list(value)
