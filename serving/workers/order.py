"""
From the record of a revision to what its worker is told: which zygote forks it, and what it is to become.

Pure, but for this process's own environment, of which a worker gets PATH, HOME and TMPDIR. What becomes of
the order is `local.py`'s affair.
"""

import os
import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from serving.objects.expansion import expand
from serving.workers.backend import Worker
from serving.workers.environment import Environment
from serving.workers.mounts import Plan
from serving.workers.process import KNATIVE_ENV, Spec, environment, program_environment

# Threads for plain functions where containerConcurrency sets no limit: Starlette's number.
_THREADS = 40
_UNBUFFERED = "PYTHONUNBUFFERED"  # images for Python set it


def zygote(record: Mapping[str, Any], own: Environment | None) -> tuple[str, tuple[str, ...]]:
    """Interpreter and preloaded modules of the zygote that forks this revision's workers."""
    if record.get("command"):  # it becomes something else: any zygote will do
        return sys.executable, ()
    return own.python if own else sys.executable, tuple(sorted(record.get("preload") or ()))


def source(name: str, record: Mapping[str, Any]) -> str:
    """Whose worker it is: `source` of replies that have none, the same over all revisions of a Service."""
    namespace, _, revision = name.partition("/")
    if not record.get("listens", True):  # a Deployment's, which may be called as a Service is
        return f"/apis/apps/v1/namespaces/{namespace}/deployments/{revision}"
    return f"/apis/v1/namespaces/{namespace}/services/{record.get('service') or revision}"


def spec(name: str, record: Mapping[str, Any], worker: Worker, folder: Path, own: Environment | None,
         *, plan: Plan | None) -> Spec:
    """What *worker* of revision *name* (`namespace/name`) is to become, in *folder* and what environment."""
    service, revision = record.get("service") or "", name.partition("/")[2]
    inherited = dict(os.environ)
    if own is not None:
        inherited["PATH"] = os.pathsep.join((own.path, inherited.get("PATH", os.defpath)))
    if record.get("user") not in {None, os.geteuid()}:
        inherited["HOME"] = "/"  # as in a container, for who has none; ours is not theirs
    asked = record.get("env") or {}
    env = environment(asked, port=worker.address[1], service=service,
                      configuration=record.get("configuration") or "", revision=revision, own=inherited)
    if not record.get("listens", True):
        env = program_environment(asked, inherited)
    if record.get("command"):  # else what Python holds back is lost with a program that is killed
        env = {_UNBUFFERED: "1", **env}
    # What a container would know by name: neither PATH nor what else is ours.
    known = {name: env[name] for name in {*asked, *KNATIVE_ENV} if name in env}
    command = [expand(text, known) for text in record.get("command") or ()]
    arguments = [expand(text, known) for text in record.get("args") or ()]
    here = record.get("working_dir")
    return Spec(worker=worker.id, folder=str(folder), env=env, entry=record.get("entry"),
                directory=str(folder / here) if here else None,
                source=source(name, record),
                command=[*command, *arguments] if command else None,
                memory_bytes=record.get("memory_bytes"), cpu=record.get("cpu"),
                user=record.get("user"), group=record.get("group"), mounts=asdict(plan) if plan else None,
                threads=record.get("container_concurrency") or _THREADS)
