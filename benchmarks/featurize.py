"""How fast recordings become log-mels: our backends beside librosa and torchaudio, on the same files and cores.

python benchmarks/featurize.py [--quick] [--root <ESC-50 tree>] [--clips 20000] [--rounds 3] [--device cuda]

Spec of the study on ESC-50 with ResNet-50 (22.05 kHz, n_fft 2048, hop 512, 128 mels, 5 s), recordings of 44.1 kHz as
16-bit WAV and as Ogg Vorbis. Part one: one core, from the encoded bytes to the log-mel, contenders taking turns. Part
two: all cores, from files on disk to features on disk; the data set is the recordings over and over (the page cache
holds them for every contender alike). Without --root or ESC50_ROOT the embedded data set is used.

With --device cuda, the device's part alone (featurize_device.py); it ends with 2 where there is no CUDA device.
"""

import argparse
import contextlib
import functools
import io
import itertools
import multiprocessing
import os
import pickle
import queue
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import soundfile
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parents[1]))  # of a script the path holds its own folder alone

from benchmarks.machine import print_machine
from cluster.session import ray_session
from pipelines.backends import create_backend, list_backends
from pipelines.decoding.decode import cut_windows, decode
from pipelines.feature_spec import FeatureSpec
from pipelines.featurize import PipelineSettings, featurize
from pipelines.manifest import Clip, Manifest, shards
from pipelines.shards.isolated_worker import IsolatedWorker
from pipelines.shards.request import ShardRequest, shard_of
from pipelines.shards.worker import ShardWorker
from pipelines.sources.synthetic import write_synthetic_dataset
from storage.feature_store import FeatureStore
from storage.object_store import open_store

SPEC = FeatureSpec(hop_samples=512, num_mels=128)
CLIP = Clip(clip_id="clip", recording_id="clip", uri="clip", labels=("sound",))
CLIPS_PER_SHARD = 100
NUM_CORES = len(os.sched_getaffinity(0))
PACKAGES = ("numpy", "scipy", "librosa", "torch", "torchaudio", "nvidia-dali-cuda130", "ray", "soxr", "soundfile")

# Read by numpy and torch when they are imported; every contender has one core a process.
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")

LogMel = Callable[[bytes], NDArray[np.float32]]
LogMels = Callable[[list[bytes]], None]
WINDOWS_PER_CALL = 32  # as the pipeline gives them to a backend


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer files and rounds: within a minute, and noisy")
    parser.add_argument("--root", default=os.environ.get("ESC50_ROOT"), help="an ESC-50 tree")
    parser.add_argument("--clips", type=int, default=20_000, help="clips of part two")
    parser.add_argument("--rounds", type=int, default=3, help="rounds of part two")
    # On the CPU it says nothing of speed, but walks the same code.
    parser.add_argument("--device", choices=("cuda", "cpu"), help="the part for a device alone; cpu to try it")
    arguments = parser.parse_args(argv)
    if arguments.device:
        return _device_part(arguments)
    num_clips = 400 if arguments.quick else arguments.clips
    print_machine(PACKAGES, num_cores=NUM_CORES)
    with tempfile.TemporaryDirectory(prefix="melsweep-benchmark-") as folder:
        waves, oggs = _corpus(Path(folder), arguments.root, num_files=40 if arguments.quick else 400)
        figures = _kernels(
            {"WAV": waves, "Ogg": oggs}, num_files=32 if arguments.quick else 96, rounds=3 if arguments.quick else 7
        )
        figures |= _end_to_end(
            Path(folder), {"WAV": waves, "Ogg": oggs}, num_clips, rounds=1 if arguments.quick else arguments.rounds
        )
    for name, value in figures.items():
        print(f"figure {name} {value:.3f}")
    return 0


def _device_part(arguments: argparse.Namespace) -> int:
    from benchmarks.featurize_device import has_device, race

    if not has_device(arguments.device):
        print("This machine has no CUDA device that torch can use: nothing to measure (nvidia-smi?).", file=sys.stderr)
        return 2
    print_machine(PACKAGES, num_cores=NUM_CORES)
    num_clips = min(arguments.clips, 400) if arguments.quick else arguments.clips
    with tempfile.TemporaryDirectory(prefix="melsweep-benchmark-") as folder:
        waves, _ = _corpus(Path(folder), arguments.root, num_files=40 if arguments.quick else 400)
        rounds = 1 if arguments.quick else arguments.rounds
        figures = race(waves, SPEC, arguments.device, num_clips=num_clips, rounds=rounds, num_processes=NUM_CORES)
    for name, value in figures.items():
        print(f"figure {name} {value:.3f}")
    return 0


