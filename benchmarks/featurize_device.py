"""The part of featurize.py for a device: decoded clips on a GPU, beside torchaudio on the same GPU and the ceilings.

Every contender that decodes has one process a core, as on a cluster; all share the device, take turns round by round,
and end with log-mels in the host's memory. The ceilings are measured in the same rounds: decoding alone with the same
processes, the upload of 16-bit samples alone, and the device's computing alone of samples that lie there.
"""

import io
import itertools
import multiprocessing
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch
import torchaudio

from pipelines.backends import PcmBackend, create_backend
from pipelines.backends.device_resampling import DeviceResampler
from pipelines.decoding.decode import read_pcm
from pipelines.decoding.pcm import Pcm
from pipelines.feature_spec import FeatureSpec
from pipelines.manifest import Clip

_CLIP = Clip(clip_id="clip", recording_id="clip", uri="clip", labels=())
_CLIPS_PER_CALL = 128  # as a shard worker gives them to a backend
_TURNS = ("torchaudio", "melsweep torch", "melsweep dali", "decoding alone")

Work = Callable[[Sequence[Path]], object]


def has_device(device: str) -> bool:
    return device == "cpu" or torch.cuda.is_available()


def race(
    files: Sequence[Path], spec: FeatureSpec, device: str, *, num_clips: int, rounds: int, num_processes: int
) -> dict[str, float]:
    """Prints the table and returns the figures.

    Args:
        files: 16-bit WAV; taken over and over until there are `num_clips`.
    """
    seconds: dict[str, list[float]] = {name: [] for name in (*_TURNS, "upload alone", "device alone")}
    upload = _Upload(files, spec, device)
    resident = _Resident(files, spec, device)
    with _processes(files, spec, device, num_processes) as pipes:
        for name in _TURNS:
            _all_work(pipes, name, len(pipes))  # imports, contexts, filters, plans
        for _ in range(rounds):
            for name in _TURNS:
                seconds[name].append(_all_work(pipes, name, num_clips) / num_clips)
            seconds["upload alone"].append(upload.seconds_per_clip())
            seconds["device alone"].append(resident.seconds_per_clip())
    per_clip = {name: statistics.median(measured) for name, measured in seconds.items()}
    _print_table(seconds, device, num_clips, rounds, num_processes)
    figures = {f"featurize.{device}_{name.replace(' ', '_')}": 1 / median for name, median in per_clip.items()}
    figures[f"featurize.{device}_upload_gb_per_s"] = upload.bytes_per_clip / per_clip["upload alone"] / 1e9
    best = min(per_clip["melsweep torch"], per_clip["melsweep dali"])
    return figures | {f"featurize.{device}_vs_torchaudio": per_clip["torchaudio"] / best}


def _print_table(seconds: dict[str, list[float]], device: str, num_clips: int, rounds: int, num_processes: int) -> None:
    where = torch.cuda.get_device_name() if device == "cuda" else "CPU"
    print(f"\n{where}, {num_processes} processes, {num_clips} clips of 5 s as WAV: median of {rounds} rounds, clips/s")
    print(f"  {'':16s} {'clips/s':>9s} {'lowest':>9s} {'highest':>9s} {'× torchaudio':>13s}")
    for name, measured in seconds.items():
        pairs = zip(seconds["torchaudio"], measured, strict=True)
        ratio = statistics.median(theirs / ours for theirs, ours in pairs)
        rates = [1 / statistics.median(measured), 1 / max(measured), 1 / min(measured)]
        print(f"  {name:16s} " + " ".join(f"{rate:9.0f}" for rate in rates) + f" {ratio:13.2f}")


# The processes.


@contextmanager
def _processes(files: Sequence[Path], spec: FeatureSpec, device: str, count: int) -> Iterator[list[Connection]]:
    context = multiprocessing.get_context("spawn")
    pipes, children = [], []
    for number in range(count):
        ours, theirs = context.Pipe()
        shuffled = [files[(number * 7 + position) % len(files)] for position in range(len(files))]
        child = context.Process(target=_serve, args=(theirs, shuffled, spec, device), daemon=True)
        child.start()
        theirs.close()
        pipes.append(ours)
        children.append(child)
    try:
        yield pipes
    finally:
        for pipe, child in zip(pipes, children, strict=True):
            pipe.close()
            child.join()


