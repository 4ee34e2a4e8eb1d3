"""Takes the learning curves of a finished sweep out of the results table, for scheduler_simulation.py.

python jobs/sweep.py preset=esc50 data.root=<ESC-50 tree> sweep.scheduler=fifo sweep.sampler.kind=random ...
python benchmarks/record_curves.py <storage uri> <sweep id> <name>

Writes benchmarks/recorded/<name>.parquet. Without early stopping and with suggestions at random, the configurations are
those that a search would have met; more seeds than a search sees are what it is measured by.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

sys.path.insert(0, str(Path(__file__).parents[1]))  # of a script the path holds its own folder alone

from benchmarks.recorded_curves import FOLDER, read_curves
from storage.results import results


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("uri", help="of the store")
    parser.add_argument("sweep_id")
    parser.add_argument("name", help="of the file, without its ending")
    parser.add_argument("--into", type=Path, default=FOLDER, help="folder of the file")
    arguments = parser.parse_args(argv)
    curves = curves_of(arguments.uri, arguments.sweep_id)
    path = arguments.into / f"{arguments.name}.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(curves, path, compression="zstd")
    print("{} configurations, {} seeds, {} epochs: {}".format(*read_curves(path).shape, path))
    return 0


def curves_of(uri: str, sweep_id: str) -> pa.Table:
    """One row per (configuration, seed, epoch) of the trials that were trained to their ends."""
    trials = results(uri, table="trials", sweep_id=sweep_id, columns=["trial_id", "number", "state"])
    whole = trials.filter(pc.equal(trials.column("state"), "finished")).drop_columns(["state"])
    columns = ["trial_id", "seed", "epoch", "validation_score"]
    epochs = results(uri, table="epochs", sweep_id=sweep_id, columns=columns).join(whole, "trial_id", join_type="inner")
    rows = pa.table(
        {
            "configuration": epochs.column("number").cast(pa.int16()),
            "seed": epochs.column("seed").cast(pa.int16()),
            "epoch": epochs.column("epoch").cast(pa.int16()),
            "validation_score": epochs.column("validation_score").cast(pa.float32()),
        }
    )
    return rows.sort_by([(name, "ascending") for name in rows.column_names[:3]])


if __name__ == "__main__":
    sys.exit(main())
