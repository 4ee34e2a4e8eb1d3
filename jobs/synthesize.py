"""Makes a data set that needs no download: ten classes of sounds in the ESC-50 layout, or birds in BirdCLEF's.

python jobs/synthesize.py root=workspace/data/synthetic seed=7
python jobs/synthesize.py corpus=birds root=workspace/data/synthetic_birds
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from jobs.command_line import parse_settings, usage
from jobs.console import progress, run_job, say
from pipelines.sources.synthetic import write_synthetic_dataset
from pipelines.sources.synthetic_birds import write_synthetic_birds
from storage.errors import InvalidInput


@dataclass(frozen=True, kw_only=True, slots=True)
class SynthesizeSettings:
    """What is made, where it goes, and the seed that all its sounds follow from.

    Attributes:
        corpus: `sounds` for ten classes of clips with one label, `birds` for eight species, several in a recording.
        num_clips_per_class: of birds, recordings of each species.
    """

    corpus: Literal["sounds", "birds"] = "sounds"
    root: str = "workspace/data/synthetic"
    seed: int = 7
    num_clips_per_class: int = 40


def main(argv: Sequence[str] | None = None) -> int:
    return run_job(_synthesize, argv, usage=usage(__doc__, SynthesizeSettings))


def _synthesize(words: Sequence[str]) -> None:
    settings = parse_settings(SynthesizeSettings, words, smoke=["num_clips_per_class=5"])
    root, number = Path(settings.root), settings.num_clips_per_class
    with progress("synthesize, clips") as tell:
        try:
            if settings.corpus == "birds":
                write_synthetic_birds(root, seed=settings.seed, num_recordings_per_species=number, progress=tell)
            else:
                write_synthetic_dataset(root, seed=settings.seed, num_clips_per_class=number, progress=tell)
        except (ValueError, OSError) as e:
            raise InvalidInput("root", given=settings.root, allowed="a new or matching folder", remedy=str(e)) from e
    say(f"data set in {root}")


if __name__ == "__main__":
    sys.exit(main())