def _all_work(pipes: Sequence[Connection], name: str, num_clips: int) -> float:
    """Seconds until all processes together have done so many clips."""
    started = time.perf_counter()
    for number, pipe in enumerate(pipes):
        pipe.send((name, num_clips // len(pipes) + (number < num_clips % len(pipes))))
    for pipe in pipes:
        pipe.recv()
    return time.perf_counter() - started


def _serve(pipe: Connection, files: Sequence[Path], spec: FeatureSpec, device: str) -> None:
    torch.set_num_threads(1)
    contenders: dict[str, Work] = {}
    try:
        while True:
            name, count = pipe.recv()
            if name not in contenders:
                contenders[name] = _contender(name, spec, device)
            contenders[name](list(itertools.islice(itertools.cycle(files), count)))
            pipe.send(None)
    except EOFError:
        return


def _contender(name: str, spec: FeatureSpec, device: str) -> Work:
    if name == "torchaudio":
        return _tutorial(spec, device)
    if name == "decoding alone":
        return lambda files: _decode_all(files, spec)
    backend = create_backend(name.removeprefix("melsweep "), spec, device=device)
    assert isinstance(backend, PcmBackend)
    return lambda files: _as_decoded(backend, files, spec)


def _as_decoded(backend: PcmBackend, files: Sequence[Path], spec: FeatureSpec) -> None:
    for start in range(0, len(files), _CLIPS_PER_CALL):
        clips = _decode_all(files[start : start + _CLIPS_PER_CALL], spec)
        log_mels = backend.log_mel_of_pcm(clips, [[0]] * len(clips))
        assert len(log_mels) == len(clips)


def _decode_all(files: Sequence[Path], spec: FeatureSpec) -> list[Pcm]:
    clips = []
    for path in files:
        clips.append(read_pcm(io.BytesIO(path.read_bytes()), _CLIP, spec))
        clips[-1].hash()  # as a shard worker keeps it with every row
    return clips


def _tutorial(spec: FeatureSpec, device: str) -> Work:
    """As torchaudio's tutorials have it, moved to the device; clip by clip."""
    mel = torchaudio.transforms.MelSpectrogram(
        spec.sample_rate_hz,
        n_fft=spec.n_fft,
        hop_length=spec.hop_samples,
        n_mels=spec.num_mels,
        norm="slaney",
        mel_scale="slaney",
        pad_mode="constant",
    ).to(device)
    decibels = torchaudio.transforms.AmplitudeToDB(top_db=80).to(device)
    resamplers: dict[int, Any] = {}

    def work(files: Sequence[Path]) -> None:
        for path in files:
            samples, rate_hz = soundfile.read(io.BytesIO(path.read_bytes()), dtype="float32")
            if rate_hz not in resamplers:
                resamplers[rate_hz] = torchaudio.transforms.Resample(rate_hz, spec.sample_rate_hz).to(device)
            with torch.inference_mode():
                waveform = resamplers[rate_hz](torch.from_numpy(samples).to(device))[: spec.window_samples]
                waveform = torch.nn.functional.pad(waveform, (0, spec.window_samples - len(waveform)))
                decibels(mel(waveform)).cpu().numpy()

    return work


# The ceilings that need one process.


class _Upload:
    """16-bit samples of a batch from pinned memory to the device."""

    def __init__(self, files: Sequence[Path], spec: FeatureSpec, device: str) -> None:
        pcm = _decode_all(files[:1], spec)[0]
        self.bytes_per_clip, self._device = pcm.samples_TC.nbytes, torch.device(device)
        self._batch = torch.from_numpy(np.stack([pcm.samples_TC] * _CLIPS_PER_CALL))
        self._there = torch.empty_like(self._batch, device=self._device)
        if device == "cuda":
            self._batch = self._batch.pin_memory()

    def seconds_per_clip(self, num_batches: int = 20) -> float:
        _wait_for(self._device)
        started = time.perf_counter()
        for _ in range(num_batches):
            self._there.copy_(self._batch, non_blocking=True)
        _wait_for(self._device)
        return (time.perf_counter() - started) / (num_batches * _CLIPS_PER_CALL)


class _Resident:
    """Everything of the backend torch after the upload, its download of log-mels included."""

    def __init__(self, files: Sequence[Path], spec: FeatureSpec, device: str) -> None:
        backend: Any = create_backend("torch", spec, device=device)
        self._clips = _decode_all(list(itertools.islice(itertools.cycle(files), _CLIPS_PER_CALL)), spec)
        backend._resampler = _UploadedOnce(spec, torch.device(device), like=backend._resampler)
        self._backend, self._device = backend, torch.device(device)
        self.seconds_per_clip()

    def seconds_per_clip(self, num_calls: int = 2) -> float:
        _wait_for(self._device)
        started = time.perf_counter()
        for _ in range(num_calls):
            self._backend.log_mel_of_pcm(self._clips, [[0]] * len(self._clips))
        _wait_for(self._device)
        return (time.perf_counter() - started) / (num_calls * len(self._clips))


class _UploadedOnce(DeviceResampler):
    """Keeps every batch's samples on the device."""

    def __init__(self, spec: FeatureSpec, device: torch.device, *, like: DeviceResampler) -> None:
        super().__init__(spec, device, most_windows=like._most_windows)
        self._kept: dict[int, torch.Tensor] = {}

    def _upload(self, clips: Sequence[Pcm], first_inputs: Sequence[int]) -> torch.Tensor:
        if id(clips[0]) not in self._kept:
            self._kept[id(clips[0])] = super()._upload(clips, first_inputs)
        return self._kept[id(clips[0])]


def _wait_for(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()
