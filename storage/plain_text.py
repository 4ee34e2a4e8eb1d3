"""Text from other people's files as people are shown it: what a terminal or a browser would obey is spelt out.

Names, labels and reasons come from file names, tables, models and results. An escape sequence in one would move the
cursor, set the window's title or hide a line; a right-to-left override would show another name; a line break would
write a line of the log.
"""

import re

# Control characters of ASCII and of Latin-1 (ECMA-48), line and paragraph separators, embeddings, overrides and
# isolates of Unicode's bidirectional algorithm (UAX #9), and surrogates, which no output can encode.
_OBEYED = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def plain_text(text: str, *, keep: str = "") -> str:
    r"""The text with `\u001b` for an escape character and so on, which is how JSON spells them, too.

    Args:
        keep: characters that may stay: a line break, for example, where there is room for several lines.
    """
    return _OBEYED.sub(lambda found: found[0] if found[0] in keep else f"\\u{ord(found[0]):04x}", text)
