"""Drains a spot worker when EC2 announces that it takes the instance back: Ray puts nothing new there from then on.

ray_cluster.yaml brings this file to the nodes, where nothing else of the project is, and starts it on workers.
It asks the instance metadata (IMDSv2) for a notice every few seconds, with the standard library alone, and needs Ray
only when there is one. It ends at once where the instance is not spot, when the node is drained, and when a later start
of Ray on the same node has started another; otherwise with the node.
"""

import argparse
import datetime
import http.client
import json
import math
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

_ENDPOINT = "http://169.254.169.254"
_ENDPOINT_VARIABLE = "AWS_EC2_METADATA_SERVICE_ENDPOINT"  # as AWS's own SDKs call it
_TOKEN_S = 21600  # the longest that there is
_ANSWER_S = 2.0  # of a service on the same machine
_DRAIN_S = 60.0
_NOTICE_S = 120  # what EC2 gives, where a notice does not say until when
_NO_ANSWER = (OSError, http.client.HTTPException)


class Metadata:
    """The instance metadata service, asked with a token (version 2) and past any proxy."""

    def __init__(self, endpoint: str) -> None:
        self._endpoint = endpoint.rstrip("/")
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        self._token = ""

    def get(self, name: str) -> str | None:
        """What is there under a name; None where nothing is.

        Raises:
            OSError, http.client.HTTPException: no answer, or not this one.
        """
        try:
            return self._ask_with_token(name)
        except urllib.error.HTTPError as e:
            if e.code != 401:
                raise
            self._token = ""  # has expired
            return self._ask_with_token(name)

    def _ask_with_token(self, name: str) -> str | None:
        if not self._token:
            lasts = {"X-aws-ec2-metadata-token-ttl-seconds": str(_TOKEN_S)}
            self._token = self._ask("PUT", "api/token", lasts)
        try:
            return self._ask("GET", f"meta-data/{name}", {"X-aws-ec2-metadata-token": self._token})
        except urllib.error.HTTPError as e:
            if e.code != 404:
                raise
            return None

    def _ask(self, method: str, path: str, headers: dict[str, str]) -> str:
        request = urllib.request.Request(f"{self._endpoint}/latest/{path}", headers=headers, method=method)
        with self._opener.open(request, timeout=_ANSWER_S) as answer:
            return str(answer.read().decode())


def watch(
    metadata: Metadata,
    drain: Callable[[str, int], bool],
    *,
    every_s: float,
    is_in_charge: Callable[[], bool] = lambda: True,
) -> None:
    """Returns when the node is drained, or has no notice to wait for.

    Args:
        drain: is given the node's address and the seconds that are left; says whether it is done, and is asked again
            where it is not.
    """
    is_spot, told = False, ""
    while is_in_charge():
        try:
            if not is_spot and metadata.get("instance-life-cycle") != "spot":
                return _say("this instance is not spot: there is nothing to wait for")
            is_spot = True
            notice = metadata.get("spot/instance-action")
            if notice is not None:
                _say(f"notice: {notice}")
                if drain(metadata.get("local-ipv4") or "", seconds_left(notice, time.time())):
                    return _say("the node is drained")
        except _NO_ANSWER as e:
            if told != repr(e):  # once, not every five seconds for hours
                told = repr(e)
                _say(f"no answer of the instance metadata: {told}")
        time.sleep(every_s)


def seconds_left(notice: str, now: float) -> int:
    """Until the moment in a notice, `{"action": "terminate", "time": "2026-11-22T18:00:00Z"}`; at least 1, as Ray takes
    0 for no end."""
    try:
        then = datetime.datetime.fromisoformat(json.loads(notice)["time"].replace("Z", "+00:00")).timestamp()
    except (ValueError, TypeError, KeyError, AttributeError):
        return _NOTICE_S
    return max(1, math.floor(then - now))


def drain_node(head: str, address: str, left_s: int) -> bool:
    """Tells the head that the node at `address` will be gone. Returns whether it knows."""
    try:
        node_id = find_node_id(head, address)
        if node_id is None:
            _say(f"no living node of the cluster at {head} has the address {address}")
            return False
        words = ["--address", head, "--node-id", node_id, "--reason", "DRAIN_NODE_REASON_PREEMPTION"]
        words += ["--reason-message", "spot notice", "--deadline-remaining-seconds", str(left_s)]
        ray = [sys.executable, "-m", "ray.scripts.scripts"]
        return subprocess.run([*ray, "drain-node", *words], timeout=_DRAIN_S).returncode == 0
    except Exception as e:  # whatever it is, there are two minutes to try again
        _say(f"the node is not drained: {e!r}")
        return False


def find_node_id(head: str, address: str) -> str | None:
    """Ray's id of the living node with an address. Asks the head itself: its dashboard is on loopback there."""
    from ray._raylet import GcsClient  # type: ignore[attr-defined]  # compiled

    # Ray's public functions for it want a driver on the node, or the dashboard. `ray drain-node` uses the same client.
    for node_id, node in GcsClient(address=head).get_all_node_info(timeout=_DRAIN_S).items():
        if node.node_manager_address == address and node.state == node.ALIVE:
            return str(node_id.hex())
    return None


def _say(text: str) -> None:
    print(f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d %H:%M:%SZ} {text}", flush=True)


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--address", required=True, help="host:port of the head")
    parser.add_argument("--every-s", type=float, default=5.0, help="AWS recommends five seconds")
    given = parser.parse_args(argv)
    # The newest is in charge: Ray that is started again on a node that it has run on may have another head.
    in_charge = Path(__file__).with_suffix(".pid")
    in_charge.write_text(str(os.getpid()))
    watch(
        Metadata(os.environ.get(_ENDPOINT_VARIABLE) or _ENDPOINT),
        lambda address, left_s: drain_node(given.address, address, left_s),
        every_s=given.every_s,
        is_in_charge=lambda: in_charge.read_text() == str(os.getpid()),
    )


if __name__ == "__main__":
    main()
