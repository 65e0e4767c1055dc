import sys

import pytest

from serving.functions.entry import Form, NoEntry, find, form_of


class App:
    """An ASGI app as frameworks make them."""

    async def __call__(self, scope, receive, send):
        """ASGI."""


class Wrapper:
    """A middleware that passes everything on."""

    async def __call__(self, *arguments, **options):
        """Anything."""


@pytest.mark.parametrize(
    ("name", "target", "form"),
    [
        pytest.param("new", lambda: None, Form.INSTANCED, id="Knative's factory"),
        pytest.param("new", lambda config=None: config, Form.INSTANCED, id="factory with a default"),
        pytest.param("handle", lambda event: event, Form.EVENT, id="handle(event)"),
        pytest.param(
            "handle", lambda event, *, log=None: (event, log), Form.EVENT, id="handle with an option"
        ),
        pytest.param(
            "handle", lambda scope, receive, send: (scope, receive, send), Form.STATIC, id="Knative's static"
        ),
        pytest.param("app", App(), Form.ASGI, id="ASGI object"),
        pytest.param("app", Wrapper(), Form.ASGI, id="ASGI middleware"),
        pytest.param("price", lambda event: event, Form.EVENT, id="named: an event function"),
        pytest.param("api", App(), Form.ASGI, id="named: an app"),
        pytest.param("make", App, Form.INSTANCED, id="named: a class"),
    ],
)
def test_forms(name, target, form):
    """The table of forms."""
    assert form_of(target, name, f"func:{name}") is form


@pytest.mark.parametrize(
    ("name", "target"),
    [
        ("new", lambda event: event),
        ("handle", lambda: None),
        ("handle", lambda event, context: (event, context)),
        ("app", lambda a, b, c, d: (a, b, c, d)),
    ],
)
def test_no_form(name, target):
    """Arguments that fit no row are refused, and named."""
    with pytest.raises(NoEntry, match=rf"func:{name}\(.*\): expected"):
        form_of(target, name, f"func:{name}")


@pytest.fixture
def bundle(tmp_path, monkeypatch):
    """A folder that is first on sys.path, and its modules forgotten in the end."""
    monkeypatch.syspath_prepend(tmp_path)
    before = set(sys.modules)

    def write(files):
        for name, text in files.items():
            path = tmp_path / f"{name}.py"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return tmp_path

    yield write
    for name in set(sys.modules) - before:
        del sys.modules[name]


HANDLE = "def handle(event): pass\n"


@pytest.mark.parametrize(
    ("files", "wanted", "name"),
    [
        pytest.param(
            {"func": HANDLE, "function/__init__": ""}, None, "func:handle", id="func.py comes first"
        ),
        pytest.param({"function/__init__": HANDLE}, None, "function:handle", id="package"),
        pytest.param(
            {"function/__init__": "", "function/func": HANDLE},
            None,
            "function.func:handle",
            id="module in the package",
        ),
        pytest.param(
            {"func": HANDLE, "mine": "def price(event): pass\n"},
            "mine:price",
            "mine:price",
            id="annotation wins",
        ),
        pytest.param({"mine": HANDLE}, "mine", "mine:handle", id="annotation without a name"),
        pytest.param(
            {"mine": "class A:\n    @staticmethod\n    def b(event): pass\n"},
            "mine:A.b",
            "mine:A.b",
            id="dotted",
        ),
        pytest.param(
            {"func": "from os import path as app\n" + HANDLE}, None, "func:handle", id="app is a module"
        ),
    ],
)
def test_found(bundle, files, wanted, name):
    """Where the function is looked for, in which order."""
    assert find(bundle(files), wanted).name == name


@pytest.mark.parametrize(
    ("files", "wanted", "words"),
    [
        ({}, None, "neither func.py"),
        ({"func": ""}, None, "defines none of"),
        ({}, "nosuch:f", "'nosuch'"),
        ({"mine": ""}, "mine:f", "mine:f is not there"),
        ({"mine": "f = 3"}, "mine:f", "cannot be called"),
    ],
)
def test_not_found(bundle, files, wanted, words):
    """What is missing is named."""
    with pytest.raises(NoEntry, match=words):
        find(bundle(files), wanted)


def test_a_missing_dependency_is_not_a_missing_entry(bundle):
    """The module is there, but what it imports is not: that error passes through."""
    with pytest.raises(ModuleNotFoundError, match="nosuchlibrary"):
        find(bundle({"mine": "import nosuchlibrary\n"}), "mine:f")
