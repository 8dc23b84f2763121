"""YAML that hides, explodes or contradicts itself is refused with its line in SKILL.md, plain text stays as written."""

from __future__ import annotations

import pytest
from skillyard.skills.errors import SkillError
from skillyard.skills.frontmatter import Fields, Items, Text, read_document


def _document(folder, content: str | bytes):
    (folder / "SKILL.md").write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_document(folder)


def test_scalars_stay_the_text_that_was_written(tmp_path):
    text = '---\nversion: 1.10\nflag: no\nempty:\ndate: 2024-01-02\nzip: 0123\nq: "a: b"\n---\nBody\n'
    fields = _document(tmp_path, text).fields.fields
    values = {key: node.value for key, node in fields.items() if isinstance(node, Text)}
    assert values == {"version": "1.10", "flag": "no", "empty": "", "date": "2024-01-02", "zip": "0123", "q": "a: b"}


def test_three_dashes_within_a_value_are_part_of_it(tmp_path):
    text = "---\nname: a\ndescription: one --- two\nmore: |\n  x\n  ---\n  y\n---\nBody\n---\nrest\n"
    document = _document(tmp_path, text)
    assert document.fields.fields["description"].value == "one --- two"
    assert document.fields.fields["more"].value == "x\n---\ny\n"
    assert document.body == "Body\n---\nrest\n"


def test_windows_line_ends_and_a_byte_order_mark_are_read(tmp_path):
    document = _document(tmp_path, b"\xef\xbb\xbf---\r\nname: a\r\n---\r\nBody\r\n")
    assert document.fields.fields["name"] == Text("a", 2)
    assert document.byte_order_mark


def test_lines_are_those_of_the_file(tmp_path):
    document = _document(tmp_path, "---\n# comment\nname: a\nmetadata:\n  key: v\n  list: [1,\n    2]\n---\n")
    metadata = document.fields.fields["metadata"]
    assert isinstance(metadata, Fields)
    assert metadata.lines == {"key": 5, "list": 6}
    assert isinstance(metadata.fields["list"], Items)
    assert metadata.fields["list"].items[1].line == 7


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "SKILL.md:1: must start with a line of three dashes"),
        (b"# Title\n", "SKILL.md:1: must start with a line of three dashes"),
        (b"--- name: a\n---\n", "SKILL.md:1: must start with a line of three dashes"),
        (b"---\nname: a\n", "SKILL.md:1: the YAML at the top is not closed"),
        (b"---\n---\n", "SKILL.md:2: the YAML at the top is empty"),
        (b"---\n- a\n---\n", "SKILL.md:2: the YAML at the top must be a mapping"),
        (b"---\njust text\n---\n", "SKILL.md:2: the YAML at the top must be a mapping"),
        (b"---\nname: a\nbad: [1, 2\n---\n", "SKILL.md:4: not valid YAML"),
        (b"---\nname: a\n\tb: 1\n---\n", "SKILL.md:3: not valid YAML"),
        (b"---\nname: a\nx: a: b\n---\n", "SKILL.md:3: not valid YAML"),
        (b"---\nname: a\nname: b\n---\n", "SKILL.md:3: name: is given twice, first in line 2"),
        (b"---\nm:\n  a: 1\n  'a': 2\n---\n", "SKILL.md:4: a: is given twice, first in line 3"),
        (b"---\nname: &x a\n---\n", "SKILL.md:2: anchors"),
        (b"---\nname: a\nother: *x\n---\n", "SKILL.md:3: aliases"),
        (b"---\nname: !!python/object:os.system a\n---\n", "SKILL.md:2: tags"),
        (b"---\nname: ! a\n---\n", "SKILL.md:2: tags"),
        (b"---\nmeta:\n  <<: {a: b}\n---\n", "SKILL.md:3: merge keys"),
        (b"---\n? [a]\n: b\n---\n", "SKILL.md:2: keys that are not text"),
        (b"---\n%YAML 1.1\n--- \nname: a\n---\n", "SKILL.md"),
        (b"---\nname: a\n...\n%TAG ! x\n---\n", "SKILL.md:5"),
        (b"---\nname: a\x00\n---\n", "SKILL.md:2: is a binary file"),
        (b"\x7fELF\x02\x01\x01\x00", "SKILL.md:1: is a binary file"),
        (b"---\nname: a\nd: \xff\n---\n", "SKILL.md:3: is not UTF-8 text"),
        (b"---\nname: a\nd: \x07\n---\n", "SKILL.md:3: not valid YAML: a character"),
    ],
)
def test_what_is_refused_names_its_line(tmp_path, content, message):
    with pytest.raises(SkillError) as caught:
        _document(tmp_path, content)
    assert str(caught.value).startswith(message)


def test_a_yaml_bomb_is_refused_before_it_unfolds(tmp_path):
    lines = ["a: &a [x, x, x, x, x, x, x, x, x]"]
    lines += [f"{chr(98 + n)}: &{chr(98 + n)} [{', '.join([f'*{chr(97 + n)}'] * 9)}]" for n in range(8)]
    with pytest.raises(SkillError, match="anchors"):
        _document(tmp_path, "---\n" + "\n".join(lines) + "\n---\n")


@pytest.mark.parametrize(
    "fields",
    ["a: " + "[" * 5000, "a: " + "[" * 11 + "]" * 11, "a: [" + "x, " * 3000 + "]", "a: " + "{a: " * 40 + "}" * 40],
)
def test_deep_and_long_yaml_is_refused(tmp_path, fields):
    with pytest.raises(SkillError, match="more than 2000 values or 10 levels"):
        _document(tmp_path, f"---\n{fields}\n---\n")


def test_huge_files_are_refused_unread(tmp_path):
    with pytest.raises(SkillError, match="larger than 64 KiB"):
        _document(tmp_path, "---\nname: a\n" + "# x\n" * 20_000 + "---\n")
    with (tmp_path / "SKILL.md").open("wb") as file:
        file.truncate(2**33)
    with pytest.raises(SkillError, match="larger than 1024 KiB"):
        read_document(tmp_path)
