"""
A log whose last write was cut off: what may a crash leave of it?

The store answers only after the fsync of what it wrote (`appendfsync always`). So a crash may take any part
of the last write as long as nobody was answered, and nothing before it. That moment is looked for: the store
is stopped again and again until it stands in the fsync of its log, where the last write is in the file and
nobody has been told. The last block of the file (a command, or MULTI .. EXEC of one function call) belongs to
that write; the file is cut at a random byte within it, and the store killed as it stands.

Where it is never met there (a disk that syncs in no time), a random part of one more block is written behind
the last one: a write that never came to its end. Nobody was told of that one either.
"""

import asyncio
import os
import platform
import signal
import time
from pathlib import Path

_FSYNC = {"x86_64": ("74", "75"), "aarch64": ("82", "83")}.get(platform.machine(), ())
_PATIENCE_S = 2.0
_MULTI, _EXEC = b"*1\r\n$5\r\nMULTI\r\n", b"*1\r\n$4\r\nEXEC\r\n"
_TAIL_BYTES = 4 * 1024 * 1024


async def tear(directory, victim, dice):
    """Kill *victim*, the store whose files are in *directory*, and leave a torn log; says what was done."""
    log = _log_of(directory)
    deadline = time.monotonic() + _PATIENCE_S
    while True:
        victim.signal(signal.SIGSTOP)
        is_caught = _is_stopped(victim.pid) and _is_syncing(victim.pid, log)
        if is_caught or time.monotonic() > deadline:
            break
        victim.signal(signal.SIGCONT)
        await asyncio.sleep(dice.uniform(0.0, 0.004))
    # From here on nothing is awaited: nobody wakes the store before it is killed.
    said = _cut(log, dice) if is_caught else _scribble(log, dice) if _is_stopped(victim.pid) else "the store"
    victim.signal(signal.SIGKILL)
    return said


def last_block(tail):
    """Where the last block of *tail* begins; None if it does not end with a whole one."""
    if tail.endswith(_EXEC):
        start = tail.rfind(_MULTI)
        return start if start >= 0 else None
    at = tail.rfind(_EXEC)
    at = 0 if at < 0 else at + len(_EXEC)
    start = None
    while at < len(tail):
        start, at = at, _end_of_command(tail, at)
        if at is None:
            return None
    return start


def _end_of_command(text, at):
    """Where the command at *at* ends; None if it does not end within *text*."""
    try:
        end = text.index(b"\r\n", at)
        arguments = int(text[at + 1:end])
        for _ in range(arguments):
            start = end + 2
            end = text.index(b"\r\n", start)
            end += 2 + int(text[start + 1:end])
    except ValueError:
        return None
    return end + 2 if end + 2 <= len(text) else None


def _log_of(directory):
    """The file that the store appends to now."""
    names = [line.split()[1] for line in
             (directory / "appendonlydir" / "appendonly.aof.manifest").read_text().splitlines()
             if line.endswith("type i")]
    return directory / "appendonlydir" / names[-1]


def _is_stopped(pid):
    deadline = time.monotonic() + 0.1  # in an fsync a signal waits for the disk
    while time.monotonic() < deadline:
        if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T":
            return True
    return False


def _is_syncing(pid, log):
    try:
        number, *arguments = Path(f"/proc/{pid}/syscall").read_text().split()
        return number in _FSYNC and Path(f"/proc/{pid}/fd/{int(arguments[0], 16)}").readlink() == log
    except (OSError, ValueError, IndexError):
        return False


def _tail(log):
    with log.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - _TAIL_BYTES))
        tail = file.read()
    return size, tail


def _cut(log, dice):
    size, tail = _tail(log)
    start = last_block(tail)
    if start is None:
        return _scribble(log, dice)
    keep = size - len(tail) + dice.randrange(start, len(tail))
    os.truncate(log, keep)
    return f"the store in its fsync; the last {size - keep} bytes of its log are gone"


def _scribble(log, dice):
    _, tail = _tail(log)
    start = last_block(tail)
    block = b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$1\r\nb\r\n" if start is None else tail[start:]
    torn = block[:dice.randrange(1, len(block))]
    with log.open("ab") as file:
        file.write(torn)
    return f"the store; {len(torn)} bytes of a further write are in its log"
