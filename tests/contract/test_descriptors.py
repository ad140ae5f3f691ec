"""The protocol only grows: what a released agent or collector relies on stays where it was.

`descriptors/v1.binpb` holds the descriptors of the last release (`update_descriptors.py`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from contract.update_descriptors import KEPT, current_descriptors
from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorSet,
    ServiceDescriptorProto,
)

import keycensus_proto

SOURCES = sorted(Path(keycensus_proto.__file__).parent.glob("v1/*.proto"))


def kept_descriptors() -> FileDescriptorSet:
    return FileDescriptorSet.FromString(KEPT.read_bytes())


def breaking_changes(before: FileDescriptorSet, after: FileDescriptorSet) -> list[str]:
    """Say what somebody who speaks `before` would miss or misread in `after`."""
    kept, now = dict(_facts(before)), dict(_facts(after))
    return [
        f"{name} was {fact}, is {now.get(name, 'gone')}"
        for name, fact in kept.items()
        if now.get(name) != fact
    ]


def _facts(files: FileDescriptorSet) -> Iterator[tuple[str, str]]:
    for file in files.file:
        for message in file.message_type:
            yield from _message_facts(f"{file.package}.{message.name}", message)
        for enum in file.enum_type:
            yield from _enum_facts(f"{file.package}.{enum.name}", enum)
        for service in file.service:
            yield from _service_facts(f"{file.package}.{service.name}", service)


def _message_facts(name: str, message: DescriptorProto) -> Iterator[tuple[str, str]]:
    yield name, "a message"
    for field in message.field:
        oneof = message.oneof_decl[field.oneof_index].name if field.HasField("oneof_index") else ""
        kind = FieldDescriptorProto.Type.Name(field.type)
        label = FieldDescriptorProto.Label.Name(field.label)
        fact = f"{field.name}: {label} {kind} {field.type_name} in oneof '{oneof}'"
        yield f"{name} field {field.number}", fact
    for nested in message.nested_type:
        yield from _message_facts(f"{name}.{nested.name}", nested)
    for enum in message.enum_type:
        yield from _enum_facts(f"{name}.{enum.name}", enum)


def _enum_facts(name: str, enum: EnumDescriptorProto) -> Iterator[tuple[str, str]]:
    yield name, "an enum"
    for value in enum.value:
        yield f"{name} value {value.number}", value.name


def _service_facts(name: str, service: ServiceDescriptorProto) -> Iterator[tuple[str, str]]:
    yield name, "a service"
    for method in service.method:
        streams = f"{method.client_streaming}, {method.server_streaming}"
        yield f"{name}.{method.name}", f"{method.input_type} to {method.output_type} ({streams})"


def test_the_protocol_breaks_nobody_who_speaks_the_last_release() -> None:
    assert breaking_changes(kept_descriptors(), current_descriptors()) == []


def test_a_field_or_message_may_be_added() -> None:
    grown = kept_descriptors()
    grown.file[0].message_type[0].field.add(name="new", number=900, type=9, label=1)
    grown.file[0].message_type.add(name="New")
    assert breaking_changes(kept_descriptors(), grown) == []


def _remove_field(files: FileDescriptorSet) -> None:
    del files.file[0].message_type[0].field[-1]


def _renumber_field(files: FileDescriptorSet) -> None:
    files.file[0].message_type[0].field[-1].number = 901


def _retype_field(files: FileDescriptorSet) -> None:
    files.file[0].message_type[0].field[-1].type = FieldDescriptorProto.TYPE_SINT64


def _rename_field(files: FileDescriptorSet) -> None:
    files.file[0].message_type[0].field[-1].name = "other"


def _make_repeated(files: FileDescriptorSet) -> None:
    field = next(f for f in files.file[0].message_type[0].field if f.label != 3)
    field.label = FieldDescriptorProto.LABEL_REPEATED


def _remove_message(files: FileDescriptorSet) -> None:
    del files.file[0].message_type[0]


def _remove_enum_value(files: FileDescriptorSet) -> None:
    enum = next(file.enum_type[0] for file in files.file if file.enum_type)
    del enum.value[-1]


def _remove_method(files: FileDescriptorSet) -> None:
    service = next(file.service[0] for file in files.file if file.service)
    del service.method[-1]


def _end_a_stream(files: FileDescriptorSet) -> None:
    methods = [m for file in files.file for s in file.service for m in s.method]
    next(method for method in methods if method.client_streaming).client_streaming = False


@pytest.mark.parametrize(
    "break_it",
    [
        _remove_field,
        _renumber_field,
        _retype_field,
        _rename_field,
        _make_repeated,
        _remove_message,
        _remove_enum_value,
        _remove_method,
        _end_a_stream,
    ],
)
def test_a_breaking_change_is_named(break_it: Callable[[FileDescriptorSet], None]) -> None:
    broken = kept_descriptors()
    break_it(broken)
    assert breaking_changes(kept_descriptors(), broken) != []


_DECLARATION = re.compile(r"^\s*(?:[\w.<>, ]+\s\w+ = \d+;|rpc )")


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.name)
def test_every_field_and_value_has_a_comment(source: Path) -> None:
    lines = source.read_text().splitlines()
    bare = [
        f"{source.name}:{number}: {line.strip()}"
        for number, (above, line) in enumerate(zip(["", *lines], lines, strict=False), start=1)
        if _DECLARATION.match(line) and not above.strip().startswith("//")
    ]
    assert bare == []


def test_all_of_the_protocol_is_looked_at() -> None:
    looked_at = {Path(file.name).name for file in current_descriptors().file}
    assert looked_at == {path.name for path in SOURCES}
