"""From files to documents, each with its place; what is wrong with a file is told with line and column."""

from pathlib import Path

import pytest

from eventing import documents
from eventing.errors import UsageError

BROKER = "apiVersion: eventing.knative.dev/v1\nkind: Broker\nmetadata: {name: default}\n"
TRIGGER = "apiVersion: eventing.knative.dev/v1\nkind: Trigger\nmetadata: {name: audit}\nspec: {broker: b}\n"
LIST = """
apiVersion: v1
kind: List
items:
- &one {apiVersion: v1, kind: ConfigMap, metadata: {name: a}, data: {day: 2026-01-02}}
- {<<: *one, metadata: {name: b}}
"""


@pytest.mark.parametrize(("text", "place", "words"), [
    pytest.param("a: [1,\nb: 2\n", "f.yaml:3:1", "began in line 1", id="a bracket that is never closed"),
    pytest.param("a: b: c\n", "f.yaml:1:5", "mapping values", id="two colons on a line"),
    pytest.param("a: 1\n\tb: 2\n", "f.yaml:2:1", "cannot start any token", id="a tab"),
    pytest.param("a: 1\na: 2\n", "f.yaml:2:1", "stands twice", id="a key twice"),
    pytest.param("a: *nowhere\n", "f.yaml:1:4", "undefined alias", id="an alias without its anchor"),
    pytest.param("ok: 1\nbad: \x00\n", "f.yaml:2:6", "not allowed", id="a control character"),
    pytest.param(f"{BROKER}---\n- one\n", "f.yaml:5:1", "is a mapping", id="a list as second document"),
    pytest.param(f"{BROKER}---\nkind: Broker\n", "f.yaml:5:1", "apiVersion is missing", id="no apiVersion"),
    pytest.param("apiVersion: v1\nkind: ConfigMap\n", "f.yaml:1:1", "metadata.name", id="no name"),
])
def test_wrong_text(text, place, words):
    """What is wrong with a file is said with file, line and column."""
    with pytest.raises(UsageError) as caught:
        list(documents.parse(text, Path("f.yaml")))

    assert str(caught.value).startswith(f"{place}: ")
    assert words in str(caught.value)


def test_documents():
    """Documents part at `---`, empty ones are nothing, a List is its items, anchors are copied."""
    text = f"---\n{BROKER}---\n# nothing\n---\n" + LIST

    found = list(documents.parse(text, Path("f.yaml")))

    assert [document.label for document in found] == ["broker/default", "configmap/a", "configmap/b"]
    assert found[2].resource["data"] == {"day": "2026-01-02"}


def test_order(tmp_path):
    """Files of a folder are read by name, what others refer to comes first, other files are left alone."""
    (tmp_path / "a.yaml").write_text(f"{TRIGGER}---\n{BROKER}")
    (tmp_path / "b.yml").write_text("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings}\n")
    (tmp_path / "c.txt").write_text("not: [YAML")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "func.yaml").write_text("specVersion: 0.36.0\n")

    labels = [document.label for document in documents.read([tmp_path])]

    assert labels == ["configmap/settings", "broker/default", "trigger/audit"]


@pytest.mark.parametrize("name", ["missing.yaml", "."])
def test_nothing_to_read(tmp_path, name):
    """A file that is not there and a folder without files are told by name."""
    with pytest.raises(UsageError, match=str(tmp_path)):
        documents.read([tmp_path / name])
