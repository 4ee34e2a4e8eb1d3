"""Makes the embedded data set: ten classes of synthesised sounds in the ESC-50 layout.

python jobs/synthesize.py root=workspace/data/synthetic seed=7
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from jobs.console import progress, run_job, say
from jobs.settings import parse_settings, usage
from pipelines.sources.synthetic import write_synthetic_dataset
from storage.errors import InvalidInput


@dataclass(frozen=True, kw_only=True, slots=True)
class SynthesizeSettings:
    """Where the data set goes, and the seed that all its sounds follow from."""

    root: str = "workspace/data/synthetic"
    seed: int = 7
    num_clips_per_class: int = 40


def main(argv: Sequence[str] | None = None) -> int:
    return run_job(_synthesize, argv, usage=usage(__doc__, SynthesizeSettings))


def _synthesize(words: Sequence[str]) -> None:
    settings = parse_settings(SynthesizeSettings, words, smoke=["num_clips_per_class=5"])
    with progress("synthesize, clips") as tell:
        try:
            root = write_synthetic_dataset(
                Path(settings.root),
                seed=settings.seed,
                num_clips_per_class=settings.num_clips_per_class,
                progress=tell,
            )
        except (ValueError, OSError) as e:
            raise InvalidInput("root", given=settings.root, allowed="a new or matching folder", remedy=str(e)) from e
    say(f"data set in {root}")


if __name__ == "__main__":
    sys.exit(main())
