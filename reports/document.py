"""A whole HTML document around some content: self-contained, and bound by a content security policy to stay so."""

import base64
import hashlib
from collections.abc import Sequence

from reports.markup import Markup, element
from reports.style import STYLE_SHEET


def document(title: str, content: Markup, *, scripts: Sequence[Markup] = (), with_audio: bool = False) -> str:
    """The page as text, UTF-8. It can fetch nothing and run nothing but `scripts`.

    Args:
        with_audio: whether audio elements with data: addresses may play.
    """
    allowed = " ".join(f"'sha256-{_sha256(script)}'" for script in scripts) or "'none'"
    policy = f"default-src 'none'; style-src 'unsafe-inline'; img-src data: blob:; script-src {allowed}"
    policy += "; base-uri 'none'; form-action 'none'"  # which default-src does not cover
    if with_audio:
        policy += "; media-src data:"
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=policy),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("title", title),
        element("style", Markup(STYLE_SHEET)),
    )
    body = element("body", content, *(element("script", script) for script in scripts))
    return f"<!DOCTYPE html>\n{element('html', head, body, lang='en')}\n"


def _sha256(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
