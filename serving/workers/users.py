"""
Who a worker is: `runAsUser`, `runAsGroup` and `runAsNonRoot`, as far as the role's own user allows.

    asked for                 the role is root's        the role is a user's
    ---------                 -----------------         --------------------
    nothing                   root                      that user
    runAsNonRoot              one of OWN                that user
    runAsUser: N              N                         that user, if it is N; else refused
    both                      N, unless that is root    the same

In a container runAsNonRoot is a question to its image, which names a user. Functions have no image, so one is
chosen for them: each function has its own, so that none can end, trace or read another. All workers of a
function have the same one, over its revisions and over restarts: they have the same code and secrets, and
what one wrote the next can read. It follows from the function's name; where that gives what a living
worker of another function has, it is the next one. Who needs a number that is known says runAsUser. In a
container whose users end below OWN all of them are NON_ROOT, as in images without a root (distroless).

Functions are below the data directory, which is its owner's: those who need it may pass through, and nobody
may look around.
"""

import functools
import hashlib
import os
import stat
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from serving.workers.backend import StartFailed

NON_ROOT = 65532
OWN = range(0x7000_0000, 0x7FFF_FFFE)  # systemd's table of users has nobody there
_DIGEST_BYTES = 8

_PASS_ALL = stat.S_IXGRP | stat.S_IXOTH


def of(record: Mapping[str, Any], function: str,
       living: Callable[[], Mapping[int | None, str]]) -> tuple[int | None, int | None]:
    """
    User and group of a worker of the revision (or pod) *record*; None: the role's own.

    *function* is whose worker it is; *living* says the same of the users of all workers that run.

    Raises:
        StartFailed: UserRefused, it cannot be who it has to be.
    """
    user, ours = record.get("user"), os.geteuid()
    if user is not None and ours not in {0, user}:
        raise StartFailed("UserRefused", f"runAsUser: {user}: only root may run workers as others, "
                                         f"and this serving role is run by {ours}")
    if record.get("non_root") and user == 0:
        raise StartFailed("UserRefused", "runAsNonRoot: runAsUser says root: leave one of them out")
    if record.get("non_root") and user is None and ours == 0:
        user = own(function, living()) if _has_own() else NON_ROOT
    return user, record.get("group")


def own(function: str, living: Mapping[int | None, str]) -> int:
    """The user that *function* has for its own, beside those *living*."""
    digest = hashlib.sha256(function.encode()).digest()
    place = int.from_bytes(digest[:_DIGEST_BYTES], "big") % len(OWN)
    while living.get(OWN[place], function) != function:
        place = (place + 1) % len(OWN)
    return OWN[place]


@functools.cache
def _has_own() -> bool:
    """Whether the users of OWN are known where this runs: in a container they may not be."""
    lines = (map(int, line.split()) for line in Path("/proc/self/uid_map").read_text().splitlines())
    return any(first <= OWN[0] and OWN[-1] < first + count for first, _, count in lines)


def let_in(user: int | None, path: Path, ours: Path) -> None:
    """
    See to it that *user* can reach *path*, in our directory *ours*.

    Raises:
        StartFailed: UserRefused, a directory above *ours* is in the way; names it.
        OSError: the disk says no.
    """
    if user is None or user == os.geteuid():
        return
    for directory in reversed(path.parents):
        about = directory.stat()
        if about.st_mode & stat.S_IXOTH or (about.st_uid == user and about.st_mode & stat.S_IXUSR):
            continue
        if directory != ours and ours not in directory.parents:
            raise StartFailed("UserRefused", f"user {user} may not pass through {directory}, and its "
                                             "function is below it: start Clarion with a --data-dir "
                                             "that everybody may reach, such as /var/lib/clarion")
        directory.chmod(stat.S_IMODE(about.st_mode) | _PASS_ALL)
