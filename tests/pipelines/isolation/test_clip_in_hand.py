"""The page that a child and its parent share: what one writes the other reads, also after a death."""

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from pipelines.isolation.clip_in_hand import ClipInHand


@pytest.fixture
def pair() -> Iterator[tuple[ClipInHand, ClipInHand]]:
    ours = ClipInHand()
    theirs = ClipInHand(os.dup(ours.fd))
    yield ours, theirs
    theirs.close()
    ours.close()


def test_the_clip_last_begun_is_in_hand_until_it_ends(pair: tuple[ClipInHand, ClipInHand]) -> None:
    parent, child = pair
    assert parent.clip() is None
    for clip_id in ("a-long-name-of-a-clip", "b", "Ωmega/каталог"):
        child.begin(clip_id)
        found = parent.clip()
        assert found
        assert found[0] == clip_id
        assert 0 <= found[1] < 60
    child.end()
    assert parent.clip() is None


def test_what_a_dead_process_had_in_hand_is_known() -> None:
    parent = ClipInHand()
    code = (
        "import os, signal, sys; from pipelines.isolation.clip_in_hand import ClipInHand\n"
        "ClipInHand(int(sys.argv[1])).begin('the last one'); os.kill(os.getpid(), signal.SIGKILL)"
    )
    command = [sys.executable, "-c", code, str(parent.fd)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    assert subprocess.run(command, pass_fds=[parent.fd], env=environment).returncode == -9
    found = parent.clip()
    assert found
    assert found[0] == "the last one"
    parent.close()


def test_an_id_that_does_not_fit_is_refused(pair: tuple[ClipInHand, ClipInHand]) -> None:
    with pytest.raises(ValueError, match="65,000 bytes, this one has 70000"):
        pair[1].begin("x" * 70_000)
