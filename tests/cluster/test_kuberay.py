"""The manifests for Kubernetes: valid, closed to strangers, and understood by Ray's autoscaler."""

import copy
import shlex
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import yaml
from kuberay_schema import errors
from packaging.version import Version
from ray._private import ray_constants
from ray.autoscaler._private.kuberay.autoscaling_config import _derive_autoscaling_config_from_ray_cr
from ray.scripts.scripts import start

from jobs.command_line import parse_settings
from jobs.settings import JobSettings

_FOLDER = Path(__file__).parents[2] / "cluster" / "kuberay"
_DRAIN_S = "RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S"
_ACCESS = list(yaml.safe_load_all((_FOLDER / "access.yaml").read_text()))
Document = dict[str, Any]


def _read(name: str) -> Document:
    document = yaml.safe_load((_FOLDER / name).read_text())
    return copy.deepcopy(document)


def _specs() -> dict[str, Document]:
    """The two clusters."""
    return {"cluster": _read("ray-cluster.yaml")["spec"], "job": _read("ray-job.yaml")["spec"]["rayClusterSpec"]}


def _templates() -> Iterator[tuple[str, Document]]:
    for name, spec in _specs().items():
        yield f"{name}-head", spec["headGroupSpec"]["template"]
        for group in spec["workerGroupSpecs"]:
            yield f"{name}-{group['groupName']}", group["template"]
    yield "submitter", _read("ray-job.yaml")["spec"]["submitterPodTemplate"]


_TEMPLATES = dict(_templates())


_DOCUMENTS = [*_ACCESS, _read("ray-cluster.yaml"), _read("ray-job.yaml")]


@pytest.mark.parametrize("document", _DOCUMENTS, ids=lambda document: str(document["kind"]))
def test_it_has_the_fields_that_are_published_and_no_others(document: Document) -> None:
    assert errors(document) == []


def _misspell(document: Any, *path: str | int) -> None:
    *way, last = path
    for step in way:
        document = document[step]
    document[f"{last}s"] = document.pop(last)


@pytest.mark.parametrize(
    ("file", "path"),
    [
        ("ray-cluster.yaml", ("spec", "authOptions")),
        ("ray-cluster.yaml", ("spec", "authOptions", "mode")),
        ("ray-cluster.yaml", ("spec", "autoscalerOptions", "securityContext", "capabilities")),
        ("ray-cluster.yaml", ("spec", "workerGroupSpecs", 1, "idleTimeoutSeconds")),
        ("ray-cluster.yaml", ("spec", "workerGroupSpecs", 1, "template", "spec", "securityContext", "runAsNonRoot")),
        ("ray-cluster.yaml", ("spec", "headGroupSpec", "template", "spec", "volumes", 0, "emptyDir")),
        ("ray-job.yaml", ("spec", "shutdownAfterJobFinishes")),
        ("ray-job.yaml", ("spec", "submitterPodTemplate", "spec", "containers", 0, "image")),
        ("ray-job.yaml", ("spec", "rayClusterSpec", "headGroupSpec", "template")),
    ],
)
def test_a_misspelt_field_is_found(file: str, path: tuple[str | int, ...]) -> None:
    document = _read(file)
    _misspell(document, *path)
    assert any(f"'{path[-1]}s' was unexpected" in error for error in errors(document))


@pytest.mark.parametrize(
    "change",
    [
        lambda spec: spec["authOptions"].update(mode="tokens"),
        lambda spec: spec["headGroupSpec"]["rayStartParams"].update({"num-cpus": 0}),
        lambda spec: spec["workerGroupSpecs"][0].update(maxReplicas="4"),
        lambda spec: spec["workerGroupSpecs"][0].pop("template"),
    ],
)
def test_a_value_of_another_type_is_found(change: Callable[[Document], Any]) -> None:
    document = _read("ray-cluster.yaml")
    change(document["spec"])
    assert len(errors(document)) == 1


def test_the_job_has_the_same_cluster_with_the_projects_code_in_its_image() -> None:
    specs = _specs()
    for template in (template for name, template in _templates() if name.startswith("job-") or name == "submitter"):
        assert template["spec"]["containers"][0]["image"].partition(":")[0].endswith("/melsweep-job")
    assert yaml.safe_dump(specs["job"]).replace("/melsweep-job:", "/melsweep:") == yaml.safe_dump(specs["cluster"])


@pytest.mark.parametrize("name", ["cluster", "job"])
def test_ray_asks_for_a_token_and_is_the_locked_one(name: str) -> None:
    spec = _specs()[name]
    assert spec["authOptions"] == {"mode": "token"}
    assert spec["rayVersion"] == version("ray")
    assert Version(spec["rayVersion"]) >= Version("2.52")  # before, KubeRay refuses token authentication


