"""A cluster whose nodes have other packages is refused before anything is computed on it."""

from unittest import mock

import pytest
import ray

from cluster import versions
from cluster.versions import Versions, VersionsDiffer, check_versions, differences, installed


def test_every_package_is_known_here() -> None:
    ours = installed()
    assert set(ours) - set(versions.PACKAGES_OF_SOME) == {"python", *versions.PACKAGES}
    assert "none" not in ours.values()


def test_a_package_that_is_not_there_counts_as_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(versions, "PACKAGES", ("no-such-package",))
    assert installed()["no-such-package"] == "none"


def test_a_package_that_not_all_have_is_compared_where_the_driver_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(versions, "PACKAGES_OF_SOME", ("pytest", "no-such-package"))
    ours = installed()
    assert ours["pytest"] == pytest.__version__
    assert "no-such-package" not in ours
    theirs = {name: version for name, version in ours.items() if name != "pytest"}
    assert differences(ours, theirs) == [f"pytest none (here {pytest.__version__})"]
    assert differences(theirs, ours) == []


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


def test_work_compares_the_drivers_packages_with_those_where_it_begins() -> None:
    Versions.here().check()
    assert Versions.here().refusal() == ""
    other = Versions(of_driver={**installed(), "torch": "99.1"})
    with pytest.raises(VersionsDiffer, match=r"^nodes of the cluster have other versions .* \(here 99\.1\)\. Install"):
        other.check()
    assert f"has torch {installed()['torch']} (here 99.1). Install requirements.lock" in other.refusal()


def test_a_process_looks_its_packages_up_once() -> None:
    versions._installed_here.cache_clear()
    given = Versions.here()
    with mock.patch("cluster.versions.installed", side_effect=installed) as looked_up:
        for _ in range(3):
            given.check()
    assert looked_up.call_count == 1


@pytest.mark.usefixtures("ray_local")
def test_a_node_that_is_slow_to_answer_is_left_to_the_work_that_goes_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(versions, "_ANSWER_S", 0.0)
    with mock.patch("cluster.versions.installed", return_value={**installed(), "torch": "99.1"}):
        check_versions()
        brought = Versions.here()
    refusal = ray.get(ray.remote(num_cpus=0)(Versions.refusal).remote(brought))
    assert "(here 99.1)" in refusal
