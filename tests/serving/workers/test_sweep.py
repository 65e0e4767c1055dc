"""What no revision needs any longer goes, and nothing else."""

import os
from pathlib import Path

import pytest

from eventing import keys, projection
from eventing.config import Config
from serving.workers import sweep
from serving.workers.local import LocalBackend
from serving.workers.sweep import KEPT_S, Sweeper


@pytest.fixture
def made(store, tmp_path):
    """A sweeper of a data directory, and the revisions that there are: a dict to change."""
    revisions = {}
    backend = LocalBackend(Config(data_dir=tmp_path), store)
    return Sweeper(tmp_path, store, backend, revisions.items), revisions


def bundle(data_dir, name, requirements):
    """An unpacked bundle that asks for *requirements*; returns its record."""
    folder = data_dir / "bundles" / name
    folder.mkdir(parents=True)
    (folder / "requirements.txt").write_text(requirements)
    return {"bundle": name}


def environment(made, name):
    """Make the environment that bundle *name* needs, as far as a sweeper looks."""
    sweeper, _ = made
    # Its own way to know where that is.
    place = sweeper._backend.environments.place(sweeper._data_dir / "bundles" / name, name)
    place.mkdir(parents=True, exist_ok=True)
    place.with_suffix(".lock").touch()
    return place


def log(data_dir, name):
    """A revision's log of two parts."""
    for path in (data_dir / "logs" / f"{name}.log", data_dir / "logs" / f"{name}.log.1"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x\n")


def left(data_dir):
    """What is there, relative to the data directory, requirements aside."""
    return {str(Path(folder, name).relative_to(data_dir)) for folder, folders, files in os.walk(data_dir)
            for name in (*files, *folders) if name != "requirements.txt"}


async def test_swept(made, tmp_path):
    """After an hour without a revision, its bundle, its environment and its log are gone; others stay."""
    sweeper, revisions = made
    revisions["default/a"] = bundle(tmp_path, "a" * 64, "needed-by-a")
    revisions["default/b"] = bundle(tmp_path, "b" * 64, "needed-by-b")
    revisions["default/c"] = {"bundle": None}
    places = [environment(made, name * 64) for name in "ab"]
    for name in ("default/a", "default/b", "default/c"):
        log(tmp_path, name)
    before = left(tmp_path)

    await sweeper.sweep(0.0)
    await sweeper.sweep(10 * KEPT_S)
    assert left(tmp_path) == before

    del revisions["default/b"]
    await sweeper.sweep(11 * KEPT_S)
    await sweeper.sweep(12 * KEPT_S - 1)
    assert left(tmp_path) == before
    await sweeper.sweep(12 * KEPT_S)

    gone = places[1].relative_to(tmp_path)
    assert before - left(tmp_path) == {
        f"bundles/{'b' * 64}", "logs/default/b.log", "logs/default/b.log.1", str(gone), f"{gone}.lock"}


async def test_shared(made, tmp_path):
    """An environment stays as long as one bundle needs it; a new revision in time keeps everything."""
    sweeper, revisions = made
    both = {name: bundle(tmp_path, name * 64, "the-same") for name in "ab"}
    revisions.update({f"default/{name}": record for name, record in both.items()})
    place = environment(made, "a" * 64)

    del revisions["default/a"], revisions["default/b"]
    await sweeper.sweep(0.0)
    revisions["default/b"] = both["b"]
    await sweeper.sweep(KEPT_S)

    assert place.is_dir()
    assert not (tmp_path / "bundles" / ("a" * 64)).exists()
    assert (tmp_path / "bundles" / ("b" * 64)).exists()


async def test_stored(made, store, monkeypatch):
    """A bundle in the store goes when neither revision nor image names it, and nobody touched it for long."""
    sweeper, revisions = made
    revisions["default/a"] = {"bundle": "a" * 64}
    await projection.write(store, "configs", "knative-serving/clarion-images",
                           {"c": f"ghcr.io/me/c = func://c@sha256:{'c' * 64}"})
    for name in "abc":
        await store.set(keys.bundle(name * 64), b"x")

    await sweeper.sweep(0.0)
    assert await store.exists(keys.bundle("b" * 64))
    monkeypatch.setattr(sweep, "STORED_S", 0.0)
    await sweeper.sweep(0.0)

    assert sorted(await store.keys(keys.bundle("*"))) == [keys.bundle(name * 64).encode() for name in "ac"]


async def test_nothing_there(made):
    """A fresh data directory has nothing to sweep."""
    await made[0].sweep(0.0)
