"""
Who a worker is: `runAsUser`, `runAsGroup` and `runAsNonRoot`, as far as the role's own user allows.

    asked for                 the role is root's        the role is a user's
    ---------                 -----------------         --------------------
    nothing                   root                      that user
    runAsNonRoot              NON_ROOT                  that user
    runAsUser: N              N                         that user, if it is N; else refused
    both                      N, unless that is root    the same

In a container runAsNonRoot is a question to its image, which names a user. Functions have no image, so one is
chosen for them: the number that images without a root (distroless) have. Functions are below the data
directory, which is its owner's: those who need it may pass through, and nobody may look around.
"""

import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from serving.workers.backend import StartFailed

NON_ROOT = 65532

_PASS_ALL = stat.S_IXGRP | stat.S_IXOTH


def of(record: Mapping[str, Any]) -> tuple[int | None, int | None]:
    """
    User and group of a worker of the revision (or pod) *record*; None: the role's own.

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
        user = NON_ROOT
    return user, record.get("group")


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
