"""Patches against a slow, obvious reading of their RFCs."""

import copy
import re
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventing.control.patch import PatchFailed, json_patch, merge, strategic

KEYS = st.sampled_from(["a", "b", "", "a/b", "m~n", "0"])
JSON = st.recursive(st.none() | st.booleans() | st.integers(-2, 2) | st.sampled_from(["", "x"]),
                    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
                    max_leaves=8)


def obvious_merge(target, patch):
    """The pseudo-code of RFC 7386, section 2."""
    if isinstance(patch, dict):
        if not isinstance(target, dict):
            target = {}
        for name, value in patch.items():
            if value is None:
                if name in target:
                    del target[name]
            else:
                target[name] = obvious_merge(target.get(name), value)
        return target
    return patch


@given(JSON, JSON)
def test_merge_is_the_rfcs_pseudo_code(document, patch):
    """A merge patch does what RFC 7386 spells out, and leaves its arguments alone."""
    before = copy.deepcopy((document, patch))
    merged = merge(document, patch)
    assert (document, patch) == before
    assert merged == obvious_merge(copy.deepcopy(document), copy.deepcopy(patch))


def places(document, path=""):
    """Every place in a document: (pointer, value)."""
    yield path, document
    if isinstance(document, dict):
        for key, value in document.items():
            yield from places(value, f"{path}/{key.replace('~', '~0').replace('/', '~1')}")
    if isinstance(document, list):
        for index, value in enumerate(document):
            yield from places(value, f"{path}/{index}")


@given(st.data(), JSON, JSON)
def test_what_was_put_is_there_and_taking_it_out_restores(data, document, value):
    """`replace` then `test` passes at every place; `add` then `remove` in a list restores it."""
    pointer, there = data.draw(st.sampled_from(list(places(document))))
    replaced = json_patch(document, [{"op": "replace", "path": pointer, "value": value},
                                     {"op": "test", "path": pointer, "value": value}])
    assert json_patch(replaced, [{"op": "replace", "path": pointer, "value": there}]) == document
    if isinstance(there, list):
        for index in ("-", "0", str(len(there))):
            where = str(len(there)) if index == "-" else index
            added = json_patch(document, [{"op": "add", "path": f"{pointer}/{index}", "value": value}])
            assert json_patch(added, [{"op": "remove", "path": f"{pointer}/{where}"}]) == document


@given(JSON, st.lists(st.fixed_dictionaries(
    {"op": st.sampled_from(["add", "remove", "replace", "move", "copy", "test", "jump", 1, ["add"]]),
     "path": st.sampled_from(["", "/a", "/a/0", "/a/-", "/a~1b", "/0/b", "x", "/a/01"])},
    optional={"value": JSON, "from": st.sampled_from(["", "/a", "/b", "/a/0"])}), max_size=4))
def test_any_list_of_operations_is_applied_or_refused(document, operations):
    """Whatever is sent, the answer is a document or PatchFailed, and the original stays as it was."""
    before = copy.deepcopy((document, operations))
    with suppress(PatchFailed):
        json_patch(document, operations)
    assert (document, operations) == before


@pytest.mark.parametrize(("document", "operation", "patched"), [
    pytest.param({"a": "b"}, {"op": "add", "path": "/c", "value": 1}, {"a": "b", "c": 1}, id="A.1 a member"),
    pytest.param({"a": [1, 3]}, {"op": "add", "path": "/a/1", "value": 2}, {"a": [1, 2, 3]},
                 id="A.2 an element"),
    pytest.param({"a": 1, "b": 2}, {"op": "remove", "path": "/a"}, {"b": 2}, id="A.3 a member goes"),
    pytest.param({"a": [1, 2]}, {"op": "remove", "path": "/a/0"}, {"a": [2]}, id="A.4 an element goes"),
    pytest.param({"a": 1}, {"op": "replace", "path": "/a", "value": 2}, {"a": 2}, id="A.5 a value"),
    pytest.param({"a": {"b": 1}, "c": {}}, {"op": "move", "from": "/a/b", "path": "/c/d"},
                 {"a": {}, "c": {"d": 1}}, id="A.6 a move"),
    pytest.param({"a": [1, 2, 3]}, {"op": "move", "from": "/a/0", "path": "/a/2"}, {"a": [2, 3, 1]},
                 id="A.7 a move in a list"),
    pytest.param({"~1": 10}, {"op": "test", "path": "/~01", "value": 10}, {"~1": 10}, id="A.14 escapes"),
    pytest.param({"a": 1}, {"op": "test", "path": "/a", "value": True}, None, id="1 is not true"),
    pytest.param({"a": [1]}, {"op": "add", "path": "/a/2", "value": 1}, None, id="beyond the end"),
    pytest.param({}, {"op": "add", "path": "/a/b", "value": 1}, None, id="A.12 no parent"),
    pytest.param({"a": {"b": 1}}, {"op": "move", "from": "/a", "path": "/a/b"}, None, id="into itself"),
    pytest.param({}, {"op": "add", "path": "/a"}, None, id="no value"),
])
def test_json_patch(document, operation, patched):
    """The examples of RFC 6902, appendix A; None for those that must fail."""
    if patched is None:
        with pytest.raises(PatchFailed):
            json_patch(document, [operation])
    else:
        assert json_patch(document, [operation]) == patched


