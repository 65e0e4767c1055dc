"""
Environments: a Python of their own for functions that need what Clarion does not have.

    data_dir/environments/<digest>/      a virtual environment over Clarion's own: what is missing is
                                         installed here, what Clarion has is shared
    data_dir/environments/<digest>.lock  held while it is built

The digest covers what is asked for, the Python and what is installed beside Clarion, so that revisions, and
functions, with the same needs share one; it is built once. A venv and not `pip install --target`, because
that installs again what is there (measured: FastAPI 4.3 s, against 1.1 s with 0.07 s for the venv), has no
scripts for a `command` to run, and starts a zygote no faster (0.2 s both).

What a function asks for may be newer than Clarion's, never older than Clarion needs: pip is told so.

A build runs in a process of its own (install.py), at a lower priority, with bounded time, two at
most at once; it runs code of the packages that it installs. A failed build is not repeated for a while,
since a missing package seldom appears. The disk that an environment takes is not bounded.
"""

import asyncio
import contextlib
import hashlib
import json
import os
import re
import signal
import site
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from serving.workers import dependencies
from serving.workers.backend import StartFailed
from serving.workers.dependencies import Dependencies, DependenciesInvalid

FOLDER = "environments"
REASON = "BuildingEnvironment"
FAILED = "EnvironmentFailed"
COMPLETE = "complete"  # a file in an environment, made last

# Less than Knative's progress deadline (600 s), so that the revision hears of it from us.
BUILD_LIMIT_S = 540.0
_AT_ONCE = 2
_RETRY_S = 30.0
_PRIORITY = 10  # nice: a build takes what nobody else wants
_READ_BYTES = 16 * 1024
_READ_PAUSE_S = 0.02  # which bounds what a build can print to 0.8 MB a second
_MESSAGE_LINES = 8
_MESSAGE_CHARACTERS = 1500

_FORMAT = 1  # of an environment; a change builds all anew
# What pip is given of our environment: where the index is, how to get there, how to compile.
_PASSED = re.compile(r"PATH|HOME|TMPDIR|LANG|LC_\w+|PIP_\w+|PYTHONPATH|LD_LIBRARY_PATH|(\w+_)?proxy|"
                     r"SSL_CERT_\w+|REQUESTS_CA_BUNDLE|CC|CXX|\w+FLAGS", re.IGNORECASE)
_NO_NETWORK = re.compile("Failed to establish a new connection|Temporary failure in name resolution|"
                         "Max retries exceeded|No route to host|Network is unreachable|getaddrinfo failed",
                         re.IGNORECASE)
_TELLING = re.compile(r"ERROR: (?!ResolutionImpossible)|\s+(The user requested|\S+ \S+ depends on) ")
_NOISE = re.compile(r"\[notice\]|\s*$")

Say = Callable[[bytes], None]


@dataclass(frozen=True)
class Environment:
    """One that is there."""

    place: Path

    @property
    def python(self) -> str:
        """Its interpreter."""
        return str(self.place / "bin" / "python")

    @property
    def path(self) -> str:
        """Where its programs are."""
        return str(self.place / "bin")


def digest(wanted: Dependencies, identity: str) -> str:
    """Name of the environment for *wanted*; *identity* is the folder's, for what lies in it."""
    there = sorted(entry.name for folder in site_folders() for entry in Path(folder).glob("*.dist-info"))
    facts = [_FORMAT, sorted(wanted.lines), wanted.file_lines, identity if wanted.is_local else "",
             sys.version, sys.prefix, there]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:32]


def site_folders() -> list[str]:
    """Where Clarion's own packages are."""
    folders = [*site.getsitepackages(), *([site.getusersitepackages()] if site.ENABLE_USER_SITE else [])]
    return [folder for folder in folders if Path(folder).is_dir()]


