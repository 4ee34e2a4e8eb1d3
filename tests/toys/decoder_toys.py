"""A decoder that does what a file's bytes tell it to, in the worst ways; child processes import it by this name."""

import os
import signal
import time
from pathlib import Path
from typing import BinaryIO

from pipelines.decoding.decode import Undecodable, Waveform, decode, read_pcm
from pipelines.decoding.pcm import Pcm
from pipelines.feature_spec import FeatureSpec
from pipelines.manifest import Clip


def obedient_decode(source: BinaryIO, clip: Clip, spec: FeatureSpec) -> Waveform:
    """Real audio is decoded; `do: …` is done."""
    _obey(source)
    return decode(source, clip, spec)


def obedient_read(source: BinaryIO, clip: Clip, spec: FeatureSpec) -> Pcm:
    """The same, and the audio is left as decoded."""
    _obey(source)
    return read_pcm(source, clip, spec)


def _obey(source: BinaryIO) -> None:
    if source.read(4) != b"do: ":
        return
    order, _, argument = source.read().decode().partition(" ")
    if order == "signal":
        os.kill(os.getpid(), signal.Signals[argument])
        time.sleep(60)
    if order == "exit":
        os._exit(int(argument))
    if order == "hang":
        time.sleep(3600)
    if order == "raise":
        raise ZeroDivisionError(argument)
    if order == "once":  # dies unless an earlier process has left the file named
        path = Path(argument)
        if not path.exists():
            path.touch()
            os.kill(os.getpid(), signal.SIGSEGV)
    raise Undecodable("not_audio", "an order")
