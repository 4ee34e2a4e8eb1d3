"""Names of files from names that come with data: none leaves its folder, and no two become one."""

import re
from collections import Counter
from collections.abc import Iterable

from storage.identity import content_hash

_LONGEST = 100
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)  # of Windows
_HASHED = re.compile(r".*-[0-9a-f]{12}")


def safe_names(names: Iterable[str]) -> dict[str, str]:
    """A file name for every name, made of letters, digits, `.`, `_` and `-`, and none by more than its case alike.

    A plain name stays what it is. All others, and those that differ by their case only, are cleaned and end with a hash
    of the name; so do names that look as if they ended with one, so that no name can be made to meet another.
    """
    distinct = set(names)
    twins = Counter(name.casefold() for name in distinct)
    return {name: name if _is_plain(name) and twins[name.casefold()] == 1 else _hashed(name) for name in distinct}


def _is_plain(name: str) -> bool:
    plain = re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]*", name) is not None and not name.endswith(".")
    return plain and len(name) <= _LONGEST and not _RESERVED.fullmatch(name) and not _HASHED.fullmatch(name)


def _hashed(name: str) -> str:
    cleaned = re.sub(r"[^A-Za-z0-9._-]+", "_", name).strip(".-_")[: _LONGEST - 13]
    # Surrogates, which names of files may hold, have no UTF-8 and so no canonical JSON.
    digits = content_hash(name.encode("utf-8", "surrogatepass").hex(), length=12)
    return f"{cleaned or 'unnamed'}-{digits}"
