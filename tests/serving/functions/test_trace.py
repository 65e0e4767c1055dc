"""What an author sees of an error at import: their own frames, by their own names, and the error."""

import importlib
import sys

import pytest

from serving.functions import trace


@pytest.fixture
def broken(tmp_path, monkeypatch):
    """`broken(func_py, helper_py)`: the text of what importing that function raises."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def run(func, helper=""):
        (tmp_path / "brokenfunc.py").write_text(func)
        (tmp_path / "brokenhelper.py").write_text(helper)
        importlib.invalidate_caches()
        with pytest.raises((ImportError, SyntaxError, RuntimeError)) as raised:
            importlib.import_module("brokenfunc")
        for name in ("brokenfunc", "brokenhelper"):
            sys.modules.pop(name, None)
        return trace.text(raised.value, tmp_path)

    return run


def test_of_an_import(broken):
    """Frames of the importing machinery, and of who imported the function, are left out."""
    assert broken("import brokenhelper\n", "import os\nimport nowhere\n") == """\
Traceback (most recent call last):
  File "brokenfunc.py", line 1, in <module>
    import brokenhelper
  File "brokenhelper.py", line 2, in <module>
    import nowhere
ModuleNotFoundError: No module named 'nowhere'
"""


def test_of_syntax(broken):
    """A SyntaxError says where by itself."""
    text = broken("def handle(event)\n    pass\n")

    assert text.removeprefix("Traceback (most recent call last):\n") == """\
  File "brokenfunc.py", line 1
    def handle(event)
                     ^
SyntaxError: expected ':'
"""


def test_of_a_cause(broken):
    """What an error was raised from is told in the same way, and so is what a library did."""
    text = broken("import json\ntry:\n    json.loads('x')\nexcept ValueError as error:\n"
                  "    raise RuntimeError('no settings') from error\n")

    assert text.count('File "brokenfunc.py"') == 2
    assert "in loads" in text
    assert "importlib" not in text
    assert text.endswith("RuntimeError: no settings\n")


def test_of_ours(tmp_path):
    """What the function had no part in is shown whole."""
    with pytest.raises(FileNotFoundError) as raised:
        (tmp_path / "nowhere").read_text()

    assert "in test_of_ours" in trace.text(raised.value, tmp_path / "bundle")
