"""Holds the generator's descriptors against protoc's, octet by octet.

    compare.sh FOLDER [FOLDER..]

Each folder is an include path. Every .proto below the first is compiled alone with both; then those that protoc takes,
all in one run, in three orders. Where it does not take them together, such as for two files with a name in common, those
that it complains of are left out. What one takes and the other does not, and what differs, is told; a difference
ends the script with 1. `--why` tells the reasons where both refuse, `--no-single` leaves the single files out. compare.sh
installs what this needs.
"""

import os
import random
import subprocess
import sys
import tempfile

from google.protobuf import descriptor_pb2
from grpc_tools import _protoc_compiler

PROTOS = os.path.join(os.path.dirname(sys.modules["grpc_tools"].__file__), "_proto")


def quiet(call):
    """The result, and what was written to the standard error."""
    with tempfile.TemporaryFile() as out:
        saved = os.dup(2)
        os.dup2(out.fileno(), 2)
        try:
            result = call()
        finally:
            os.dup2(saved, 2)
            os.close(saved)
        out.seek(0)
        return result, out.read().decode(errors="replace")


def protoc(folders, names, into):
    arguments = ["protoc", *(f"-I{folder}" for folder in folders), f"-I{PROTOS}", "--include_imports"]
    arguments += [f"--descriptor_set_out={into}", *names]
    result, text = quiet(lambda: _protoc_compiler.run_main([argument.encode() for argument in arguments]))
    return result == 0, text


def ours(program, folders, names, into):
    arguments = [program, *(f"-I{folder}" for folder in folders), "--descriptors-only", f"--descriptor-set={into}"]
    done = subprocess.run([*arguments, *(os.path.join(folders[0], name) for name in names)], capture_output=True, text=True)
    return done.returncode == 0, done.stderr


def read(path):
    with open(path, "rb") as file:
        return file.read()


def difference(a, b):
    """The first that is not the same, in words."""
    a, b = (descriptor_pb2.FileDescriptorSet.FromString(it) for it in (a, b))
    names = ([file.name for file in it.file] for it in (a, b))
    if len(set(map(tuple, names))) > 1:
        return "other files, or in another order"
    for x, y in zip(a.file, b.file):
        if x.SerializeToString() != y.SerializeToString():
            for p, q in zip(f"{x}".splitlines() + ["(end)"], f"{y}".splitlines() + ["(end)"]):
                if p != q:
                    return f"{x.name}: protoc {p.strip()!r}, ours {q.strip()!r}"
            return f"{x.name}: the same fields in other octets"
    return "?"


def together(folders, names, into):
    """Those that protoc takes in one run, and how many were left out for that."""
    left = list(names)
    while left:
        good, text = protoc(folders, left, into)
        if good:
            break
        # Without the files that it names, which may be imports of what is to be left out.
        lines = [line.split(":")[0] for line in text.splitlines() if not line.startswith("  ")]
        bad = {os.path.relpath(line, folders[0]) if os.path.isabs(line) else line for line in lines}
        bad |= {os.path.relpath(line, folders[0]) for line in lines}
        rest = [name for name in left if name not in bad]
        if len(rest) == len(left):
            print(text[:1000])
            return [], len(names)
        left = rest
    return left, len(names) - len(left)


def main(program, folders):
    root = folders[0]
    names = sorted(
        os.path.relpath(os.path.join(folder, file), root)
        for folder, _, files in os.walk(root)
        for file in files
        if file.endswith(".proto")
    )
    counts = dict(equal=0, differ=0, refused=0, lenient=0, both=0)
    taken = []
    with tempfile.TemporaryDirectory() as scratch:
        a, b = os.path.join(scratch, "a"), os.path.join(scratch, "b")

        def judge(what, files):
            theirs, their_text = protoc(folders, files, a)
            mine, my_text = ours(program, folders, files, b)
            if theirs and mine:
                equal = read(a) == read(b)
                counts["equal" if equal else "differ"] += 1
                if not equal:
                    print(f"DIFFER {what}: {difference(read(a), read(b))}", flush=True)
            elif theirs:
                counts["refused"] += 1
                print(f"REFUSED {what}: {my_text.strip()[:300]}", flush=True)
            elif mine:
                counts["lenient"] += 1
                print(f"lenient {what}: {their_text.strip().splitlines()[:1]}", flush=True)
            else:
                counts["both"] += 1
                if "--why" in sys.argv:
                    print(f"both {what}: {their_text.strip().splitlines()[:1]} {my_text.strip()[:300]}", flush=True)
            return theirs

        if "--no-single" not in sys.argv:
            for name in names:
                if judge(name, [name]):
                    taken.append(name)
        else:
            taken = names
        alone = dict(counts)
        taken, out = together(folders, taken, a)
        print(f"one run: {len(taken)} files, {out} left out", flush=True)
        orders = [taken, taken[::-1], random.Random(1).sample(taken, len(taken))]
        for number, order in enumerate(orders, 1):
            if order and not judge(f"the whole tree in order {number}", order):
                print("protoc does not take the whole tree in one run", flush=True)
                break
    print(f"{root}: {len(names)} files; alone {alone}; then the tree: {counts}")
    return 1 if counts["differ"] or counts["refused"] else 0


if __name__ == "__main__":
    arguments = [argument for argument in sys.argv[1:] if not argument.startswith("--")]
    sys.exit(main(arguments[0], arguments[1:]))
