"""The main job where there is less than it asks for: what does not fit waits for its turn, and nothing for ever."""

from pathlib import Path

import pytest

from jobs import sweep
from pipelines.sources.synthetic import write_synthetic_dataset
from storage.object_store import open_store
from storage.results_table import ResultsTable

pytestmark = [pytest.mark.slow, pytest.mark.cluster, pytest.mark.timeout(300)]


@pytest.mark.parametrize("scheduler", ["seed_epochs", "adaptive"])
def test_more_is_asked_for_than_one_core_bears(scheduler: str, tmp_path: Path) -> None:
    recordings = write_synthetic_dataset(tmp_path / "recordings", num_clips_per_class=5)
    words = ["cluster.num_cpus=1", "cluster.address=local", "pipeline.num_actors=6"]
    words += ["sweep.max_concurrent_trials=6", f"sweep.scheduler={scheduler}"]
    words += [f"data.root={recordings}", f"storage.uri={tmp_path / 'store'}", f"report.folder={tmp_path / 'reports'}"]
    assert sweep.main(["--smoke", *words]) == 0
    assert ResultsTable(open_store(str(tmp_path / "store"))).read("trials").num_rows > 0
