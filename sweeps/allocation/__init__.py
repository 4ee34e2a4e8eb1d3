"""Where the next epochs go: to a new configuration, to more epochs of one that was begun, or to a further seed.

No fixed share wins everywhere: it depends on how much seeds differ and on how well early epochs foretell late ones.
Both are measured in the sweep itself (`beliefs.py`), every configuration gets a posterior of its quality
(`posterior.py`), and what is expected to find the best one for the fewest epochs comes next (`ways.py`, `gain.py`,
`allocator.py`). `promotions.py` gives the same answers by fixed rungs and a fixed share. Plain arithmetic over numpy
arrays: no Ray, no clock and no random numbers, so that the same scores lead to the same decisions in any process.
"""

from sweeps.allocation.allocator import Allocator, Step
from sweeps.allocation.promotions import Ladder, Promotions
from sweeps.allocation.scores import Scores

__all__ = ["Allocator", "Ladder", "Promotions", "Scores", "Step"]