# Part one: one core.


def _kernels(corpora: dict[str, list[Path]], *, num_files: int, rounds: int) -> dict[str, float]:
    contenders = {"librosa": one_by_one(librosa_log_mel), "torchaudio": one_by_one(torchaudio_log_mel())}
    contenders |= {name: in_batches(name) for name in list_backends()}
    figures: dict[str, float] = {}
    for container, files in corpora.items():
        encoded = [path.read_bytes() for path in files[:num_files]]
        seconds = _take_turns(contenders, encoded, rounds)
        print(f"\n{container}, one core, from bytes to log-mel: median of {rounds} rounds of {len(encoded)} clips")
        print(f"  {'':12s} {'ms a clip':>10s} {'clips/s':>9s} {'× librosa':>10s}")
        for name in contenders:
            per_clip = statistics.median(seconds[name]) / len(encoded)
            ratio = statistics.median(slow / fast for slow, fast in zip(seconds["librosa"], seconds[name], strict=True))
            print(f"  {name:12s} {per_clip * 1e3:10.2f} {1 / per_clip:9.0f} {ratio:10.2f}")
            if name == "cpu":
                figures["featurize.kernel_vs_librosa" + ("" if container == "WAV" else "_ogg")] = ratio
    return figures


def _take_turns(contenders: dict[str, LogMels], encoded: list[bytes], rounds: int) -> dict[str, list[float]]:
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for log_mels in contenders.values():
        log_mels(encoded[:1])  # imports, compilation, plans
    for _ in range(rounds):
        for name, log_mels in contenders.items():
            started = time.perf_counter()
            log_mels(encoded)
            seconds[name].append(time.perf_counter() - started)
    return seconds


def one_by_one(log_mel: LogMel) -> LogMels:
    def log_mels(encoded: list[bytes]) -> None:
        for data in encoded:
            log_mel(data)

    return log_mels


def in_batches(backend_name: str) -> LogMels:
    """One of our backends, as a shard worker calls it."""
    backend = create_backend(backend_name, SPEC)

    def log_mels(encoded: list[bytes]) -> None:
        for start in range(0, len(encoded), WINDOWS_PER_CALL):
            batch = encoded[start : start + WINDOWS_PER_CALL]
            windows = [cut_windows(decode(io.BytesIO(data), CLIP, SPEC), SPEC) for data in batch]
            backend.log_mel(np.concatenate(windows))

    return log_mels


def librosa_log_mel(encoded: bytes) -> NDArray[np.float32]:
    """As a notebook has it."""
    import librosa

    samples, rate_hz = soundfile.read(io.BytesIO(encoded), dtype="float32")
    samples = librosa.resample(samples, orig_sr=rate_hz, target_sr=SPEC.sample_rate_hz, res_type="soxr_hq")
    samples = librosa.util.fix_length(samples, size=SPEC.window_samples)
    power = librosa.feature.melspectrogram(
        y=samples,
        sr=SPEC.sample_rate_hz,
        n_fft=SPEC.n_fft,
        hop_length=SPEC.hop_samples,
        n_mels=SPEC.num_mels,
        pad_mode="constant",
    )
    decibels: NDArray[np.float32] = librosa.power_to_db(power, ref=np.max)
    return decibels


@functools.cache
def torchaudio_log_mel() -> LogMel:
    """As torchaudio's tutorials have it; its resampler is a windowed sinc with their default width."""
    import torch
    import torchaudio

    torch.set_num_threads(1)
    resamplers: dict[int, Any] = {}
    mel = torchaudio.transforms.MelSpectrogram(
        SPEC.sample_rate_hz,
        n_fft=SPEC.n_fft,
        hop_length=SPEC.hop_samples,
        n_mels=SPEC.num_mels,
        norm="slaney",
        mel_scale="slaney",
        pad_mode="constant",
    )
    decibels = torchaudio.transforms.AmplitudeToDB(top_db=80)

    def log_mel(encoded: bytes) -> NDArray[np.float32]:
        samples, rate_hz = soundfile.read(io.BytesIO(encoded), dtype="float32")
        if rate_hz not in resamplers:
            resamplers[rate_hz] = torchaudio.transforms.Resample(rate_hz, SPEC.sample_rate_hz)
        with torch.inference_mode():
            waveform = resamplers[rate_hz](torch.from_numpy(samples))[: SPEC.window_samples]
            waveform = torch.nn.functional.pad(waveform, (0, SPEC.window_samples - len(waveform)))
            found: NDArray[np.float32] = decibels(mel(waveform)).numpy()
        return found

    return log_mel


