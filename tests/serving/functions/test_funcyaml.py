"""A folder and its func.yaml, found and parsed."""

import pytest

from eventing.errors import UsageError
from serving.functions import funcyaml


def test_load(tmp_path):
    """A folder may be called what no Service may; YAML that does not parse is named."""
    folder = tmp_path / "My_Func"
    (folder / "function").mkdir(parents=True)

    assert (funcyaml.load(folder).name, funcyaml.load(folder).is_instanced) == ("my-func", True)
    (folder / "func.yaml").write_text("a: [")
    with pytest.raises(UsageError, match=r"func.yaml: not YAML"):
        funcyaml.load(folder)
    with pytest.raises(UsageError, match=r"clarion func new nowhere"):
        funcyaml.load(tmp_path / "nowhere")
