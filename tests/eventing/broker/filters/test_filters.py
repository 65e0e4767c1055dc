"""What filters mean: `filter.attributes`, and the dialects of `filters`."""

import re

import pytest

from eventing.broker.filters import DIALECTS, FilterInvalid, compile_filter

EVENT = {"specversion": "1.0", "id": "1", "source": "/shop", "type": "com.example.order", "subject": "a.jpg",
         "dataschema": "http://schema", "paid": "true", "empty": ""}


def passes(**record):
    """Whether the event of these tests passes."""
    return compile_filter(record)(EVENT)


@pytest.mark.parametrize(("wanted", "expected"), [
    pytest.param({}, True, id="an empty filter passes everything"),
    pytest.param(None, True, id="no filter passes everything"),
    pytest.param({"type": "com.example.order"}, True, id="equal"),
    pytest.param({"type": "com.example.Order"}, False, id="case matters"),
    pytest.param({"type": "com.example.order", "source": "/shop"}, True, id="all keys match"),
    pytest.param({"type": "com.example.order", "source": "/other"}, False, id="one key does not match"),
    pytest.param({"subject": ""}, True, id="an empty value is any value"),
    pytest.param({"missing": ""}, False, id="of an attribute that is there"),
    pytest.param({"empty": ""}, False, id="and not empty"),
    pytest.param({"missing": "x"}, False, id="an absent attribute does not match"),
    pytest.param({"paid": "true"}, True, id="extensions are compared as strings"),
    pytest.param({"schemaurl": "http://schema"}, True, id="schemaurl is dataschema"),
])
def test_attributes(wanted, expected):
    """`filter.attributes` is a conjunction of exact values, "" being any."""
    assert passes(filter=wanted) is expected


@pytest.mark.parametrize(("filters", "expected"), [
    pytest.param([{"exact": {"type": "com.example.order"}}], True, id="exact"),
    pytest.param([{"exact": {"type": "com.example.order", "source": "/x"}}], False, id="exact: all keys"),
    pytest.param([{"exact": {"missing": "x"}}], False, id="exact: absent"),
    pytest.param([{"prefix": {"type": "com.example."}}], True, id="prefix"),
    pytest.param([{"prefix": {"type": "org."}}], False, id="prefix: other"),
    pytest.param([{"prefix": {"missing": "o"}}], False, id="prefix: absent"),
    pytest.param([{"suffix": {"subject": ".jpg"}}], True, id="suffix"),
    pytest.param([{"suffix": {"subject": ".png"}}], False, id="suffix: other"),
    pytest.param([{"all": [{"exact": {"source": "/shop"}}, {"prefix": {"type": "com."}}]}], True, id="all"),
    pytest.param([{"all": [{"exact": {"source": "/shop"}}, {"prefix": {"type": "org."}}]}], False,
                 id="not all"),
    pytest.param([{"any": [{"exact": {"source": "/x"}}, {"prefix": {"type": "com."}}]}], True, id="any"),
    pytest.param([{"any": [{"exact": {"source": "/x"}}, {"prefix": {"type": "org."}}]}], False, id="none"),
    pytest.param([{"not": {"exact": {"source": "/x"}}}], True, id="not"),
    pytest.param([{"not": {"exact": {"source": "/shop"}}}], False, id="not: passes inside"),
    pytest.param([{"not": {"not": {"exact": {"source": "/shop"}}}}], True, id="not not"),
    pytest.param([{"not": {}}], True, id="not of nothing says nothing"),
    pytest.param([{"not": {"not": {}}}], True, id="not of what says nothing"),
    pytest.param([{"not": {"any": [{}]}}], True, id="not of a list that says nothing"),
    pytest.param([{"not": {"all": [{"any": []}]}}], True, id="not of lists that say nothing"),
    pytest.param([{"any": []}], True, id="any of nothing says nothing"),
    pytest.param([{"any": [{}]}], True, id="any of what says nothing"),
    pytest.param([{"any": [{}, {"exact": {"source": "/x"}}]}], False, id="any: what says nothing is no yes"),
    pytest.param([{"all": [{}, {"exact": {"source": "/x"}}]}], False, id="all: what says nothing"),
    pytest.param([{}], True, id="an empty element says nothing"),
    pytest.param([{"exact": {"source": "/shop"}}, {"suffix": {"subject": ".png"}}], False,
                 id="a list is a conjunction"),
])
def test_dialects(filters, expected):
    """Each dialect means what CloudEvents Subscriptions says."""
    assert passes(filters=filters) is expected


def test_filters_override_filter():
    """A list of filters that is not empty stands alone; an empty one does not count."""
    assert passes(filter={"type": "other"}, filters=[{"exact": {"source": "/shop"}}])
    assert not passes(filter={"type": "other"}, filters=[])


@pytest.mark.parametrize(("filters", "path"), [
    pytest.param([{"exact": {"a": "b"}, "prefix": {"a": "b"}}], "spec.filters[0]", id="two dialects"),
    pytest.param([{}, {"glob": {"a": "b"}}], "spec.filters[1]", id="unknown dialect"),
    pytest.param([{"any": [{"exact": {"a": "b"}}, {"not": {"exact": {"A-b": "c"}}}]}],
                 "spec.filters[0].any[1].not.exact", id="a bad name, deep down"),
    pytest.param([{"exact": {"a": ""}}], "spec.filters[0].exact.a", id="an empty value"),
    pytest.param([{"suffix": {"a": 5}}], "spec.filters[0].suffix.a", id="a number"),
    pytest.param([{"prefix": {}}], "spec.filters[0].prefix", id="no attribute"),
    pytest.param([{"any": [{"cesql": "FOO(type)"}]}], "spec.filters[0].any[0].cesql", id="no such function"),
    pytest.param([{"all": {"exact": {"a": "b"}}}], "spec.filters[0].all", id="no list"),
    pytest.param({"exact": {"a": "b"}}, "spec.filters", id="filters is no list"),
    pytest.param(["exact"], "spec.filters[0]", id="no object"),
])
def test_invalid(filters, path):
    """A filter that means nothing is refused with its path, never taken for no filter."""
    with pytest.raises(FilterInvalid) as error:
        compile_filter({"filters": filters})

    assert path == error.value.path
    assert str(error.value).endswith(path)


@pytest.mark.parametrize(("element", "says"), [
    ({"exact": {}}, "expected an object of attribute names and values, found none: it is empty: "),
    ({"cesql": "type = 'a' OR foo(type)"}, "there is no function FOO of 1 argument at position 15: "),
])
def test_what_is_said(element, says):
    """A filter that nothing can pass is refused with the reason."""
    with pytest.raises(FilterInvalid, match=re.escape(says)):
        compile_filter({"filters": [element]})


def test_dialects_are_found_by_being_there():
    """Every file of the folder has registered its dialects."""
    assert {"exact", "prefix", "suffix", "all", "any", "not"} <= DIALECTS.keys()
