"""The public API stays compatible on the wire with what was committed."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import pytest
from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto

from protos.reception.v1 import reception_pb2 as rv
from tests.grpc.wire import breaks

COMMITTED = Path(__file__).parent.parent.parent / "protos" / "reception.v1.binpb"


def current() -> FileDescriptorProto:
    file = FileDescriptorProto()
    rv.DESCRIPTOR.CopyToProto(file)
    return file


def test_a_client_of_the_committed_api_is_still_understood() -> None:
    committed = FileDescriptorProto.FromString(COMMITTED.read_bytes())
    assert breaks(committed, current()) == []


def _rename(file: FileDescriptorProto) -> None:
    file.message_type[0].field[0].name = "other"


def _renumber(file: FileDescriptorProto) -> None:
    file.message_type[0].field[0].number = 99


def _retype(file: FileDescriptorProto) -> None:
    audio = next(each for each in file.message_type if each.name == "Audio")
    audio.field[1].type = FieldDescriptorProto.TYPE_INT32


def _repeat(file: FileDescriptorProto) -> None:
    audio = next(each for each in file.message_type if each.name == "Audio")
    audio.field[0].label = FieldDescriptorProto.LABEL_REPEATED


def _out_of_oneof(file: FileDescriptorProto) -> None:
    file.message_type[0].field[0].ClearField("oneof_index")


def _drop_message(file: FileDescriptorProto) -> None:
    del file.message_type[3]


def _drop_value(file: FileDescriptorProto) -> None:
    del file.enum_type[0].value[1]


def _renumber_nested_value(file: FileDescriptorProto) -> None:
    turn = next(each for each in file.message_type if each.name == "TurnEvent")
    turn.enum_type[0].value[1].number = 77


def _drop_enum(file: FileDescriptorProto) -> None:
    del file.enum_type[0]


def _unstream(file: FileDescriptorProto) -> None:
    file.service[0].method[0].client_streaming = False


def _drop_method(file: FileDescriptorProto) -> None:
    del file.service[0].method[1]


def _drop_service(file: FileDescriptorProto) -> None:
    del file.service[0]


def _other_package(file: FileDescriptorProto) -> None:
    file.package = "reception.v2"


@pytest.mark.parametrize(
    "change",
    [
        _rename, _renumber, _retype, _repeat, _out_of_oneof, _drop_message, _drop_value,
        _renumber_nested_value, _drop_enum, _unstream, _drop_method, _drop_service,
        _other_package,
    ],
)  # fmt: skip
def test_every_breaking_change_is_noticed(change: Callable[[FileDescriptorProto], None]) -> None:
    changed = current()
    change(changed)
    assert breaks(current(), changed)


def test_additions_are_fine() -> None:
    changed = current()
    changed.message_type[0].field.add(name="new", number=500, type=9, label=1)
    changed.message_type.add(name="New")
    changed.enum_type[0].value.add(name="NEW", number=50)
    assert breaks(current(), changed) == []


def test_every_message_and_field_says_what_it_is() -> None:
    """A comment stands above every message, field, enum value and method."""
    source = (COMMITTED.parent / "reception" / "v1" / "reception.proto").read_text("utf-8")
    bare = []
    lines = [line.strip() for line in source.splitlines()]
    for before, line in itertools.pairwise(lines):
        declares = line.startswith(("message ", "enum ", "rpc ")) or (
            line.endswith(";") and " = " in line and not line.startswith("syntax")
        )
        if declares and not before.startswith("//"):
            bare.append(line)
    assert bare == []
