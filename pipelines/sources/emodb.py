"""EmoDB, the Berlin database of emotional speech: `wav/*.wav`, and everything else in the file names.

F. Burkhardt et al., "A Database of German Emotional Speech", Interspeech 2005. In `03a01Fa.wav` speaker 03 says text
a01 happily (F, for Freude), in take a. A speaker is one group: a model must not know a voice before its test.
"""

import re

from pipelines.files.recordings import Recordings
from pipelines.manifest import Clip, Manifest
from pipelines.sources.trees import counted, extension, find_audio, refuse_if_any, without_extension

# The letters are those of the German words: Wut, Langeweile, Ekel, Angst, Freude, Trauer, neutral.
EMOTIONS = {
    "W": "anger",
    "L": "boredom",
    "E": "disgust",
    "A": "anxiety",
    "F": "happiness",
    "T": "sadness",
    "N": "neutral",
}
_NAME = re.compile(rf"(?P<speaker>\d{{2}})(?P<text>[a-z]\d{{2}})(?P<emotion>[{''.join(EMOTIONS)}])(?P<take>[a-z])")
_NUM_CLIPS, _NUM_SPEAKERS = 535, 10


def manifest(recordings: Recordings, name: str) -> Manifest:
    """Reads an EmoDB tree.

    Args:
        recordings: the folder that holds `wav/`.
        name: the data set's name.

    Raises:
        InvalidInput: no such folder, no `wav/*.wav` in it, or a name off the pattern.
    """
    audio, problems, _ = _read(recordings)
    refuse_if_any(
        problems, recordings, allowed="an EmoDB tree with wav/*.wav", remedy="Restore the names of the published files."
    )
    clips = tuple(_clip(path, size_bytes) for path, size_bytes in audio.items())
    return Manifest(name=name, root=recordings.root, endpoint_url=recordings.endpoint_url, clips=clips)


def check(recordings: Recordings) -> list[str]:
    """What is wrong with a tree, in words: what `manifest` refuses, then what is unlike the published set."""
    audio, problems, elsewhere = _read(recordings)
    if not audio:
        return problems
    problems += counted("links that lead nowhere", [path for path, size in audio.items() if size is None])
    problems += counted("audio files that are no wav/*.wav and are left out", elsewhere)
    if len(audio) != _NUM_CLIPS:
        problems.append(f"{len(audio):,} clips; EmoDB has {_NUM_CLIPS}")
    speakers = {match["speaker"] for path in audio if (match := _match(path))}
    if len(speakers) != _NUM_SPEAKERS:
        problems.append(f"{len(speakers)} speakers; EmoDB has {_NUM_SPEAKERS}")
    return problems


def _read(recordings: Recordings) -> tuple[dict[str, int | None], list[str], list[str]]:
    """Recordings with their sizes, problems, and audio that lies elsewhere."""
    everything, _ = find_audio(recordings)
    audio = {path: size for path, size in everything.items() if _is_recording(path)}
    elsewhere = sorted(everything.keys() - audio.keys())
    if not audio:
        return {}, ["no wav/*.wav in it" if recordings.root_exists() else "no such folder"], elsewhere
    off_pattern = [path for path in audio if not _match(path)]
    return audio, counted("file names off the pattern of 03a01Fa.wav", off_pattern), elsewhere


def _is_recording(path: str) -> bool:
    return path.startswith("wav/") and path.count("/") == 1 and extension(path) == "wav"


def _match(path: str) -> re.Match[str] | None:
    return _NAME.fullmatch(without_extension(path.removeprefix("wav/")))


def _clip(path: str, size_bytes: int | None) -> Clip:
    match = _match(path)
    assert match is not None, path  # `manifest` has refused other names
    return Clip(
        clip_id=match[0],
        recording_id=match[0],
        uri=path,
        labels=(EMOTIONS[match["emotion"]],),
        group=match["speaker"],
        size_bytes=size_bytes,
        columns={"speaker": match["speaker"], "text": match["text"], "take": match["take"]},
    )
