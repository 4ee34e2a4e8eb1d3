"""A process that had an HDF5 file open over a Python file object ended with a segmentation fault: its last act was to
close that file, and h5py then called an interpreter that was gone."""

import subprocess
import sys
from pathlib import Path

from radioml_files import write_2018

_KEEPS = """
import sys, threading, time
from pipelines.iq.hdf5_file import IqHdf5

def keep(path):
    try:
        kept = IqHdf5(open(path, "rb"))
    except Exception as e:
        kept = e
    opened.set()
    time.sleep(1000)

opened = threading.Event()
threading.Thread(target=keep, args=sys.argv[1:], daemon=True).start()
opened.wait()
"""


def test_an_open_file_does_not_outlive_its_interpreter(tmp_path: Path) -> None:
    assert _end_of_a_process_that_keeps(write_2018(tmp_path / "radio.hdf5")) == 0


def test_nor_does_what_is_left_of_a_file_that_could_not_be_opened(tmp_path: Path) -> None:
    path = tmp_path / "radio.hdf5"
    path.write_bytes(bytes(10_000))
    assert _end_of_a_process_that_keeps(path) == 0


def _end_of_a_process_that_keeps(path: Path) -> int:
    project = Path(__file__).parents[2]
    return subprocess.run([sys.executable, "-c", _KEEPS, str(path)], cwd=project).returncode
