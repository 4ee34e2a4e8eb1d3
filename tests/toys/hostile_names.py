"""Names that would do harm where somebody obeys them instead of showing them, and how to tell that nobody did."""

from pathlib import Path

from browser import Browser, Seen

NAMES = {
    "markup": "<script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\"><!--",
    "an end of a script": "</script></style></title><svg onload=document.title='owned'>",
    "an address": "javascript:document.title='owned'",
    "folders above": "../../../../escaped",
    "a path": "/tmp/escaped-from-a-test/x",
    "backslashes": "..\\..\\escaped",
    "a drive": "C:\\escaped",
    "a NUL": "a\0b",
    "a line": "a\nerror: a forged line",
    "separators": "a\u2028b\u2029c\rd\x85e",
    "a shell": "$(touch escaped)`touch escaped`;touch escaped|touch escaped&' \" \\ * ~",
    "an escape sequence": "\x1b]0;owned\x07\x1b[2J\x1b[31mred\x9b1A",
    "backspaces": "good\x08\x08\x08\x08evil\x7f",
    "right to left": "\u202egpj.exe\u202c\u2066x\u2069",
    "formats": "%n%s{0}{x.__class__}${HOME}$x_{1}^2$",
    "a formula": "=cmd|'/C calc'!A0",
    "length": "l" * 5_000,
    "nothing but dots": "..",
    "options": "--rm=-rf",
}


def is_plain(text: str) -> bool:
    """Whether a terminal and a log show a text and do nothing else: it holds what can be seen, and lines."""
    return all(character.isprintable() or character == "\n" for character in text)


def files_below(folder: Path) -> set[str]:
    """Relative paths of all files."""
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir()}


def opened_harmlessly(page: str, folder: Path) -> list[tuple[Seen, str]]:
    """Opens a page of hostile names with its policy and without, so that escaping alone has to do.

    Returns:
        For each of the two, what the page did and its title.

    Raises:
        AssertionError: it failed, asked for something, or has elements that could.
    """
    found = []
    for number, text in enumerate((page, page.replace("Content-Security-Policy", "x-none", 1))):
        path = folder / f"page{number}.html"
        path.write_text(text, encoding="utf-8")
        with Browser(folder / f"profile{number}") as browser:
            seen = browser.open(path, width=1200)
            assert seen.errors == []
            assert seen.requests == []
            assert browser.run("document.querySelectorAll('img, iframe, a, form, base, object, embed').length") == 0
            found.append((seen, browser.run("document.title")))
    return found
