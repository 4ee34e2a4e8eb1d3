"""RadioML: IQ samples of modulated signals by SNR, one file with all examples. 2016.10A is a pickle, 2018.01A HDF5.

T. J. O'Shea, N. West, "Radio Machine Learning Dataset Generation with GNU Radio", GRCon 2016 (11 modulations, 20 SNRs,
1,000 examples of 128 samples each); T. J. O'Shea, T. Roy, T. C. Clancy, "Over-the-Air Deep Learning Based Radio Signal
Classification", arXiv:1712.04578 (24 modulations, 26 SNRs, 4,096 examples of 1,024 samples each).

The label is the modulation, `snr_db` a column. There are no recordings: a generator made every example, none overlaps
another, and nothing tells which shared a channel. So every example is its own recording and its own group, and a split
by group is a split over examples, as in both papers.

A manifest holds a row for each example: 220,000 of 2016.10A, 2.56 million of 2018.01A; docs/decisions.md has what that
costs. Of the HDF5 file, classes and SNRs are read (0.5 GB), its 21 GB of samples are not.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from pipelines.files.recordings import Recordings
from pipelines.iq.hdf5_file import IqHdf5
from pipelines.iq.pickle_file import load_iq_pickle
from pipelines.iq.uri import HDF5S, PICKLES
from pipelines.manifest import Clip, Manifest
from pipelines.sources.trees import counted, extension, in_words, refuse_if_any
from storage.errors import InvalidInput, ObjectNotFound, UnreadableFile

# Columns of Y in 2018.01A, by the order of the paper's table and of the corrected classes-fixed.txt that copies of the
# data set come with. The classes.txt first shipped beside the file has another order, which does not fit its signals.
CLASSES_2018 = tuple(
    "OOK 4ASK 8ASK BPSK QPSK 8PSK 16PSK 32PSK 16APSK 32APSK 64APSK 128APSK 16QAM 32QAM 64QAM 128QAM 256QAM "
    "AM-SSB-WC AM-SSB-SC AM-DSB-WC AM-DSB-SC FM GMSK OQPSK".split()
)
_LONGEST_GIVEN = 200
_LABEL = re.compile(r"[\w+-]+")  # of a uri, where / and # part


@dataclass(frozen=True, slots=True)
class _Published:
    """What a published file has: its SNRs, examples of each modulation and SNR, modulations, samples of an example."""

    name: str
    snrs_db: range
    num_examples: int
    num_modulations: int
    num_samples: int


_PUBLISHED = {
    "pickle": _Published("2016.10A", range(-20, 20, 2), 1_000, 11, 128),
    "HDF5": _Published("2018.01A", range(-20, 32, 2), 4_096, 24, 1_024),
}


@dataclass(frozen=True, slots=True)
class _Contents:
    """What a file holds, as far as the manifest is concerned.

    Attributes:
        counts: (modulation, snr_db) → examples.
        examples: (modulation, snr_db, what the uri says behind the file) of every one, in the file's order.
    """

    form: str
    counts: Counter[tuple[str, int]]
    num_samples: list[int]
    examples: Iterable[tuple[str, int, str]]


def manifest(recordings: Recordings, name: str) -> Manifest:
    """Reads a RadioML file.

    Args:
        recordings: the file, or the folder that holds it and no other of its kind.
        name: the data set's name.

    Raises:
        InvalidInput: no such file, several, a pickle of anything but arrays, an HDF5 file without X, Y and Z, rows of Y
            that are not one-hot, or no 24 columns in it.
    """
    folder, path, size_bytes, problems = _find(recordings)
    contents, more = (None, []) if problems else _read(folder, path)
    refuse_if_any(
        [*problems, *more],
        recordings,
        allowed="RML2016.10a_dict.pkl or GOLD_XYZ_OSC.0001_1024.hdf5, or a folder with one of them",
        remedy="Point data.root at the published file.",
    )
    assert contents is not None
    clips = tuple(_clips(contents, path, size_bytes))
    return Manifest(name=name, root=folder.root, endpoint_url=folder.endpoint_url, clips=clips)


def check(recordings: Recordings) -> list[str]:
    """What is wrong with a file, in words: what `manifest` refuses, then what is unlike the published sets."""
    folder, path, _, problems = _find(recordings)
    if problems:
        return problems
    contents, problems = _read(folder, path)
    return problems if contents is None else [*problems, *_oddities(contents)]


def _find(recordings: Recordings) -> tuple[Recordings, str, int | None, list[str]]:
    """The folder, the file's path in it, its size, and problems."""
    known = PICKLES | HDF5S
    if extension(recordings.root) in known and not (recordings.is_local and recordings.root_exists()):
        folder, path = recordings.parent()
        sizes = {path: folder.sizes([path])[path]}
    else:
        folder = recordings
        sizes = {path: size for path, size in folder.walk() if extension(path) in known and "/" not in path}
    path, size_bytes = next(iter(sizes.items()), ("", None))
    if len(sizes) > 1:
        problem = f"several files: {in_words(list(sizes))}; name one of them"
    elif not path:
        problem = "no .pkl, .h5 or .hdf5 file in it" if folder.root_exists() else "no such folder"
    elif path.rpartition(".")[2] not in known:
        problem = f"{path}: its extension must be in small letters"
    else:
        problem = "" if size_bytes is not None else f"no file {path}, or this machine cannot read it"
    return folder, path, size_bytes, [problem] if problem else []


