"""Fields of JSON objects and their types."""

from typing import Any

import pytest

from speechpool.errors import InvalidInput
from speechpool.web.fields import Fields, parse_object


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "invalid_json"),
        (b"{", "invalid_json"),
        (b"\xff\xfe\xfd", "invalid_json"),
        (b'{"a": NaN}', "invalid_json"),
        (b'{"a": Infinity}', "invalid_json"),
        (b"[" * 100_000, "invalid_json"),
        (b'{"a": ' + b"9" * 5000 + b"}", "invalid_json"),
        (b"[1]", "invalid_type"),
        (b'"text"', "invalid_type"),
        (b"null", "invalid_type"),
    ],
)
def test_what_is_not_a_json_object_is_refused(body: bytes, code: str):
    with pytest.raises(InvalidInput) as caught:
        parse_object(body)
    assert caught.value.code == code


def test_an_error_names_the_place_and_never_the_text():
    with pytest.raises(InvalidInput) as caught:
        parse_object('{"input": "secret",,}')
    assert "secret" not in str(caught.value)
    assert "line 1, column 20" in str(caught.value)


@pytest.mark.parametrize(
    ("method", "value"),
    [
        ("text", 1),
        ("text", ["a"]),
        ("number", "1"),
        ("number", True),
        ("integer", 1.5),
        ("integer", True),
        ("texts", "a"),
        ("texts", ["a", 1]),
    ],
)
def test_a_value_of_another_type_names_the_field(method: str, value: Any):
    arguments = (1.0,) if method == "number" else ()
    with pytest.raises(InvalidInput) as caught:
        getattr(Fields({"x": value}), method)("x", *arguments)
    assert (caught.value.param, caught.value.code) == ("x", "invalid_type")


def test_a_flag_is_no_number():
    with pytest.raises(InvalidInput):
        Fields({"x": 1}).flag("x", default=False)


def test_null_counts_as_absent():
    fields = Fields({"a": None, "b": None, "c": None})
    assert (fields.text("a"), fields.number("b", 2.0), fields.texts("c")) == (None, 2.0, ())


def test_a_whole_number_may_be_written_as_a_float():
    assert Fields({"x": 24000.0}).integer("x") == 24000


def test_a_number_too_large_for_a_float_is_infinite():
    assert Fields({"x": 10**400}).number("x", 1.0) == float("inf")


def test_a_required_field_that_is_missing_is_named():
    with pytest.raises(InvalidInput) as caught:
        Fields({}).text("input", required=True)
    assert (caught.value.param, caught.value.code) == ("input", "missing_required_parameter")


def test_what_nobody_took_is_unknown():
    fields = Fields({"a": "x", "sesion": "y"})
    fields.text("a")
    assert fields.unknown == ["sesion"]
    with pytest.raises(InvalidInput) as caught:
        fields.refuse_unknown()
    assert (caught.value.param, caught.value.code) == ("sesion", "unknown_parameter")


def test_a_choice_lists_what_there_is():
    with pytest.raises(InvalidInput, match="one of audio, sse; got 'mp3'"):
        Fields({"x": "mp3"}).choice("x", ("audio", "sse"), "audio")
