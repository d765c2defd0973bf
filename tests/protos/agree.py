"""1 000 random messages of each type, made by Python's protobuf, read and written by generated code.

agree.sh installs what this needs. The first argument is the program agree, the second the folder proto.
"""

import os
import random
import struct
import subprocess
import sys
import tempfile

import grpc_tools
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from grpc_tools import _protoc_compiler


def fill(message, dice, depth):
    """Sets some fields; of a map one entry at most, since its order is nobody's."""
    for field in message.DESCRIPTOR.fields:
        required = field.is_required
        if not required and (dice.random() < 0.4 or depth > 4 and field.message_type):
            continue
        if field.message_type and field.message_type.full_name == "google.protobuf.Any":
            getattr(message, field.name).type_url = "x"
        elif field.message_type and field.message_type.GetOptions().map_entry:
            key = value_of(field.message_type.fields_by_name["key"], dice)
            value = field.message_type.fields_by_name["value"]
            if value.message_type:
                inner = getattr(message, field.name)[key]
                fill(inner, dice, depth + 1)
                # Not what it is by default, which prost leaves out, required fields with it.
                setattr(inner, value.message_type.fields[0].name, 1)
            else:
                getattr(message, field.name)[key] = value_of(value, dice)
        elif field.message_type:
            target = getattr(message, field.name)
            for _ in range(dice.randrange(3) if field.is_repeated else 1):
                inner = target.add() if field.is_repeated else target
                inner.SetInParent() if not field.is_repeated else None
                fill(inner, dice, depth + 1)
        elif field.is_repeated:
            getattr(message, field.name).extend(value_of(field, dice) for _ in range(dice.randrange(4)))
        else:
            setattr(message, field.name, value_of(field, dice))


def value_of(field, dice):
    kind = field.cpp_type
    if kind in (field.CPPTYPE_INT32, field.CPPTYPE_INT64):
        bits = 31 if kind == field.CPPTYPE_INT32 else 63
        return dice.choice([0, 1, -1, dice.randrange(-(1 << bits), 1 << bits)])
    if kind in (field.CPPTYPE_UINT32, field.CPPTYPE_UINT64):
        return dice.choice([0, 1, dice.randrange(1 << (32 if kind == field.CPPTYPE_UINT32 else 64))])
    if kind in (field.CPPTYPE_FLOAT, field.CPPTYPE_DOUBLE):
        return dice.choice([0.0, -0.0, 1.5, -2.25, float("inf")])
    if kind == field.CPPTYPE_BOOL:
        return dice.random() < 0.5
    if kind == field.CPPTYPE_ENUM:
        return dice.choice(field.enum_type.values).number
    text = "".join(dice.choice("ab\u00e9\u4e16\U0001f600") for _ in range(dice.randrange(6)))
    return text if field.type == field.TYPE_STRING else text.encode()


def main(program, protos):
    own = os.path.join(os.path.dirname(grpc_tools.__file__), "_proto")
    dice = random.Random(7)
    with tempfile.TemporaryDirectory() as out:
        names = ["editions/all.proto", "editions/implicit.proto", "odd/defaults.proto", "odd/case.proto", "odd/case_types.proto"]
        into = os.path.join(out, "set")
        arguments = ["protoc", f"-I{protos}", f"-I{own}", "--include_imports", f"--descriptor_set_out={into}", *names]
        assert _protoc_compiler.run_main([argument.encode() for argument in arguments]) == 0
        pool = descriptor_pool.DescriptorPool()
        with open(into, "rb") as file:
            for each in descriptor_pb2.FileDescriptorSet.FromString(file.read()).file:
                pool.Add(each)
        names = {b"e": "editions.all.Everything", b"i": "editions.implicit.Outer", b"d": "odd.defaults.Defaults", b"c": "odd.case.Case"}
        types = [(mark, message_factory.GetMessageClass(pool.FindMessageTypeByName(name))) for mark, name in names.items()]
        sent, octets = [], []
        for mark, kind in types:
            for _ in range(1000):
                message = kind()
                fill(message, dice, 0)
                data = message.SerializeToString()
                sent.append((kind, data))
                octets.append(mark + struct.pack("<I", len(data)) + data)
        back = subprocess.run([program], input=b"".join(octets), stdout=subprocess.PIPE, check=True).stdout
        at = same = 0
        for kind, data in sent:
            (length,) = struct.unpack_from("<I", back, at)
            ours = back[at + 4 : at + 4 + length]
            at += 4 + length
            same += ours == data
            # Of an entry of a map prost leaves out what is a default; read again, it is the same.
            if ours != data and kind.FromString(ours).SerializeToString() != data:
                sys.exit(f"{kind.DESCRIPTOR.full_name}: Python wrote {data.hex()}, ours {ours.hex()}")
        assert at == len(back)
    print(f"{len(sent)} messages of {len(types)} types agree, {same} of them octet by octet")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
