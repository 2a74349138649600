"""Records of a JSON file, one at a time: JSON Lines, or one list of objects.

Which of the two is told by the content, not by the file's name. A file of any size is read in the
memory that one record needs. A line that is damaged costs that line; a list that is damaged cannot
be read on from there, and `DamagedFileError` says so.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from goldenlayers.facts.validate import CutLineError, DamagedFileError, RecordError

CHUNK = 1 << 20  # bytes read at a time
LONGEST = 1 << 26  # characters of one record; more is no record
NEAR_END = (
    16  # characters; an error so close to the end of what was read may be for want of the rest
)
BOM = b"\xef\xbb\xbf"
SPACES = b" \t\r\n"  # JSON's, and no others
SPACE = re.compile(r"[ \t\r\n]*")
NOT_UTF8 = re.compile("[\udc80-\udcff]")  # what "surrogateescape" makes of such bytes

# Called with the number of bytes read so far.
Bytes = Callable[[int], None]


def ignore(count: int) -> None:
    """Report nothing."""


def records(path: Path, read: Bytes = ignore) -> Iterator[tuple[int, object]]:
    """Yield (line, decoded record or `RecordError`); blank lines are passed over.

    Args:
        path: A file of UTF-8 text, with or without a byte order mark.
        read: Called with the number of bytes read so far.
    """
    with path.open("rb") as file:
        start = _first_two(file)
        file.seek(0)
        # a list of lists is none of facts; line by line the message is to the point
        if start[:1] == b"[" and start != b"[[":
            yield from _List(file, read).elements()
        else:
            yield from _lines(file, read)


def _first_two(file: BinaryIO) -> bytes:
    """Return the first two bytes of a file that are no spaces, or what there is."""
    found = file.read(len(BOM)).removeprefix(BOM).translate(None, SPACES)
    while len(found) < 2 and (raw := file.read(CHUNK)):
        found += raw.translate(None, SPACES)[:2]
    return found[:2]


def _lines(file: BinaryIO, read: Bytes) -> Iterator[tuple[int, object]]:
    number, done = 0, 0
    while raw := file.readline(LONGEST + 1):
        number += 1
        done += len(raw)
        read(done)
        if len(raw) > LONGEST:
            yield (
                number,
                DamagedFileError(f"a line of over {LONGEST >> 20} MB; expected a record a line"),
            )
            return
        if number == 1:
            raw = raw.removeprefix(BOM)
        if raw.strip():
            value = _line(raw)
            cut = raw.lstrip()[:1] == b"{" and raw[-1:] != b"\n"
            if cut and isinstance(value, RecordError) and str(value).startswith("not "):
                value = CutLineError(f"{value}; the file may be cut off in this line")
            yield number, value


def _line(raw: bytes) -> object:
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        return RecordError(f"not UTF-8 text (byte {error.start} of the line); save it as UTF-8")
    decoder = _Decoder()
    try:
        value, end = decoder.decode(text, _skip(text, 0))
        rest = text[_skip(text, end) :]
        if rest:
            raise ValueError(f"Extra data: {rest[:20]!r}")
    except RecursionError:
        return RecordError("brackets are nested too deeply to be a record")
    except ValueError as error:
        found = text.strip()[:40]
        return RecordError(
            f"not JSON ({error}); found {found!r}, expected one JSON object a line, or one list "
            "of objects in the file"
        )
    return decoder.problem or value


class _List:
    """A file that holds one JSON list, read element by element."""

    def __init__(self, file: BinaryIO, read: Bytes):
        self._file = file
        self._read = read
        # bytes that are not UTF-8 arrive as half characters, so that their record is known
        self._utf8 = codecs.getincrementaldecoder("utf-8-sig")("surrogateescape")
        self._done = 0
        self._end = False
        self._text = ""
        self._at = 0
        self._line = 1

    def elements(self) -> Iterator[tuple[int, object]]:
        """Yield (line, element or `RecordError`)."""
        self._next()  # the opening bracket
        self._move(self._at + 1)
        count = 0
        while True:
            found = self._next()
            if found == "]":
                self._move(self._at + 1)
                if self._next():
                    yield self._line, DamagedFileError("there is text behind the list's end")
                return
            if count:
                if found != ",":
                    yield self._line, DamagedFileError(self._no_comma(found, count))
                    return
                self._move(self._at + 1)
                self._next()
            line, value = self._line, self._value(count)
            yield line, value
            if isinstance(value, DamagedFileError):
                return
            count += 1

    def _no_comma(self, found: str, count: int) -> str:
        if not found:
            return f"the file is cut off: the list does not end after its {count} records"
        return f"found {found!r} after record {count - 1}; expected a comma or the list's end"

    def _value(self, number: int) -> object:
        while True:
            decoder = _Decoder()
            try:
                value, end = decoder.decode(self._text, self._at)
            except RecursionError:
                return DamagedFileError(f"record {number}: brackets are nested too deeply")
            except json.JSONDecodeError as error:
                cut = self._near_end(error.pos) or "Unterminated" in error.msg
                if cut and not self._end and len(self._text) - self._at < LONGEST:
                    self._more()
                    continue
                ends = self._text[error.pos :].strip() and self._text.rstrip().endswith("]")
                if cut and self._end and not ends:
                    return DamagedFileError(f"the file is cut off in record {number}")
                too_long = cut and not self._end
                why = f"longer than {LONGEST >> 20} MB" if too_long else error.msg
                return DamagedFileError(
                    f"record {number} is not JSON ({why}), and the list cannot be read on from it"
                )
            except ValueError as error:  # a number of thousands of digits
                return DamagedFileError(f"record {number} is not JSON ({error})")
            if isinstance(value, int | float) and self._near_end(end) and not self._end:
                self._more()
                continue  # a number may go on: "12.", "1e+"
            raw = self._text[self._at : end]
            self._move(end)
            if NOT_UTF8.search(raw):
                return RecordError("not UTF-8 text; save the file as UTF-8")
            return decoder.problem or value

    def _near_end(self, at: int) -> bool:
        return at >= len(self._text) - NEAR_END

    def _next(self) -> str:
        """Go to the next character that is no space, and return it; "" at the end of the file."""
        while True:
            self._move(_skip(self._text, self._at))
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._more():
                return ""

    def _move(self, to: int) -> None:
        self._line += self._text.count("\n", self._at, to)
        self._at = to

    def _more(self) -> bool:
        """Read on; drop what is behind. Twice as much for a long record, so that none is slow."""
        if self._end:
            return False
        raw = self._file.read(max(CHUNK, len(self._text) - self._at))
        self._done += len(raw)
        self._read(self._done)
        self._end = not raw
        text = self._utf8.decode(raw, final=self._end)
        self._text = self._text[self._at :] + text
        self._at = 0
        return bool(text) or not self._end


class _Decoder:
    """JSON as the standard has it: what Python lets pass beyond that is kept as `problem`."""

    def __init__(self) -> None:
        self.problem: RecordError | None = None
        self._json = json.JSONDecoder(object_pairs_hook=self._pairs, parse_constant=self._constant)

    def decode(self, text: str, at: int) -> tuple[Any, int]:
        """Return the value that begins at a position, and the position after it."""
        self.problem = None
        value, end = self._json.raw_decode(text, at)
        return value, end

    def _pairs(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        out: dict[str, Any] = {}
        for name, value in pairs:
            if name in out:
                shown = name.encode("utf-8", "backslashreplace").decode()[:60]
                self.problem = RecordError(f"field '{shown}' occurs twice in the record")
            out[name] = value
        return out

    def _constant(self, name: str) -> object:
        self.problem = RecordError(f"{name} is not JSON")
        return None


def _skip(text: str, at: int) -> int:
    """Return the position of the next character that is no space of JSON."""
    found = SPACE.match(text, at)
    return at if found is None else found.end()
