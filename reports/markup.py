"""HTML that escapes by default. A child that is not `Markup` already is text and is escaped; so is every attribute.

Class labels, data set names and failure details come from other people's files. Nothing in this room joins them into
HTML by hand; it goes through `element`, `script_json` or, inside a figure, `plot_text`. All of them spell out control
characters and what turns the direction of text.
"""

import html
import json
from typing import Any

from storage.plain_text import plain_text

_VOID = {"meta", "br", "hr"}


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


def element(tag: str, *children: object, **attributes: str) -> Markup:
    """`element("td", "a < b", class_="number")` → `<td class="number">a &lt; b</td>`.

    Args:
        children: Markup is taken as it is, None is left out, anything else becomes escaped text.
        attributes: a trailing underscore is dropped (`class_`), other underscores become hyphens (`aria_label`).
    """
    names = {name: name.removesuffix("_").replace("_", "-") for name in attributes}
    head = "".join(f' {names[name]}="{_text(value)}"' for name, value in attributes.items())
    opening = f"<{tag}{head}>"
    return Markup(opening if tag in _VOID else f"{opening}{join(*children)}</{tag}>")


def join(*children: object) -> Markup:
    """Children one after another, text among them escaped."""
    return Markup("".join(_child(child) for child in children))


def script_json(text: str) -> Markup:
    """JSON that can stand inside a `<script>` element: no `<`, so neither `</script>` nor `<!--` can end or bend it."""
    json.loads(text)
    return Markup(text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))


def plot_text(value: object, *, max_characters: int | None = None) -> str:
    """A name as text inside a plotly figure.

    plotly.js takes `<b>`, `<a href>` and some others in any text for markup, and decodes `&lt;`, `&gt;`, `&amp;` after
    that (src/lib/svg_text_utils.js). It does not know `&quot;`, so quotes stay as they are.
    """
    text = plain_text(str(value))
    if max_characters is not None and len(text) > max_characters:
        text = text[: max_characters - 1] + "…"
    return html.escape(text, quote=False)


def _child(child: Any) -> str:
    if child is None:
        return ""
    return str(child) if isinstance(child, Markup) else _text(str(child))


def _text(text: str) -> str:
    return html.escape(plain_text(text, keep="\n\t"))