def _read(folder: Recordings, path: str) -> tuple[_Contents | None, list[str]]:
    try:
        with folder.open(path) as file:
            if extension(path) in HDF5S:
                return _read_hdf5(IqHdf5(file))
            arrays = {key: array.shape for key, array in load_iq_pickle(file).items()}
    except InvalidInput as e:
        given = str(e.given)[:_LONGEST_GIVEN]  # may hold what a hostile file says
        return None, [f"{path} is none of RadioML: {given if given.isprintable() else ascii(given)}"]
    except (ObjectNotFound, UnreadableFile) as e:
        return None, [f"{path} cannot be read: {e}"]
    counts = Counter({key: shape[0] for key, shape in arrays.items()})
    examples = (
        (modulation, snr_db, f"{modulation}/{snr_db}/{number}")
        for (modulation, snr_db), count in counts.items()
        for number in range(count)
    )
    odd = sorted({modulation for modulation, _ in counts if not _LABEL.fullmatch(modulation)})
    problems = counted("modulations whose names are not letters, digits, + and -", [repr(name)[:40] for name in odd])
    return _Contents("pickle", counts, sorted({shape[2] for shape in arrays.values()}), examples), problems


def _read_hdf5(file: IqHdf5) -> tuple[_Contents | None, list[str]]:
    if file.num_classes != len(CLASSES_2018):
        return None, [f"Y has {file.num_classes} columns; the names of {len(CLASSES_2018)} classes are known"]
    classes, snrs_db = file.classes_and_snrs_db()
    not_one_hot = (classes < 0).nonzero()[0].tolist()
    if not_one_hot:
        return None, counted("rows of Y that are not one-hot", [str(row) for row in not_one_hot])
    keys = [(CLASSES_2018[number], snr_db) for number, snr_db in zip(classes.tolist(), snrs_db.tolist(), strict=True)]
    examples = ((*key, str(row)) for row, key in enumerate(keys))
    return _Contents("HDF5", Counter(keys), [file.num_samples], examples), []


def _clips(contents: _Contents, path: str, size_bytes: int | None) -> Iterator[Clip]:
    # Rows of one modulation and SNR share their labels and columns, and each its id: 2.5 million rows are many.
    labels = {modulation: (modulation,) for modulation, _ in contents.counts}
    columns: dict[int, dict[str, str | int | float | bool | None]] = {
        snr_db: {"snr_db": snr_db} for _, snr_db in contents.counts
    }
    for modulation, snr_db, example in contents.examples:
        clip_id = example if "/" in example else f"{int(example):07d}"  # sorted by id is in the file's order
        yield Clip(
            clip_id=clip_id,
            recording_id=clip_id,
            uri=f"{path}#{example}",
            labels=labels[modulation],
            size_bytes=size_bytes,
            columns=columns[snr_db],
        )


def _oddities(contents: _Contents) -> list[str]:
    published, words = _PUBLISHED[contents.form], []
    modulations = {modulation for modulation, _ in contents.counts}
    snrs_db = {snr_db for _, snr_db in contents.counts}
    if len(modulations) != published.num_modulations:
        words.append(f"{len(modulations)} modulations; {published.name} has {published.num_modulations}")
    if contents.num_samples != [published.num_samples]:
        words.append(f"examples of {contents.num_samples} samples; in {published.name} of {published.num_samples}")
    missing, strange = set(published.snrs_db) - snrs_db, snrs_db - set(published.snrs_db)
    words += counted(f"SNRs that {published.name} has and this has not", [f"{snr} dB" for snr in sorted(missing)])
    words += counted(f"SNRs that {published.name} has not", [f"{snr} dB" for snr in sorted(strange)])
    other = [
        f"{modulation} at {snr_db} dB: {contents.counts[modulation, snr_db]}"
        for modulation in sorted(modulations)
        for snr_db in sorted(snrs_db & set(published.snrs_db))
        if contents.counts[modulation, snr_db] != published.num_examples
    ]
    return words + counted(f"modulations and SNRs without {published.num_examples:,} examples", other)