@pytest.mark.parametrize(("document", "patch", "patched"), [
    pytest.param({"finalizers": ["a"]}, {"finalizers": ["b"]}, {"finalizers": ["a", "b"]}, id="a set grows"),
    pytest.param({"finalizers": ["a", "b"]}, {"$deleteFromPrimitiveList/finalizers": ["a"]},
                 {"finalizers": ["b"]}, id="a set shrinks"),
    pytest.param({"ownerReferences": [{"uid": "1", "name": "x"}]},
                 {"ownerReferences": [{"uid": "1", "name": "y"}]},
                 {"ownerReferences": [{"uid": "1", "name": "y"}]}, id="by key"),
    pytest.param({"ownerReferences": [{"uid": "1"}]}, {"ownerReferences": [{"uid": "1", "$patch": "delete"}]},
                 {"ownerReferences": []}, id="an element goes"),
    pytest.param({"data": {"a": "1"}}, {"data": {"$patch": "replace", "b": "2"}}, {"data": {"b": "2"}},
                 id="a map is replaced"),
    pytest.param({"list": [1]}, {"list": [2]}, {"list": [2]}, id="any other list is replaced"),
    pytest.param({"containers": [{"name": "c", "image": "x", "args": ["1"], "env": [{"name": "A"}]}]},
                 {"$setElementOrder/containers": [{"name": "c"}],
                  "containers": [{"name": "c", "args": ["2"], "env": [{"name": "B"}]}]},
                 {"containers": [{"name": "c", "image": "x", "args": ["2"],
                                  "env": [{"name": "A"}, {"name": "B"}]}]},
                 id="containers and variables by name"),
    pytest.param({"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}},
                 {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}},
                 {"strategy": {"type": "Recreate"}}, id="what another strategy has goes"),
])
def test_strategic(document, patch, patched):
    """What kubectl sends for core kinds."""
    assert strategic(document, patch) == patched


def test_copies_of_copies_end():
    """A few hundred bytes of operations cannot double an object until memory ends."""
    operations = [{"op": "copy", "from": "", "path": f"/{number}"} for number in range(20)]
    assert len(json_patch({"a": 1}, operations[:10])) == 11
    with pytest.raises(PatchFailed, match=r"^operation copy: .* limit of 3145728"):
        json_patch({"a": "x" * 100}, operations)


STRATEGIC_KEYS = st.sampled_from(["a", "env", "finalizers", "name", "$patch", "$retainKeys",
                                  "$setElementOrder/env", "$deleteFromPrimitiveList/finalizers"])
WORDS = st.sampled_from(["", "a", "delete", "replace", "merge"])
STRATEGIC = st.recursive(st.none() | st.booleans() | st.integers(-2, 2) | WORDS,
                         lambda inner: st.lists(inner, max_size=3)
                         | st.dictionaries(STRATEGIC_KEYS, inner, max_size=4), max_leaves=12)


@given(STRATEGIC, STRATEGIC)
def test_any_strategic_patch_is_applied_or_refused(document, patch):
    """Whatever is stored and sent, the answer is a document or PatchFailed, and both stay as they were."""
    before = copy.deepcopy((document, patch))
    with suppress(PatchFailed):
        strategic(document, patch)
    assert (document, patch) == before


@pytest.mark.parametrize(("document", "patch", "named"), [
    ({}, {"$retainKeys": 5}, "$retainKeys"),
    ({"type": "a"}, {"$retainKeys": "types"}, "$retainKeys"),
    ({"finalizers": ["a"]}, {"$deleteFromPrimitiveList/finalizers": 3},
     "$deleteFromPrimitiveList/finalizers"),
    ({"finalizers": 3}, {"$deleteFromPrimitiveList/finalizers": ["a"]}, "finalizers"),
    ({"env": "text"}, {"env": [{"name": "A"}]}, "env"),
    ({"env": ["A"]}, {"env": [{"name": "A"}]}, "env"),
])
def test_a_strategic_patch_of_a_wrong_type(document, patch, named):
    """It is refused, and the answer names the member that is wrong."""
    with pytest.raises(PatchFailed, match=f"^{re.escape(named)}: "):
        strategic(document, patch)
