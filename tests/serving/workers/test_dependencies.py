"""What a folder asks for, and what of it is there."""

import pytest

from serving.workers import dependencies
from serving.workers.dependencies import DependenciesInvalid


@pytest.fixture
def asks(tmp_path):
    """What a folder with these files asks for."""
    def read(requirements=None, project=None):
        for name, text in (("requirements.txt", requirements), ("pyproject.toml", project)):
            if text is not None:
                (tmp_path / name).write_text(text)
        return dependencies.read(tmp_path)

    return read


@pytest.mark.parametrize(("requirements", "project"), [
    pytest.param(None, None, id="no file"),
    pytest.param("# nothing\n\n   # at all\n", None, id="comments"),
    pytest.param(None, "[build-system]\nrequires = ['hatchling']\n", id="no project"),
    pytest.param(None, "[project]\nname = 'function'\ndependencies = []\n", id="no dependencies"),
    pytest.param("cloudevents==1.11.0", None, id="an old SDK, for which ours stands in"),
])
def test_nothing(asks, requirements, project):
    """A folder may ask for nothing."""
    assert asks(requirements, project) is None


def test_both_files(asks):
    """Both files count; continued lines are one, comments none."""
    asked = asks("httpx >=0.27, \\\n  <1  # client\nnumpy ; python_version < '3'\n",
                 "[project]\ndependencies = ['attrs[extra]']\n")

    assert asked.lines == ("httpx<1,>=0.27", 'numpy; python_version < "3"', "attrs[extra]")
    assert (asked.file, asked.is_local) == (None, False)


def test_parliament(asks):
    """Parliament is Clarion's own; what it needs is Flask."""
    assert asks("parliament-functions==0.1.0\n").lines == ("flask>=2",)


@pytest.mark.parametrize(("line", "is_local"), [
    ("httpx==0.27 --hash=sha256:00", False),
    ("--index-url https://example.com", False),
    ("-r more.txt", True),
    ("./wheels/a.whl", True),
    ("-e .", True),
])
def test_what_only_pip_reads(asks, tmp_path, line, is_local):
    """Other lines are left to pip; those that lead to other files make the environment the folder's own."""
    asked = asks(f"{line}\nattrs\n", "[project]\ndependencies = ['httpx']\n")

    assert (asked.lines, asked.file) == (("httpx",), tmp_path / "requirements.txt")
    assert (asked.file_lines, asked.is_local) == ((line, "attrs"), is_local)


def test_path_in_a_requirement(asks):
    """A requirement that is a file is the folder's own, too."""
    assert asks("mine @ file:///srv/mine.whl\n").is_local


@pytest.mark.parametrize(("line", "lacking"), [
    pytest.param("httptools", [], id="there"),
    pytest.param("httptools>=0.1", [], id="there, new enough"),
    pytest.param("httptools<0.1", ["httptools<0.1"], id="another version"),
    pytest.param("never-heard-of", ["never-heard-of"], id="not there"),
    pytest.param("never-heard-of; python_version < '3'", [], id="does not apply"),
    pytest.param("fastapi[all]>=0.1", None, id="an extra that lacks"),
    pytest.param("never @ file:///a.whl", ["never @ file:///a.whl"], id="an address"),
])
def test_missing(asks, line, lacking):
    """What is installed beside Clarion need not be installed."""
    found = dependencies.missing(asks(f"{line}\n"))

    assert found == lacking if lacking is not None else found


@pytest.mark.parametrize(("requirements", "project", "message"), [
    pytest.param(None, "[project", "pyproject.toml: not TOML", id="no TOML"),
    pytest.param(None, "[project]\ndependencies = 'httpx'", "is a list of texts, like httpx", id="no list"),
    pytest.param(None, "[project]\ndependencies = ['>=1']", "pyproject.toml: project.dependencies:",
                 id="no name"),
])
def test_unreadable(asks, requirements, project, message):
    """A file that is not what its name says is named."""
    with pytest.raises(DependenciesInvalid, match=message.replace(".", r"\.")):
        asks(requirements, project)


def test_no_text(asks, tmp_path):
    """Bytes are no requirements."""
    (tmp_path / "requirements.txt").write_bytes(b"\xff\xfe")
    with pytest.raises(DependenciesInvalid, match=r"requirements.txt: not text in UTF-8"):
        dependencies.read(tmp_path)
