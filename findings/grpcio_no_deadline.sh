#!/usr/bin/env bash
# grpcio 1.85.1 (PyPI): a handler that hands its remaining time on to the next server.
#
# One would think: `context.time_remaining()` is None when the caller set no deadline, as its documentation says, and a
#   very long timeout (infinity, `threading.TIMEOUT_MAX`) is as good as none.
# Seen: without a deadline it is about 9.2e18 seconds. As the timeout of a call that number, like every one that reaches
#   past the year 2262 (infinity among them), overflows: DEADLINE_EXCEEDED at once, before anything reaches the server.
# Why it matters: `stub.Next(request, timeout=context.time_remaining())` is how a deadline is passed on by hand. It works
#   for every caller that has a deadline and fails for every caller that has none, with a status that blames slowness.
#   Guard it: `left if left < 1e9 else None`.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --disable-pip-version-check grpcio==1.85.1 typing_extensions==4.16.0

"$work/venv/bin/python" - <<'PY'
import sys
import threading
import time
from concurrent import futures

import grpc

reached = []
remaining = []


def next_server(request, context):
    reached.append(request)
    return b"done"


def first_server(request, context):
    remaining.append(context.time_remaining())
    try:
        return next_call(b"", timeout=remaining[-1])
    except grpc.RpcError as error:
        return error.code().name.encode()


def outcome(timeout):
    """The code of a call with `timeout`, whether it reached the server, and how long it took."""
    reached.clear()
    begin = time.monotonic()
    try:
        next_call(b"", timeout=timeout)
        code = "OK"
    except grpc.RpcError as error:
        code = error.code().name
    return code, bool(reached), time.monotonic() - begin


server = grpc.server(futures.ThreadPoolExecutor(4))
handlers = {
    "First": grpc.unary_unary_rpc_method_handler(first_server),
    "Next": grpc.unary_unary_rpc_method_handler(next_server),
}
server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("demo.Chain", handlers),))
port = server.add_insecure_port("127.0.0.1:0")
server.start()
channel = grpc.insecure_channel(f"127.0.0.1:{port}", options=[("grpc.enable_http_proxy", 0)])
first_call = channel.unary_unary("/demo.Chain/First")
next_call = channel.unary_unary("/demo.Chain/Next")

with_deadline = first_call(b"", timeout=30)
without_deadline = first_call(b"")
print(f"caller with 30 s:          time_remaining() {remaining[0]:.4g}, the next call: {with_deadline.decode()}")
print(f"caller without a deadline: time_remaining() {remaining[1]!r}, the next call: {without_deadline.decode()}")
same = remaining[0] <= 30 and with_deadline == b"done"
same = same and remaining[1] is not None and remaining[1] > 1e18 and without_deadline == b"DEADLINE_EXCEEDED"

for name, timeout, expected in [
    ("None", None, ("OK", True)),
    ("1e9 (32 years)", 1e9, ("OK", True)),
    ("threading.TIMEOUT_MAX", threading.TIMEOUT_MAX, ("DEADLINE_EXCEEDED", False)),
    ("infinity", float("inf"), ("DEADLINE_EXCEEDED", False)),
]:
    code, arrived, took = outcome(timeout)
    print(f"timeout {name}: {code} after {took * 1000:.1f} ms, {'reached' if arrived else 'did not reach'} the server")
    same = same and (code, arrived) == expected

channel.close()
server.stop(None)
sys.exit(0 if same else "CHANGED: this is no longer what was seen")
PY
