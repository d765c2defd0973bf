#!/usr/bin/env bash
# grpcio 1.85.1 (PyPI): a server interceptor that waits, as for a token check or a rate limiter.
#
# One would think: interceptors run where handlers run, on the thread pool given to `grpc.server`. With 16 threads, one
#   call waiting in an interceptor leaves 15.
# Seen: `intercept_service` runs on the server's single serving thread, before the pool is asked. While one call waits in
#   it, no other call of any client starts, and their deadlines run out beside 16 idle threads. A handler that waits
#   holds up nobody.
# Why it matters: an interceptor that asks another service makes the whole server as slow as one such request after the
#   other, and a larger pool changes nothing. Waiting belongs in the handler that the interceptor returns: wrap it.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --disable-pip-version-check grpcio==1.85.1 typing_extensions==4.16.0

"$work/venv/bin/python" - <<'PY'
import sys
import threading
from concurrent import futures

import grpc

inside = threading.Event()  # the waiting call has got to where it waits
release = threading.Event()
names = {}


def wait(where):
    names[where] = threading.current_thread().name
    inside.set()
    release.wait(60)


class Interceptor(grpc.ServerInterceptor):
    def intercept_service(self, continuation, details):
        if details.method.endswith("WaitInInterceptor"):
            wait("interceptor")
        return continuation(details)


def answer(request, context):
    return b""


def wait_in_handler(request, context):
    wait("handler")
    return b""


def other_call_while(method):
    """The code of a call with 2 s to live, made by another client while one of `method` waits."""
    inside.clear()
    release.clear()
    waiting = connect("/demo.Wait/" + method).future(b"", timeout=60)
    inside.wait(60)
    try:
        other(b"", timeout=2)
        code = "OK"
    except grpc.RpcError as error:
        code = error.code().name
    release.set()
    waiting.result()
    return code


def connect(method):
    # A connection of its own, so that nothing but the server is shared.
    options = [("grpc.enable_http_proxy", 0), ("grpc.use_local_subchannel_pool", 1)]
    channel = grpc.insecure_channel(f"127.0.0.1:{port}", options=options)
    channels.append(channel)
    return channel.unary_unary(method)


pool = futures.ThreadPoolExecutor(16, thread_name_prefix="pool")
server = grpc.server(pool, interceptors=[Interceptor()])
handlers = {
    "Answer": grpc.unary_unary_rpc_method_handler(answer),
    "WaitInInterceptor": grpc.unary_unary_rpc_method_handler(answer),
    "WaitInHandler": grpc.unary_unary_rpc_method_handler(wait_in_handler),
}
server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("demo.Wait", handlers),))
port = server.add_insecure_port("127.0.0.1:0")
server.start()
channels = []
other = connect("/demo.Wait/Answer")
other(b"", timeout=60)  # connected

beside_handler = other_call_while("WaitInHandler")
beside_interceptor = other_call_while("WaitInInterceptor")
print(f"one call waits in its handler, on thread {names['handler']!r}: another client's call: {beside_handler}")
print(f"one call waits in an interceptor, on thread {names['interceptor']!r}: another client's call: {beside_interceptor}")
same = names["handler"].startswith("pool") and not names["interceptor"].startswith("pool")
same = same and beside_handler == "OK" and beside_interceptor == "DEADLINE_EXCEEDED"

for channel in channels:
    channel.close()
server.stop(None)
sys.exit(0 if same else "CHANGED: this is no longer what was seen")
PY