class Environments:
    """Those of one data directory."""

    def __init__(self, data_dir: Path) -> None:
        """Nothing is built yet."""
        self.folder = data_dir / FOLDER
        self._known: dict[str, Environment | None] = {}  # by the folder's identity
        self._building: dict[str, asyncio.Lock] = {}
        self._failed: dict[str, tuple[float, StartFailed]] = {}
        self._turn = asyncio.Semaphore(_AT_ONCE)

    def __repr__(self) -> str:
        """Counts."""
        return f"<Environments [{len(self._known)} folders known | {len(self._building)} building]>"

    def knows(self, identity: str) -> bool:
        """Whether `of` answers at once: it has been asked before, and what it said is still there."""
        if identity not in self._known:
            return False
        known = self._known[identity]
        return known is None or (known.place / COMPLETE).exists()

    async def of(self, folder: Path, identity: str, say: Say) -> Environment | None:
        """
        The environment that the function in *folder* needs, built if it is not there; None: Clarion's own.

        Args:
            folder: the bundle's place.
            identity: what tells this folder from others: its digest.
            say: gets what the build prints.

        Raises:
            StartFailed: EnvironmentFailed, with pip's last words.
        """
        if not self.knows(identity):
            self._known[identity] = await self._find(folder, identity, say)
        return self._known[identity]

    async def _find(self, folder: Path, identity: str, say: Say) -> Environment | None:
        try:
            wanted, name = await asyncio.to_thread(_needs, folder, identity)
        except (DependenciesInvalid, OSError) as error:
            raise StartFailed(FAILED, str(error)) from error
        if wanted is None:
            return None
        place = self.folder / name
        lock = self._building.setdefault(name, asyncio.Lock())
        if lock.locked():
            say(b"another revision is having this environment built; waiting for it\n")
        async with lock:
            if not (place / COMPLETE).exists():
                self._refuse_again(name)
                await self._build(wanted, folder, place, say)
        self._building.pop(name, None)
        return Environment(place)

    def _refuse_again(self, name: str) -> None:
        when, failure = self._failed.get(name, (0.0, None))
        if failure is not None and asyncio.get_running_loop().time() - when < _RETRY_S:
            raise StartFailed(failure.reason, failure.message)

    async def _build(self, wanted: Dependencies, folder: Path, place: Path, say: Say) -> None:
        if self._turn.locked():
            say(b"waiting for other environments that are being built\n")
        async with self._turn:
            try:
                await build(wanted, folder, place, say)
            except StartFailed as failure:
                self._failed[place.name] = asyncio.get_running_loop().time(), failure
                raise
            self._failed.pop(place.name, None)

    def place(self, folder: Path, identity: str) -> Path | None:
        """
        Where the environment of *folder* is, or will be; None: it needs none. Reads files.

        Raises:
            StartFailed: EnvironmentFailed: it asks for what cannot be read.
        """
        if identity in self._known:
            known = self._known[identity]
            return known.place if known else None
        try:
            wanted, name = _needs(folder, identity)
        except DependenciesInvalid as error:
            raise StartFailed(FAILED, str(error)) from error
        return self.folder / name if wanted else None

    def forget(self, identities: Iterable[str]) -> None:
        """Drop what is known of folders that are gone."""
        for identity in identities:
            self._known.pop(identity, None)


def _needs(folder: Path, identity: str) -> tuple[Dependencies | None, str]:
    """What has to be installed for *folder*, and the name of the environment that has it."""
    wanted = dependencies.read(folder)
    if wanted is None or not dependencies.missing(wanted):
        return None, ""
    return wanted, digest(wanted, identity)


async def build(wanted: Dependencies, folder: Path, place: Path, say: Say) -> None:
    """
    Build the environment *place*, or wait until another process has.

    Raises:
        StartFailed: EnvironmentFailed.
    """
    order = {"lines": wanted.lines, "file": str(wanted.file) if wanted.file else None}
    said: list[bytes] = []
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-P", "-X", "utf8", "-m", "serving.workers.install", str(place), json.dumps(order),
        cwd=folder, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT, start_new_session=True,
        env={name: value for name, value in os.environ.items() if _PASSED.fullmatch(name)})
    assert process.stdout is not None
    try:
        os.setpriority(os.PRIO_PROCESS, process.pid, _PRIORITY)
        async with asyncio.timeout(BUILD_LIMIT_S):
            while chunk := await process.stdout.read(_READ_BYTES):
                said = [*said, chunk][-_MESSAGE_LINES * 4:]
                say(chunk)
                await asyncio.sleep(_READ_PAUSE_S)
            status = await process.wait()
    except TimeoutError as error:
        raise StartFailed(FAILED, f"it was not installed within {BUILD_LIMIT_S:.0f} s") from error
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
    if status:
        raise StartFailed(FAILED, complaint(b"".join(said).decode(errors="replace")))


def complaint(text: str) -> str:
    """What a person needs of what a failed pip printed."""
    lines = [line for line in text.splitlines() if not _NOISE.match(line)]
    errors = [line for line in lines if _TELLING.match(line)] or lines
    told = "\n".join(errors[-_MESSAGE_LINES:])[-_MESSAGE_CHARACTERS:]
    if _NO_NETWORK.search(text):
        return f"the package index cannot be reached (no network?), and not everything is there: {told}"
    return told or "pip failed without a word"
