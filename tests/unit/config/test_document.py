"""Reading one YAML document, with a bound on everything."""

import pytest

from speechpool.config.document import MAX_NODES, DocumentError, read_document


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None),
        ("# only a comment\n", None),
        ("---\n...\n", None),
        ("a: 1", {"a": 1}),
        ("a: -1.5e3", {"a": -1500.0}),
        ("a: true\nb: FALSE", {"a": True, "b": False}),
        ("a: null\nb: ~\nc:", {"a": None, "b": None, "c": None}),
        ("a: [no, yes, on, off]", {"a": ["no", "yes", "on", "off"]}),
        ("a: 0660", {"a": "0660"}),
        ("a: '3'", {"a": "3"}),
        ("a: 2024-01-01", {"a": "2024-01-01"}),
        ("a: 1:30", {"a": "1:30"}),
        ("a: 1_000", {"a": "1_000"}),
        ("a: .inf", {"a": float("inf")}),
        ('{"a": [1, {"b": null}]}', {"a": [1, {"b": None}]}),
        ('{"a": "\\ud83d\\ude00"}', {"a": "😀"}),
        ("a: &x [1]\nb: *x", {"a": [1], "b": [1]}),
        ("a: |\n  two\n  lines\n", {"a": "two\nlines\n"}),
    ],
)
def test_core_yaml_is_understood(text, value):
    assert read_document(text) == value


BOMB = "a0: &a0 [x]\n" + "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 10))


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("a: [1, 2", ["line 1", "not valid YAML"]),
        ("a: b: c", ["line 1, column 5", "not valid YAML"]),
        ("a: 1\n\tb: 2", ["line 2", "not valid YAML"]),
        ("a: 1\n---\nb: 2", ["not valid YAML", "another document"]),
        ("a: *nowhere", ["undefined alias"]),
        ("a: \x01", ["characters that YAML does not allow"]),
        ("a: 1\nb: 2\na: 3", ["line 3", "'a' is there twice"]),
        ("p:\n- {name: x, name: y}", ["line 2", "'name' is there twice"]),
        ("[1, 2]: 3", ["line 1", "a name must be plain text"]),
        ("{a: 1}: 3", ["line 1", "a name must be plain text"]),
        ("a: !!python/object/apply:os.system [id]", ["line 1", "without tags"]),
        ("a: !!python/name:os.system x", ["line 1", "without tags"]),
        ("a: !secret x", ["line 1", "without tags"]),
        ("a: !!binary aGk=", ["line 1", "without tags"]),
        ("a: !!int abc", ["line 1", "cannot be read"]),
        ("a: !!bool maybe", ["line 1", "cannot be read"]),
        ("a: " + "9" * 5000, ["line 1", "cannot be read"]),
        ('a: "\\ud83d"', ["line 1", "cannot be read"]),
        ("a: &a [*a]", ["nest more than 20 deep"]),
        ("a: &a {b: *a}", ["nest more than 20 deep"]),
        ("[" * 100_000, ["nest more than 20 deep"]),
        ("[" + "1," * MAX_NODES + "]", [f"more than {MAX_NODES} values"]),
        (BOMB, [f"more than {MAX_NODES} values"]),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_line(text, parts):
    with pytest.raises(DocumentError) as refused:
        read_document(text)
    for part in parts:
        assert part in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_message_does_not_quote_the_text_around_a_mistake():
    with pytest.raises(DocumentError) as refused:
        read_document("token: hunter2\nnext: [hunter2, hunter2\n")
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize("tag", ["!!set", "!!omap", "!!pairs", "!x"])
def test_a_tag_on_a_list_or_mapping_is_refused(tag):
    with pytest.raises(DocumentError, match="without tags"):
        read_document(f"a: {tag} {{}}" if tag in ("!!set", "!x") else f"a: {tag} []")
