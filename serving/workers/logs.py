"""
What workers print, in files: one a revision, lines of one shape, never more than KEPT_BYTES.

    data_dir/logs/<namespace>/<revision>.log       2026-11-23T04:28:59.123456Z hello-00001-3fa9c1 the text

A file that is full becomes `.log.1`, and `.1` becomes `.2`. A worker's name begins with its revision's. Lines
longer than LINE_BYTES are cut into several. Bytes are kept as printed; who shows them decodes them.

A disk that refuses costs lines, never a worker or the role.
"""

import datetime as dt
from collections import deque
from collections.abc import Iterator
from pathlib import Path

import structlog

FILE_BYTES = 1024 * 1024
OLD_FILES = 2
KEPT_BYTES = FILE_BYTES * (1 + OLD_FILES)
LINE_BYTES = 16 * 1024  # as container runtimes cut theirs
_TAIL_LINES = 20

_log = structlog.get_logger(__name__)


def path(data_dir: Path, namespace: str, revision: str) -> Path:
    """The newest log file of a revision."""
    return data_dir / "logs" / namespace / f"{revision}.log"


def read(file: Path, lines: int) -> list[bytes]:
    """The last *lines* lines of a revision's log (`path`), oldest first, old files included."""
    last: deque[bytes] = deque(maxlen=lines)
    for one in (*_older(file)[::-1], file):
        try:
            last.extend(one.read_bytes().splitlines())
        except FileNotFoundError:
            continue
    return list(last)


def _older(file: Path) -> list[Path]:
    return [file.with_name(f"{file.name}.{age}") for age in range(1, OLD_FILES + 1)]


class Output:
    """The output of one worker, on its way into the revision's log."""

    def __init__(self, file: Path, worker: str) -> None:
        """Append to *file*; *worker* is the worker's name."""
        self._file = file
        self._worker = worker.encode()
        self._rest = b""
        self._tail: deque[bytes] = deque(maxlen=_TAIL_LINES)
        self._complained = False

    def tail(self) -> str:
        """The last lines, for whoever wants to know why it died."""
        return b"\n".join(self._tail).decode(errors="replace")

    def feed(self, chunk: bytes) -> None:
        """Take what was printed; whole lines are written at once."""
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        while len(self._rest) > LINE_BYTES:
            lines.append(self._rest[:LINE_BYTES])
            self._rest = self._rest[LINE_BYTES:]
        self._write(lines)

    def close(self) -> None:
        """Write the last line, though nothing ended it."""
        if self._rest:
            self._write([self._rest])
            self._rest = b""

    def note(self, text: str) -> None:
        """Add what we have to say, perhaps in several lines."""
        self._write(text.encode().split(b"\n"))

    def _write(self, lines: list[bytes]) -> None:
        if not lines:
            return
        self._tail.extend(line[:LINE_BYTES].rstrip(b"\r") for line in lines)
        now = dt.datetime.now(dt.UTC)
        head = b"%b %b " % (now.strftime("%Y-%m-%dT%H:%M:%S.%fZ").encode(), self._worker)
        data = b"".join(b"%b%b\n" % (head, piece) for line in lines for piece in _pieces(line))
        try:
            _append(self._file, data)
        except OSError as error:
            if not self._complained:
                _log.warning("worker output is lost", file=str(self._file), error=str(error))
            self._complained = True


def _pieces(line: bytes) -> Iterator[bytes]:
    line = line.rstrip(b"\r")
    yield line[:LINE_BYTES]
    for start in range(LINE_BYTES, len(line), LINE_BYTES):
        yield line[start:start + LINE_BYTES]


def _append(file: Path, data: bytes) -> None:
    try:
        stream = file.open("ab")
    except FileNotFoundError:
        file.parent.mkdir(parents=True, exist_ok=True)
        stream = file.open("ab")
    with stream:
        stream.write(data)
        is_full = stream.tell() >= FILE_BYTES
    if is_full:
        aged = (file, *_older(file))
        for young, old in zip(aged[-2::-1], aged[:0:-1], strict=True):
            if young.exists():
                young.replace(old)