# Part two: all cores, from files to features at rest.


def _end_to_end(folder: Path, corpora: dict[str, list[Path]], num_clips: int, *, rounds: int) -> dict[str, float]:
    figures: dict[str, float] = {}
    with ray_session(num_cpus=NUM_CORES):
        for container, files in corpora.items():
            manifest = _manifest(files, num_clips if container == "WAV" else num_clips // 8)
            seconds = _race(folder, manifest, rounds)
            ratios = _print_race(container, len(manifest.clips), rounds, seconds)
            if container == "WAV":
                figures["featurize.end_to_end_vs_pool"] = ratios["librosa pool"]
                figures["featurize.end_to_end_vs_loader"] = ratios["torchaudio loader"]
                figures["featurize.ray_share"] = 1 - ratios["our shards, no Ray"]
        figures |= _memory(folder, corpora["WAV"], num_clips)
    return figures


def _race(folder: Path, manifest: Manifest, rounds: int) -> dict[str, list[float]]:
    contenders: dict[str, Callable[[Manifest, Path], None]] = {
        "librosa pool": functools.partial(_pool_of_files, log_mel_name="librosa"),
        "torchaudio loader": _torch_loader,
        "our shards, no Ray": _shards_without_ray,
        "melsweep on Ray": _melsweep,
    }
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, contender in contenders.items():
            with tempfile.TemporaryDirectory(dir=folder) as out:
                started = time.perf_counter()
                contender(manifest, Path(out))
                seconds[name].append(time.perf_counter() - started)
    return seconds


def _print_race(container: str, num_clips: int, rounds: int, seconds: dict[str, list[float]]) -> dict[str, float]:
    """Prints a table; returns each contender's time as a multiple of ours on Ray."""
    ours = seconds["melsweep on Ray"]
    print(f"\n{container}, {NUM_CORES} cores, {num_clips} clips from files to files: median of {rounds} rounds")
    print(f"  {'':20s} {'seconds':>8s} {'clips/s':>9s} {'time ÷ ours':>12s}")
    ratios = {}
    for name, measured in seconds.items():
        ratios[name] = statistics.median(other / our for other, our in zip(measured, ours, strict=True))
        median = statistics.median(measured)
        print(f"  {name:20s} {median:8.1f} {num_clips / median:9.0f} {ratios[name]:12.2f}")
    return ratios


def _pool_of_files(manifest: Manifest, out: Path, *, log_mel_name: str) -> None:
    """A process pool that writes one .npy file a clip."""
    with multiprocessing.get_context("spawn").Pool(NUM_CORES) as pool:
        jobs = ((clip.uri, str(out / f"{number}.npy")) for number, clip in enumerate(manifest.clips))
        for _ in pool.imap_unordered(_librosa_to_file, jobs, chunksize=50):
            pass


def _librosa_to_file(job: tuple[str, str]) -> None:
    uri, path = job
    np.save(path, librosa_log_mel(Path(uri).read_bytes()).astype(np.float16))


class _Recordings:
    """A map-style torch dataset."""

    def __init__(self, uris: list[str]) -> None:
        self.uris = uris

    def __len__(self) -> int:
        return len(self.uris)

    def __getitem__(self, index: int) -> NDArray[np.float16]:
        return torchaudio_log_mel()(Path(self.uris[index]).read_bytes()).astype(np.float16)


def _torch_loader(manifest: Manifest, out: Path) -> None:
    """A DataLoader whose batches the main process saves."""
    from torch.utils.data import DataLoader

    loader: Any = DataLoader(
        _Recordings([clip.uri for clip in manifest.clips]),  # type: ignore[arg-type]
        batch_size=CLIPS_PER_SHARD,
        num_workers=NUM_CORES,
        multiprocessing_context="spawn",
    )
    for number, batch in enumerate(loader):
        np.save(out / f"{number}.npy", batch.numpy())


def _shards_without_ray(manifest: Manifest, out: Path) -> None:
    """The same worker processes, fed by threads: what is left is Ray's share."""
    features = FeatureStore(open_store(str(out)), dataset=manifest.dataset, fingerprint=SPEC.fingerprint)
    make_worker = pickle.dumps(functools.partial(ShardWorker, SPEC, features, backend="cpu"))
    requests = queue.SimpleQueue[ShardRequest]()
    for index, clips in enumerate(shards(manifest.clips, CLIPS_PER_SHARD)):
        requests.put(ShardRequest(index=index, clips_hash="0" * 12, root=manifest.root, endpoint_url=None, clips=clips))

    def work() -> None:
        worker = IsolatedWorker(make_worker, clip_time_limit_s=120)
        with contextlib.suppress(queue.Empty):
            while True:
                shard_of(worker.outcome(requests.get_nowait().to_json()))
        worker.close()

    with ThreadPoolExecutor(NUM_CORES) as pool:
        for working in [pool.submit(work) for _ in range(NUM_CORES)]:
            working.result()


def _melsweep(manifest: Manifest, out: Path) -> None:
    settings = PipelineSettings(backend="cpu", clips_per_shard=CLIPS_PER_SHARD)
    result = featurize(manifest, SPEC, open_store(str(out)), settings)
    if result.num_rows != len(manifest.clips):
        raise AssertionError(f"{result.num_rows} rows of {len(manifest.clips)} clips")


def _memory(folder: Path, files: list[Path], num_clips: int) -> dict[str, float]:
    """Peak memory of the driver and all of its children, with a tenth of the clips and with all of them."""
    peaks = []
    print(f"\n  {'':20s} {'peak MiB of driver, Ray and workers':>8s}")
    for count in (num_clips // 10, num_clips):
        with tempfile.TemporaryDirectory(dir=folder) as out, _peak_memory() as peak:
            _melsweep(_manifest(files, count), Path(out))
        peaks.append(peak[0])
        print(f"  {count:12d} clips {peak[0] / 2**20:12.0f}")
    return {"featurize.memory_growth": peaks[1] / peaks[0]}


@contextmanager
def _peak_memory() -> Iterator[list[int]]:
    peak, ended, me = [0], threading.Event(), psutil.Process()

    def watch() -> None:
        while not ended.wait(0.25):
            peak[0] = max(peak[0], sum(map(_private_bytes, [me, *me.children(recursive=True)])))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield peak
    finally:
        ended.set()
        watcher.join()


def _private_bytes(process: psutil.Process) -> int:
    try:
        return int(process.memory_full_info().pss)  # shared pages count once over all processes
    except psutil.Error:
        return 0


# The corpus.


def _corpus(folder: Path, root: str | None, *, num_files: int) -> tuple[list[Path], list[Path]]:
    """The same recordings as WAV (44.1 kHz, 16 bit, as ESC-50 is published) and as Ogg Vorbis."""
    tree = Path(root) if root else write_synthetic_dataset(folder / "synthetic")
    sources = sorted(path for path in (tree / "audio").iterdir() if path.suffix in (".wav", ".ogg"))[:num_files]
    waves, oggs = [], []
    (folder / "files").mkdir()
    for number, source in enumerate(sources):
        samples, rate_hz = soundfile.read(source, dtype="int16")
        waves.append(folder / "files" / f"{number}.wav")
        soundfile.write(waves[-1], samples, rate_hz, subtype="PCM_16")
        oggs.append(source if source.suffix == ".ogg" else folder / "files" / f"{number}.ogg")
        if source.suffix != ".ogg":
            soundfile.write(oggs[-1], samples, rate_hz, format="OGG", subtype="VORBIS")
    print(f"recordings: {len(sources)} of {tree.name}, 5 s, {rate_hz} Hz")
    return waves, oggs


def _manifest(files: list[Path], num_clips: int) -> Manifest:
    clips = tuple(
        Clip(clip_id=f"{number:06d}", recording_id=f"{number:06d}", uri=str(path), labels=("sound",))
        for number, path in zip(range(num_clips), itertools.cycle(files), strict=False)
    )
    return Manifest(name="benchmark", root="/", clips=clips)


if __name__ == "__main__":
    if not ONE_THREAD.items() <= os.environ.items():
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, **ONE_THREAD})
    sys.exit(main())
