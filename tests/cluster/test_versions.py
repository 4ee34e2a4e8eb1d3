"""A cluster whose nodes have other packages is refused before anything is computed on it."""

from unittest import mock

import pytest
import ray

from cluster import versions
from cluster.versions import VersionsDiffer, check_versions, differences, installed


def test_every_package_is_known_here() -> None:
    ours = installed()
    assert set(ours) == {"python", *versions.PACKAGES}
    assert "none" not in ours.values()


def test_a_package_that_is_not_there_counts_as_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(versions, "PACKAGES", ("no-such-package",))
    assert installed()["no-such-package"] == "none"


def test_differences_tell_both_versions() -> None:
    ours = {"python": "3.12.1", "torch": "2.14.1", "ray": "2.60.0"}
    assert differences(ours, ours) == []
    assert differences(ours, {"python": "3.12.1", "torch": "2.11.0"}) == [
        "torch 2.11.0 (here 2.14.1)",
        "ray none (here 2.60.0)",
    ]


@pytest.mark.usefixtures("ray_local")
def test_nodes_with_the_same_packages_are_taken() -> None:
    check_versions()


@pytest.mark.usefixtures("ray_local")
def test_a_node_with_others_is_named_with_them() -> None:
    (node,) = ray.nodes()
    newer = {**installed(), "torch": "99.1"}
    with mock.patch("cluster.versions.installed", return_value=newer), pytest.raises(VersionsDiffer) as refusal:
        check_versions()
    assert f"{node['NodeManagerAddress']} has torch {installed()['torch']} (here 99.1). Install" in str(refusal.value)
    assert isinstance(refusal.value, ConnectionError)  # which jobs tell in one line
