"""The tree of parts: numbers, defaults, limits."""

from postkeep.protocols.mime import Part, limits, parse, select_fields, split_fields


def _sections(part: Part) -> list[str]:
    inner = [] if part.message is None else _sections(part.message.root)
    return [part.section, *(name for child in part.children for name in _sections(child)), *inner]


def _multi(boundary: str, *parts: str, subtype: str = "mixed") -> str:
    joined = "".join(f"--{boundary}\r\n{part}\r\n" for part in parts)
    return f"Content-Type: multipart/{subtype}; boundary={boundary}\r\n\r\n{joined}--{boundary}--\r\n"


_TEXT = "Content-Type: text/plain\r\n\r\nx"


def test_parts_are_numbered_as_in_the_example_of_rfc_9051() -> None:
    enclosed_multi = "Content-Type: message/rfc822\r\n\r\n" + _multi(
        "c", "Content-Type: text/plain\r\n\r\n", "Content-Type: application/x\r\n\r\n"
    )
    fourth = _multi(
        "d",
        "Content-Type: image/gif\r\n\r\n",
        "Content-Type: message/rfc822\r\n\r\n"
        + _multi("e", _TEXT, _multi("f", _TEXT, _TEXT, subtype="alternative")),
    )
    message = _multi("a", _TEXT, "Content-Type: application/x\r\n\r\n", enclosed_multi, fourth)
    assert [name for name in _sections(parse(message.encode()).root) if name] == (
        ["1", "2", "3", "3.1", "3.2", "4", "4.1", "4.2", "4.2.1", "4.2.2", "4.2.2.1", "4.2.2.2"]
    )


def test_a_message_of_one_part_has_part_1_and_an_enclosed_one_too() -> None:
    assert _sections(parse(b"Subject: x\r\n\r\nbody").root) == ["1"]
    enclosed = _multi("a", "Content-Type: message/rfc822\r\n\r\nSubject: y\r\n\r\nbody")
    assert _sections(parse(enclosed.encode()).root) == ["", "1", "1.1"]
    assert _sections(parse(b"Content-Type: message/rfc822\r\n\r\nSubject: y\r\n\r\nbody").root) == [
        "1",
        "1.1",
    ]


def test_a_part_of_a_digest_is_a_message_unless_it_says_otherwise() -> None:
    root = parse(_multi("a", "\r\nSubject: inside\r\n\r\nx", _TEXT, subtype="digest").encode()).root
    enclosed = root.children[0].message
    assert enclosed is not None
    assert enclosed.fields[b"subject"].strip() == b"inside"
    assert root.children[1].type == b"text"


def test_a_longer_boundary_with_the_same_beginning_is_another_one() -> None:
    inner = _multi("b1", _TEXT, _TEXT)
    root = parse(_multi("b", inner, _TEXT).encode()).root
    assert [len(child.children) for child in root.children] == [2, 0]


def test_an_unclosed_inner_multipart_ends_where_its_parent_says() -> None:
    data = (
        b"Content-Type: multipart/mixed; boundary=a\r\n\r\n--a\r\n"
        b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\ninner\r\n--a\r\n\r\nlast\r\n--a--\r\n"
    )
    first, last = parse(data).root.children
    (inner,) = first.children
    assert data[inner.body_offset : inner.end] == b"inner"
    assert data[last.body_offset : last.end] == b"last"


def test_depth_beyond_the_limit_is_one_opaque_part() -> None:
    text = _TEXT
    for level in range(limits.DEPTH_MAX + 20):
        text = _multi(f"b{level}x", text)
    part = parse(text.encode()).root
    depth = 0
    while part.children:
        (part,) = part.children
        depth += 1
    assert depth == limits.DEPTH_MAX + 1
    assert (part.type, part.subtype) == (b"application", b"octet-stream")


def test_parts_beyond_the_limit_are_one_opaque_part() -> None:
    message = parse(_multi("a", *[_TEXT] * (limits.PARTS_MAX + 50)).encode())
    children = message.root.children
    assert len(children) <= limits.PARTS_MAX
    assert children[-1].subtype == b"octet-stream"
    assert children[-1].end == len(message.data)
    assert children[-2].subtype == b"plain"


def test_after_too_many_lines_that_look_like_delimiters_the_rest_is_one_opaque_part() -> None:
    false = "--aX\r\n" * (limits.CANDIDATES_MAX + 1)
    children = parse(_multi("a", _TEXT, _TEXT + "\r\n" + false, _TEXT).encode()).root.children
    assert [child.subtype for child in children] == [b"plain", b"octet-stream"]


def test_a_boundary_beyond_the_limit_separates_nothing() -> None:
    message = parse(_multi("b" * (limits.BOUNDARY_OCTETS_MAX + 1), _TEXT, _TEXT).encode())
    assert [child.subtype for child in message.root.children] == [b"octet-stream"]


def test_a_missing_or_broken_type_is_plain_text() -> None:
    for value in ("", "Content-Type: text\r\n", "Content-Type: ;;\r\n", "Content-Type: a b/c\r\n"):
        part = parse(f"{value}Subject: x\r\n\r\nbody\r\n".encode()).root
        assert (part.type, part.subtype, part.lines) == (b"text", b"plain", 1)


def test_fields_carry_the_offsets_of_their_raw_values() -> None:
    data = b"A: one\r\n two\r\nnot a field\r\nB : x\r\n\r\nC: body"
    fields = split_fields(data, 0, 36)
    assert [(field.name, data[field.value_start : field.value_end]) for field in fields] == [
        (b"A", b" one\r\n two\r"),
        (b"B", b" x\r"),
    ]
    assert data[fields[0].start : fields[0].end] == b"A: one\r\n two\r\n"


def test_fields_are_selected_or_left_out_whole_and_in_order() -> None:
    header = b"To: a\r\nSubject: one\r\n two\r\nX: y\r\nto: b\r\n\r\n"
    assert select_fields(header, [b"SUBJECT", b"to"]) == b"To: a\r\nSubject: one\r\n two\r\nto: b\r\n\r\n"
    assert select_fields(header, [b"to", b"x"], exclude=True) == b"Subject: one\r\n two\r\n\r\n"
    assert select_fields(header, [b"none"]) == b"\r\n"
    assert select_fields(b"To: cut", [b"to"]) == b"To: cut\r\n\r\n"
