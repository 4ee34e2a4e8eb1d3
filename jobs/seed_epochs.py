"""How far trials that were planned beforehand have come, for people. Enters: their news. Leaves: a bar, or lines."""

from collections.abc import Mapping

from jobs.console import Tell
from sweeps.news import FoldEnded, FoldNews, News


class SeedEpochs:
    """Counts seed-epochs over all trials and shows the newest."""

    def __init__(self, tell: Tell, names: Mapping[int, str], *, per_trial: int) -> None:
        """Args: names: number of a trial → what people call it; per_trial: seed-epochs of each trial."""
        self._tell, self._names, self._per_trial = tell, names, per_trial
        self._of_trial: dict[int, int] = {}

    def __call__(self, heard: News) -> None:
        name = self._names[heard.number]
        if isinstance(heard, FoldEnded):
            self._of_trial[heard.number], text = self._per_trial, f"{name} has ended"
        elif isinstance(heard, FoldNews):
            news, metrics = heard.news, heard.news.metrics
            self._of_trial[heard.number] = news.seed_epoch
            text = (
                f"{name} seed {news.seed} epoch {metrics.epoch}: loss {metrics.train_loss:.3f}, "
                f"validation {metrics.validation_score:.3f}"
            )
        else:
            return
        self._tell(sum(self._of_trial.values()), len(self._names) * self._per_trial, text)
