"""List files that nobody can trust."""

import contextlib

import pytest

from headimpact.core.errors import DataFormatError
from headimpact.data.entries import Fault
from headimpact.data.folder_files import (
    list_records,
    optional_bool,
    optional_text,
    parse_json,
    read_id,
    read_json_object,
    resolve_inside,
    text_list,
)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param('{"a": 1,\n "b" 2}', r"line 2 column 6: Expecting ':' delimiter", id="syntax"),
        pytest.param("", "line 1 column 1", id="empty"),
        pytest.param("[" * 100_000, "Unreadable JSON", id="deep"),
        pytest.param("1" * 5000, "Unreadable JSON: Exceeds the limit", id="long-number"),
    ],
)
def test_unreadable_json(text, message):
    with pytest.raises(DataFormatError, match=message):
        parse_json(text)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        pytest.param(b"\xff\xfe", r"f\.json: Unreadable file: .*Expected JSON in UTF-8", id="no-utf8"),
        pytest.param(b"[1]", r"f\.json: Found a JSON list, expected an object", id="list"),
        pytest.param(b"{", r"f\.json: Unreadable JSON: line 1", id="cut"),
        pytest.param(None, r"f\.json: Unreadable file", id="missing"),
    ],
)
def test_json_faults_are_noted(tmp_path, data, message):
    if data is not None:
        (tmp_path / "f.json").write_bytes(data)
    faults: list[Fault] = []
    assert read_json_object(tmp_path / "f.json", "f.json", faults) == {}
    assert len(faults) == 1
    with pytest.raises(AssertionError, match=message):
        raise AssertionError(str(faults[0]))


def test_byte_order_mark_is_read_over(tmp_path):
    (tmp_path / "f.json").write_bytes(b'\xef\xbb\xbf{"a": 1}')
    assert read_json_object(tmp_path / "f.json", "f.json", []) == {"a": 1}


@pytest.mark.parametrize(
    ("content", "records", "faults"),
    [
        pytest.param({"a": [{}, {"b": 1}]}, 2, [], id="sound"),
        pytest.param({}, 0, ["f: List 'a' is missing; expected a list of objects."], id="missing"),
        pytest.param({"a": {}}, 0, ["f: List 'a' is a dict; expected a list of objects."], id="dict"),
        pytest.param({"a": [{}, 3]}, 1, ["f: a[1]: Is a int, expected an object."], id="one-bad"),
    ],
)
def test_list_records(content, records, faults):
    noted: list[Fault] = []
    assert len(list_records(content, "a", "f", noted)) == records
    assert [str(fault) for fault in noted] == faults


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (12, "12"),
        (-1, "-1"),
        ("a b", "a b"),
        ("", None),
        (" a", None),
        ("a\n", None),
        (1.0, None),
        (True, None),
        ([], None),
    ],
)
def test_read_id(value, expected):
    assert read_id(value) == expected


def test_optional_fields():
    record = {"text": "a", "none": None, "number": 3, "yes": True, "one": 1, "texts": ["a", "b"], "mixed": ["a", 1]}
    assert optional_text(record, "text") == "a"
    assert optional_text(record, "none") is optional_text(record, "missing") is None
    assert [optional_bool(record, key) for key in ("yes", "one", "none", "missing")] == [True, True, None, None]
    assert text_list(record, "texts") == ["a", "b"]
    assert text_list(record, "text") == ["a"]
    assert text_list(record, "none") == []
    for read, key, message in (
        (optional_text, "number", "Field 'number' is 3, expected a text"),
        (optional_bool, "number", "Field 'number' is 3, expected true or false"),
        (optional_bool, "text", "Field 'text' is 'a', expected true or false"),
        (optional_bool, "texts", "expected true or false"),
        (text_list, "mixed", "expected a list of texts"),
    ):
        with pytest.raises(DataFormatError, match=message):
            read(record, key)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        pytest.param("/etc/passwd", "is absolute", id="absolute"),
        pytest.param("../a.png", r"goes up by '\.\.'", id="up"),
        pytest.param("b/../../a.png", r"goes up by '\.\.'", id="up-inside"),
        pytest.param("..\\a.png", r"goes up by '\.\.'", id="up-windows"),
        pytest.param("C:\\a.png", "is absolute", id="drive"),
        pytest.param("\\\\host\\a.png", "is absolute", id="network"),
        pytest.param("out.png", r"'out\.png' is or goes through a link to .*Copy or hard-link", id="link"),
        pytest.param("outside/a.png", "goes through a link", id="linked-folder"),
        pytest.param("", "expected a clean text", id="empty"),
        pytest.param("a\x00.png", "expected a clean text", id="nul"),
        pytest.param("a\x1b.png", "expected a clean text", id="escape"),
        pytest.param(3, "expected a clean text", id="number"),
        pytest.param(None, "expected a clean text", id="none"),
    ],
)
def test_paths_that_leave_the_folder(tmp_path, name, message):
    root = tmp_path / "root"
    root.mkdir()
    (tmp_path / "a.png").touch()
    (root / "out.png").symlink_to(tmp_path / "a.png")
    (root / "outside").symlink_to(tmp_path)
    with pytest.raises(DataFormatError, match=message):
        resolve_inside(root.resolve(), root, name)


def test_link_inside_the_folder_is_fine(tmp_path):
    (tmp_path / "a.png").touch()
    (tmp_path / "b.png").symlink_to("a.png")
    assert resolve_inside(tmp_path.resolve(), tmp_path, "b.png") == tmp_path / "b.png"


def test_link_that_leads_to_itself(tmp_path):
    (tmp_path / "loop").symlink_to("loop")
    with contextlib.suppress(DataFormatError):  # which Python raises here differs by version
        assert not resolve_inside(tmp_path.resolve(), tmp_path, "loop").is_file()
