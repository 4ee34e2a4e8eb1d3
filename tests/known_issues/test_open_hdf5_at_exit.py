"""A process that had an HDF5 file open over a Python file object ended with a segmentation fault: its last act was to
close that file, and h5py then called an interpreter that was gone."""

import subprocess
import sys
from pathlib import Path

from radioml_files import write_2018

_LEAVES_IT_OPEN = """
import sys, threading, time
from pipelines.iq.hdf5_file import IqHdf5

def keep(file):
    opened.set()
    time.sleep(1000)

opened = threading.Event()
threading.Thread(target=keep, args=[IqHdf5(open(sys.argv[1], "rb"))], daemon=True).start()
opened.wait()
"""


def test_an_open_file_does_not_outlive_its_interpreter(tmp_path: Path) -> None:
    path = write_2018(tmp_path / "radio.hdf5")
    ended = subprocess.run([sys.executable, "-c", _LEAVES_IT_OPEN, str(path)], cwd=Path(__file__).parents[2])
    assert ended.returncode == 0
