"""Wire compatibility of two versions of the public API."""

from __future__ import annotations

from collections.abc import Iterator

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FileDescriptorProto,
    MethodDescriptorProto,
    ServiceDescriptorProto,
)


def breaks(old: FileDescriptorProto, new: FileDescriptorProto) -> list[str]:
    """What a client of `old` would trip over in `new`; additions are fine."""
    found: list[str] = []
    if old.package != new.package:
        found.append(f"package {old.package} became {new.package}")
    found += _messages(dict(_walk(old)), dict(_walk(new)))
    found += _enums(dict(_all_enums(old)), dict(_all_enums(new)))
    found += _services(old, new)
    return found


def _walk(file: FileDescriptorProto) -> Iterator[tuple[str, DescriptorProto]]:
    waiting = [(message.name, message) for message in file.message_type]
    while waiting:
        name, message = waiting.pop()
        yield name, message
        waiting += [(f"{name}.{inner.name}", inner) for inner in message.nested_type]


def _all_enums(file: FileDescriptorProto) -> Iterator[tuple[str, EnumDescriptorProto]]:
    for enum in file.enum_type:
        yield enum.name, enum
    for name, message in _walk(file):
        for enum in message.enum_type:
            yield f"{name}.{enum.name}", enum


def _messages(old: dict[str, DescriptorProto], new: dict[str, DescriptorProto]) -> list[str]:
    found = []
    for name, message in old.items():
        if name not in new:
            found.append(f"message {name} is gone")
            continue
        fields = {field.number: field for field in new[name].field}
        for field in message.field:
            now = fields.get(field.number)
            where = f"{name}.{field.name} = {field.number}"
            if now is None:
                found.append(f"field {where} is gone")
            elif (field.name, field.type, field.label, field.type_name) != (
                now.name,
                now.type,
                now.label,
                now.type_name,
            ):
                found.append(f"field {where} became another")
            elif field.HasField("oneof_index") != now.HasField("oneof_index"):
                found.append(f"field {where} moved in or out of a oneof")
    return found


def _enums(old: dict[str, EnumDescriptorProto], new: dict[str, EnumDescriptorProto]) -> list[str]:
    found = []
    for name, enum in old.items():
        values = {value.name: value.number for value in new[name].value} if name in new else {}
        found += [
            f"enum value {name}.{value.name} = {value.number} is gone or renumbered"
            for value in enum.value
            if values.get(value.name) != value.number
        ]
    return found


def _services(old: FileDescriptorProto, new: FileDescriptorProto) -> list[str]:
    found = []
    services: dict[str, ServiceDescriptorProto] = {each.name: each for each in new.service}
    for service in old.service:
        methods = {each.name: each for each in services[service.name].method} if (
            service.name in services
        ) else {}  # fmt: skip
        for method in service.method:
            now = methods.get(method.name)
            same = now is not None and _shape(method) == _shape(now)
            if not same:
                found.append(f"method {service.name}.{method.name} is gone or became another")
    return found


def _shape(method: MethodDescriptorProto) -> tuple[str, str, bool, bool]:
    return (
        method.input_type,
        method.output_type,
        method.client_streaming,
        method.server_streaming,
    )
