r"""Makes text from elsewhere harmless for a terminal.

Node names, reasons, captured output and the server's own words can hold anything. Whatever a
terminal could take for an order, or what would make text look like other text, is shown as
``\xNN``, ``\uNNNN`` or ``\UNNNNNNNN``. Nothing here prints.
"""

from __future__ import annotations

import re
import unicodedata

_SUSPECTS_IN_LINE = re.compile(r"[^ -~]")
_SUSPECTS_IN_BODY = re.compile(r"[^ -~\n\t]")

# Needed to write Persian and to join emoji; they are invisible, so names may not have them.
_JOINERS = "\u200c\u200d"


def escape_line(text: str) -> str:
    """Return ``text`` fit for one line of a table or message: line ends are escaped too."""
    return _SUSPECTS_IN_LINE.sub(lambda match: _show(match[0]), text)


def escape_body(data: bytes) -> str:
    """Return captured output fit for a terminal: line ends and tabs stay, CR LF becomes LF."""
    text = data.decode("utf-8", "backslashreplace").replace("\r\n", "\n")
    return _SUSPECTS_IN_BODY.sub(
        lambda match: match[0] if match[0] in _JOINERS else _show(match[0]), text
    )


def _show(character: str) -> str:
    # isprintable() is false for controls, bidi and other format characters, line separators,
    # surrogates and unassigned code points, but also for harmless spaces.
    if character.isprintable() or unicodedata.category(character) == "Zs":
        return character
    number = ord(character)
    if number <= 0xFF:
        return f"\\x{number:02x}"
    return f"\\u{number:04x}" if number <= 0xFFFF else f"\\U{number:08x}"
