"""What a shard of features accounts for, and which of its clips a later version of the data set may take over."""

from dataclasses import dataclass

COUNTS = ("num_clips", "num_rows", "num_quarantined", "num_variants_quarantined")


@dataclass(frozen=True, kw_only=True, slots=True)
class Shard:
    """One finished shard: its place in the data set, the hash of the clips it was made from, and its counts.

    Attributes:
        num_quarantined: clips without any row.
        num_variants_quarantined: variants without rows of clips whose original has some.
        reasons_hash: of the rows of its quarantine, in whose key it stands. Empty where there are none, and where the
            shard was stored before keys of quarantines had it.
    """

    index: int
    clips_hash: str
    num_clips: int
    num_rows: int
    num_quarantined: int
    num_variants_quarantined: int = 0
    reasons_hash: str = ""

    @property
    def num_reasons(self) -> int:
        """Rows of the shard's quarantine."""
        return self.num_quarantined + self.num_variants_quarantined


@dataclass(frozen=True, kw_only=True, slots=True)
class ShardContent:
    """What a finished shard accounts for, as stored: (clip_id, variant) pairs, and its number of rows."""

    with_rows: frozenset[tuple[str, str]]
    quarantined: frozenset[tuple[str, str]]
    num_rows: int