@pytest.mark.parametrize("name", _TEMPLATES)
def test_pods_keep_to_the_restricted_standard_of_kubernetes(name: str) -> None:
    spec = _TEMPLATES[name]["spec"]
    assert spec["securityContext"]["runAsNonRoot"]
    assert spec["securityContext"]["runAsUser"] == 1000
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert not {"hostNetwork", "hostPID", "hostIPC", "initContainers"} & spec.keys()
    for container in (*spec["containers"], _specs()["cluster"]["autoscalerOptions"]):
        context = container["securityContext"]
        assert context == {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    assert all(volume.keys() == {"name", "emptyDir"} for volume in spec.get("volumes", []))
    namespace = _ACCESS[0]
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"


@pytest.mark.parametrize("name", [name for name in _TEMPLATES if name != "submitter"])
def test_ray_spills_to_a_volume_of_bounded_size_that_fits_the_pods_disk(name: str) -> None:
    spec = _TEMPLATES[name]["spec"]
    (container,), (volume,) = spec["containers"], spec["volumes"]
    (mount,) = container["volumeMounts"]
    assert mount == {"name": volume["name"], "mountPath": "/spill"}
    size, disk = volume["emptyDir"]["sizeLimit"], container["resources"]["limits"]["ephemeral-storage"]
    assert int(size.removesuffix("Gi")) < int(disk.removesuffix("Gi"))
    assert container["resources"]["requests"] == container["resources"]["limits"]


@pytest.mark.parametrize("name", ["cluster", "job"])
def test_start_parameters_are_options_of_ray_start(name: str) -> None:
    spec = _specs()[name]
    options = {option for parameter in start.params for option in parameter.opts}
    for group in (spec["headGroupSpec"], *spec["workerGroupSpecs"]):
        assert {f"--{given}" for given in group["rayStartParams"]} <= options
        assert group["rayStartParams"]["object-spilling-directory"] == "/spill"


@pytest.mark.parametrize("name", ["cluster", "job"])
def test_rays_autoscaler_understands_the_groups(name: str) -> None:
    document = {**_read("ray-cluster.yaml"), "spec": _specs()[name]}
    config = _derive_autoscaling_config_from_ray_cr(document)
    types = config["available_node_types"]
    assert types[config["head_node_type"]]["resources"]["CPU"] == 0
    assert types[config["head_node_type"]]["max_workers"] == 0
    assert (types["cpu"]["resources"]["CPU"], types["cpu"]["resources"].get("GPU")) == (15, None)
    assert types["gpu"]["resources"]["GPU"] == 1
    assert [(types[group]["min_workers"], types[group]["max_workers"]) for group in ("cpu", "gpu")] == [(0, 4), (0, 4)]
    assert config["idle_timeout_minutes"] * 60 == 300
    assert types["gpu"]["idle_timeout_s"] == 180


def test_only_pods_of_the_cluster_reach_its_ports() -> None:
    (policy,) = (document for document in _ACCESS if document["kind"] == "NetworkPolicy")
    ours = {"app.kubernetes.io/part-of": "melsweep"}
    assert policy["spec"]["podSelector"] == {"matchLabels": ours}
    assert policy["spec"]["policyTypes"] == ["Ingress", "Egress"]
    for template in _TEMPLATES.values():
        assert template["metadata"]["labels"] == ours
    for rule in policy["spec"]["ingress"]:
        (source,) = rule["from"]
        if source != {"podSelector": {"matchLabels": ours}}:  # another namespace: the operator's, and that of metrics
            assert source.keys() == {"namespaceSelector"}
            assert [port["port"] for port in rule["ports"]] in ([8265], [8080])
    to_the_world = [rule for rule in policy["spec"]["egress"] if "ipBlock" in rule["to"][0]]
    (rule,) = to_the_world
    assert "169.254.169.254/32" in rule["to"][0]["ipBlock"]["except"]
    assert {document["metadata"].get("namespace", "melsweep") for document in _ACCESS} == {"melsweep"}


def test_credentials_are_roles_of_service_accounts_and_nowhere_else() -> None:
    accounts = {document["metadata"]["name"]: document for document in _ACCESS if document["kind"] == "ServiceAccount"}
    used = {template["spec"].get("serviceAccountName") for template in _TEMPLATES.values()} - {None}
    assert used == accounts.keys() == {"melsweep-head", "melsweep-worker"}
    assert all("eks.amazonaws.com/role-arn" in account["metadata"]["annotations"] for account in accounts.values())
    assert accounts["melsweep-worker"]["automountServiceAccountToken"] is False
    for container in (container for template in _TEMPLATES.values() for container in template["spec"]["containers"]):
        assert {variable["name"] for variable in container.get("env", [])} <= {_DRAIN_S}
        assert "envFrom" not in container


@pytest.mark.parametrize("name", ["cluster", "job"])
def test_a_pod_on_a_node_that_goes_is_drained_by_ray_and_has_the_time_for_it(name: str) -> None:
    """On SIGTERM, which `ray start` gets as the first process of its container."""
    groups = {group["groupName"]: group["template"]["spec"] for group in _specs()[name]["workerGroupSpecs"]}
    (container,) = groups["gpu"]["containers"]
    (variable,) = container["env"]
    assert variable["name"] == _DRAIN_S
    assert hasattr(ray_constants, _DRAIN_S)  # named as Ray's constant, which reads it
    ends_ray_s = 15  # that Ray takes to end its other processes
    assert 30 < float(variable["value"]) <= groups["gpu"]["terminationGracePeriodSeconds"] - ends_ray_s


def test_the_job_is_one_of_the_projects_with_settings_that_it_knows() -> None:
    words = shlex.split(_read("ray-job.yaml")["spec"]["entrypoint"])
    assert words[:2] == ["python", "/opt/melsweep/jobs/sweep.py"]
    settings = parse_settings(JobSettings, words[2:])
    assert settings.storage.uri.startswith("s3://")
