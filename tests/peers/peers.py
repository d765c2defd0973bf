#!/usr/bin/env python3
"""grpcio as the other side: a server, and a client that runs the cases.

    peers.py server [--port=N] [--max_send=N]     prints "listening on 127.0.0.1:N"; ends when its input does
    peers.py client [--cases=A,B] -- COMMAND...   starts COMMAND as its server, as often as the cases need one

Messages are bytes as they are. `examples/peer_server.rs` and `examples/peer_client/` are the same in Rust: a
server there and here has the same methods, a client the same cases.
"""

import argparse
import concurrent.futures
import subprocess
import sys
import threading
import time
import traceback

import grpc

SERVICE = "/peers.Peer/"
MIB = 1 << 20
ODD_TEXT = "100 % of \t\r\n bytes, Ünïcödé \u2603, \U0001f408, and a %41 that is none"


def pattern(size):
    """`size` bytes whose period is no power of two, so that a piece that is lost or doubled shows."""
    period = bytes(range(251))
    return (period * (size // 251 + 1))[:size]


# ---------------------------------------------------------------------------------------------------------- server

ended_early = {}
ended_early_lock = threading.Lock()


def metadata(context, prefix):
    return tuple((k, v) for k, v in context.invocation_metadata() if k.startswith(prefix))


def asked(context, key, default=None):
    return dict(context.invocation_metadata()).get(key, default)


def echo_metadata(context):
    context.send_initial_metadata(metadata(context, "x-echo-"))
    context.set_trailing_metadata(metadata(context, "x-trail-"))


def count_end(context, what=""):
    with ended_early_lock:
        token = asked(context, "x-token", "") + what
        ended_early[token] = ended_early.get(token, 0) + 1


def end_of(context):
    """An event that is set once the call is over."""
    over = threading.Event()
    if not context.add_callback(over.set):
        over.set()
    return over


def end_as_asked(context):
    context.set_trailing_metadata(metadata(context, "x-trail-"))
    if asked(context, "x-early"):
        context.send_initial_metadata(metadata(context, "x-echo-"))
    code = int(asked(context, "x-code", "0"))
    if code:
        details = asked(context, "x-details-bin")
        if details is not None:
            context.set_trailing_metadata(
                metadata(context, "x-trail-") + (("grpc-status-details-bin", details),))
        code = next(c for c in grpc.StatusCode if c.value[0] == code)
        context.abort(code, asked(context, "x-message-bin", b"").decode())


def echo(request, context):
    echo_metadata(context)
    return request


def chat(requests, context):
    echo_metadata(context)
    yield from requests


def sized(request, _):
    return pattern(int(request))


def fail(_, context):
    end_as_asked(context)
    return b"ok"


def fail_after(_, context):
    for number in range(int(asked(context, "x-count", "0"))):
        yield b"%d" % number
    end_as_asked(context)


def raise_(_, __):
    raise ValueError("a mistake in the handler")


def collect(requests, _):
    count = size = 0
    for request in requests:
        count, size = count + 1, size + len(request)
    return b"%d %d" % (count, size)


def early(_, __):
    return b"early"


def much(request, context):
    """Answers with this much metadata, before or after the reply."""
    where, size = request.split()
    value = (("x-much", "m" * int(size)),)
    if where == b"initial":
        context.send_initial_metadata(value)
    else:
        context.set_trailing_metadata(value)
    return b"much"


def wait(request, context):
    """Counts the call under its token: that it begins, and if it ends before the time has passed."""
    count_end(context, " begins")
    if end_of(context).wait(int(request) / 1000):
        count_end(context)
    return b"waited"


def hold(_, context):
    """Never ends by itself. A generator is not resumed after the end, so that is not seen by going on."""
    if not context.add_callback(lambda: count_end(context)):
        count_end(context)
    over = end_of(context)
    yield b"holding"
    over.wait(20)


def cancel(_, context):
    context.cancel()
    return b"cancelled"


def seen(request, _):
    with ended_early_lock:
        return b"%d" % ended_early.get(request.decode(), 0)


def remaining(_, context):
    left = context.time_remaining()
    return b"none" if left is None or left > 1e8 else b"%d" % (left * 1000)


def who(_, context):
    return f"{context.peer()} {asked(context, 'user-agent')}".encode()


def handlers():
    """Without serializers: messages are bytes."""
    kinds = {
        grpc.unary_unary_rpc_method_handler: dict(
            Echo=echo, Sized=sized, Fail=fail, Raise=raise_, Wait=wait, Cancel=cancel, Seen=seen,
            Remaining=remaining, Who=who, Much=much),
        grpc.unary_stream_rpc_method_handler: dict(FailAfter=fail_after, Hold=hold),
        grpc.stream_unary_rpc_method_handler: dict(Collect=collect, Early=early),
        grpc.stream_stream_rpc_method_handler: dict(Chat=chat),
    }
    return {name: kind(behaviour) for kind, them in kinds.items() for name, behaviour in them.items()}


def serve(flags):
    options = [("grpc.so_reuseport", 0)]
    if flags.max_send is not None:
        options.append(("grpc.max_send_message_length", flags.max_send))
    server = grpc.server(concurrent.futures.ThreadPoolExecutor(64), options=options)
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("peers.Peer", handlers())])
    port = server.add_insecure_port(f"127.0.0.1:{flags.port}")
    server.start()
    print(f"listening on 127.0.0.1:{port}", flush=True)
    sys.stdin.read()
    server.stop(10).wait()


# ---------------------------------------------------------------------------------------------------------- client


class Failure(Exception):
    pass


def check(what, got, wanted):
    if got != wanted:
        raise Failure(f"{what}: got {str(got)[:400]!r}, wanted {str(wanted)[:400]!r}")


def between(what, low, value, high):
    if not low <= value <= high:
        raise Failure(f"{what}: {value} is not within {low} and {high}")


def eventually(what, condition, seconds=5):
    until = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > until:
            raise Failure(f"not within {seconds} s: {what}")
        time.sleep(0.02)


class Server:
    """A server process. `stop` ends it in order, leaving a `with` block in any way."""

    def __init__(self, command, port=0, *flags):
        self.process = subprocess.Popen([*command, f"--port={port}", *flags], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True)
        line = self.process.stdout.readline().strip()
        if not line.startswith("listening on "):
            raise Failure(f"the server said {line!r}")
        self.port = int(line.rsplit(":", 1)[1])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.kill()

    def kill(self):
        self.process.kill()
        self.process.wait()

    def close_input(self):
        self.process.stdin.close()

    def stop(self):
        self.close_input()
        check("exit status of the stopped server", self.process.wait(20), 0)


class Methods:
    """All methods of one channel of its own."""

    def __init__(self, server, *options):
        options += (("grpc.use_local_subchannel_pool", 1),)
        self.channel = grpc.insecure_channel(f"127.0.0.1:{server.port}", options=options)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.channel.close()

    def unary(self, name):
        return self.channel.unary_unary(SERVICE + name)

    def replies(self, name):
        return self.channel.unary_stream(SERVICE + name)

    def requests(self, name):
        return self.channel.stream_unary(SERVICE + name)

    def both(self, name):
        return self.channel.stream_stream(SERVICE + name)

    def seen(self, token):
        return int(self.unary("Seen")(token.encode(), timeout=10))


def failure(call):
    """The RpcError that `call` raises."""
    try:
        got = call()
    except grpc.RpcError as error:
        return error
    raise Failure(f"the call succeeded with {got[:40]!r}")


def check_status(what, error, code, details=None):
    check(f"code of {what} ({error.details()})", error.code(), code)
    if details is not None:
        check(f"details of {what}", error.details(), details)


def values(pairs, prefix):
    """By key, in order: the order of different keys may change on the way."""
    found = {}
    for key, value in pairs:
        if key.startswith(prefix):
            found.setdefault(key, []).append(value)
    return found


def sample(prefix):
    printable = "".join(map(chr, range(0x21, 0x7F)))
    return [
        (prefix + "ascii", "plain"),
        (prefix + "inner", "two  blanks"),
        (prefix + "printable", printable),
        (prefix + "empty", ""),
        (prefix + "again", "1"),
        (prefix + "all-bin", bytes(range(256))),
        (prefix + "again", "2,3"),
        (prefix + "again", ""),
        (prefix + "again", "1"),
        (prefix + "empty-bin", b""),
        (prefix + "again-bin", b"\x00"),
        (prefix + "again-bin", b""),
        (prefix + "again-bin", b"\xff\xfe"),
        (prefix + "again-bin", b"abc"),
        (prefix + "a_b.c-d0", "name"),
    ]


def case_metadata(server):
    wanted = sample("x-echo-") + sample("x-trail-")
    with Methods(server) as peer:
        reply, call = peer.unary("Echo").with_call(b"m", metadata=wanted, timeout=10)
        check("reply", reply, b"m")
        stream = peer.both("Chat")(iter([b"m"]), metadata=wanted, timeout=10)
        check("replies", list(stream), [b"m"])
        for kind, handle in ("unary", call), ("stream", stream):
            for prefix, got in ("x-echo-", handle.initial_metadata()), ("x-trail-", handle.trailing_metadata()):
                check(f"{kind} {prefix}", values(got, prefix), values(wanted, prefix))
                check(f"{kind} length of {prefix}", len(values(got, "x-")), len(values(wanted, prefix)))


def case_metadata_of_errors(server):
    wanted = sample("x-echo-") + sample("x-trail-") + [("x-code", "9"), ("x-message-bin", b"no")]
    with Methods(server) as peer:
        for early in [], [("x-early", "1")]:
            error = failure(lambda: peer.unary("Fail")(b"", metadata=wanted + early, timeout=10))
            check_status("the error", error, grpc.StatusCode.FAILED_PRECONDITION, "no")
            check("trailing", values(error.trailing_metadata(), "x-"), values(wanted, "x-trail-"))
            initial = values(wanted, "x-echo-") if early else {}
            check("initial", values(error.initial_metadata(), "x-"), initial)


def case_big_metadata(server):
    with Methods(server) as peer:
        before = peer.unary("Who")(b"", timeout=10)
        big = [("x-echo-big", "b" * 7400)]
        _, call = peer.unary("Echo").with_call(b"", metadata=big, timeout=10)
        check("near 8 KiB", values(call.initial_metadata(), "x-"), values(big, "x-"))
        big = [("x-trail-big-bin", pattern(5400))]
        _, call = peer.unary("Echo").with_call(b"", metadata=big, timeout=10)
        check("near 8 KiB, of bytes", values(call.trailing_metadata(), "x-"), values(big, "x-"))
        error = failure(lambda: peer.unary("Echo")(b"", metadata=[("x-big", "b" * 20_000)], timeout=10))
        check_status("20 000 bytes of metadata", error, grpc.StatusCode.RESOURCE_EXHAUSTED)
        for size in 20_000, 60_000:
            for where in b"initial", b"trailing":
                error = failure(lambda: peer.unary("Much")(b"%s %d" % (where, size), timeout=10))
                check_status(f"{size} bytes of {where} metadata", error, grpc.StatusCode.RESOURCE_EXHAUSTED)
        check("still the same connection", peer.unary("Who")(b"", timeout=10), before)
        # grpcio sends it whatever the server says it takes; ours ends the connection, as it would an attacker's.
        error = failure(lambda: peer.unary("Echo")(b"", metadata=[("x-big", "b" * 60_000)], timeout=10))
        expected = grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.UNAVAILABLE
        check(f"60 000 bytes of metadata: {error.code()}", error.code() in expected, True)
        peer.unary("Echo")(b"", timeout=10, wait_for_ready=True)


def case_status_codes(server):
    texts = ["", "plain", ODD_TEXT]
    with Methods(server) as peer:
        for code in grpc.StatusCode:
            for text in texts:
                asks = [("x-code", str(code.value[0])), ("x-message-bin", text.encode())]
                if code is grpc.StatusCode.OK:
                    reply, call = peer.unary("Fail").with_call(b"", metadata=asks, timeout=10)
                    check("reply", reply, b"ok")
                    check("code", call.code(), code)
                    continue
                for early in [], [("x-early", "1")]:
                    error = failure(lambda: peer.unary("Fail")(b"", metadata=asks + early, timeout=10))
                    check_status(f"{code}, early {early}", error, code, text)
                for count in 0, 1, 100:
                    stream = peer.replies("FailAfter")(b"", metadata=asks + [("x-count", str(count))], timeout=10)
                    got = [next(stream) for _ in range(count)]
                    check("messages before the error", got, [b"%d" % n for n in range(count)])
                    check_status(f"{code} after {count}", failure(lambda: next(stream)), code, text)


def case_status_details(server):
    details = bytes(range(256))
    asks = [("x-code", "3"), ("x-message-bin", b"see details"), ("x-details-bin", details)]
    with Methods(server) as peer:
        error = failure(lambda: peer.unary("Fail")(b"", metadata=asks, timeout=10))
        check_status("the error", error, grpc.StatusCode.INVALID_ARGUMENT, "see details")
        check("details", values(error.trailing_metadata(), "grpc-status-details-bin"),
              {"grpc-status-details-bin": [details]})


def case_unimplemented(server):
    with Methods(server) as peer:
        error = failure(lambda: peer.unary("Nothing")(b"", timeout=10))
        check_status("an unknown method", error, grpc.StatusCode.UNIMPLEMENTED)
        other = peer.channel.unary_unary("/peers.Other/Echo")
        check_status("an unknown service", failure(lambda: other(b"", timeout=10)), grpc.StatusCode.UNIMPLEMENTED)
        bad = peer.both("Nothing")(iter([b"a", b"b"]), timeout=10)
        check_status("an unknown stream", failure(lambda: next(bad)), grpc.StatusCode.UNIMPLEMENTED)


def case_handler_raises(server):
    with Methods(server) as peer:
        error = failure(lambda: peer.unary("Raise")(b"", timeout=10))
        check_status("a handler's mistake", error, grpc.StatusCode.UNKNOWN)


def case_cardinality(server):
    with Methods(server) as peer:
        error = failure(lambda: peer.requests("Echo")(iter([]), timeout=10))
        check_status("no request", error, grpc.StatusCode.UNIMPLEMENTED)
        # grpcio's own server ignores the second request; the specification does not.
        error = failure(lambda: peer.requests("Echo")(iter([b"a", b"b"]), timeout=10))
        check_status("two requests", error, grpc.StatusCode.UNIMPLEMENTED)


def case_who(server):
    with Methods(server) as peer:
        address, agent = peer.unary("Who")(b"", timeout=10).decode().split(" ", 1)
        check("peer", address.rsplit(":", 1)[0], "ipv4:127.0.0.1")
        check("user agent", agent.startswith("grpc-python/"), True)


def case_sizes(server):
    with Methods(server) as peer:
        for size in 0, 1, 64 << 10, 4 * MIB:
            check(f"echo of {size}", peer.unary("Echo")(pattern(size), timeout=20) == pattern(size), True)
            check(f"reply of {size}", peer.unary("Sized")(b"%d" % size, timeout=20) == pattern(size), True)
        sizes = [0, 1, 64 << 10, 4 * MIB, 0, 16 << 10, (16 << 10) + 1, MIB - 1, 0]
        got = list(peer.both("Chat")((pattern(size) for size in sizes), timeout=20))
        check("sizes of a stream", list(map(len, got)), sizes)
        check("bytes of a stream", all(message == pattern(len(message)) for message in got), True)
        got = peer.requests("Collect")((pattern(size) for size in sizes), timeout=20)
        check("collected", got, b"%d %d" % (len(sizes), sum(sizes)))


def case_limits(server):
    too_long = 4 * MIB + 1
    with Methods(server) as peer:
        error = failure(lambda: peer.unary("Echo")(bytes(too_long), timeout=20))
        check_status("a long request", error, grpc.StatusCode.RESOURCE_EXHAUSTED)
        error = failure(lambda: peer.unary("Sized")(b"%d" % too_long, timeout=20))
        check_status("a long reply", error, grpc.StatusCode.RESOURCE_EXHAUSTED)
        stream = peer.both("Chat")(iter([b"short", bytes(too_long), b"short"]), timeout=20)
        check_status("a long request of a stream", failure(lambda: list(stream)), grpc.StatusCode.RESOURCE_EXHAUSTED)
        check("afterwards", peer.unary("Echo")(b"a", timeout=10), b"a")
    with Methods(server, ("grpc.max_send_message_length", 1000)) as peer:
        check("just short enough", peer.unary("Echo")(bytes(1000), timeout=10), bytes(1000))
        error = failure(lambda: peer.unary("Echo")(bytes(1001), timeout=10))
        check_status("too long to send", error, grpc.StatusCode.RESOURCE_EXHAUSTED)
    with Methods(server, ("grpc.max_receive_message_length", -1)) as peer:
        check("without a limit", len(peer.unary("Sized")(b"%d" % (9 * MIB), timeout=20)), 9 * MIB)
    with Server(server.command, 0, "--max_send=1000") as other, Methods(other) as peer:
        check("just short enough", len(peer.unary("Sized")(b"1000", timeout=10)), 1000)
        error = failure(lambda: peer.unary("Sized")(b"1001", timeout=10))
        check_status("too long to answer", error, grpc.StatusCode.RESOURCE_EXHAUSTED)


def case_streams(server):
    with Methods(server) as peer:
        wanted = [b"%d" % number for number in range(2000)]
        check("many to one", peer.requests("Collect")(iter(wanted), timeout=20),
              b"%d %d" % (len(wanted), sum(map(len, wanted))))
        check("one to many", list(peer.replies("FailAfter")(b"", metadata=[("x-count", "2000")], timeout=20)), wanted)
        check("many to many", list(peer.both("Chat")(iter(wanted), timeout=20)), wanted)
        check("none", list(peer.both("Chat")(iter([]), timeout=10)), [])
        check("none to one", peer.requests("Collect")(iter([]), timeout=10), b"0 0")

        turn = threading.Semaphore(1)

        def one_by_one():
            for number in range(200):
                turn.acquire()
                yield b"%d" % number

        for count, reply in enumerate(peer.both("Chat")(one_by_one(), timeout=20)):
            check("ping pong", reply, b"%d" % count)
            turn.release()


def case_early_ok(server):
    """The server answers while the client still has much to send."""
    with Methods(server) as peer:
        over = threading.Event()

        def endless():
            while not over.is_set():
                yield pattern(MIB)

        reply, call = peer.requests("Early").with_call(endless(), timeout=20)
        over.set()
        check("reply", (reply, call.code()), (b"early", grpc.StatusCode.OK))


def case_deadlines(server):
    late = grpc.StatusCode.DEADLINE_EXCEEDED
    with Methods(server) as peer:
        peer.unary("Echo")(b"", timeout=10)
        began = time.monotonic()
        error = failure(lambda: peer.unary("Wait")(b"8000", metadata=[("x-token", "late")], timeout=0.3))
        check_status("a slow reply", error, late)
        between("end of a slow reply", 0.29, time.monotonic() - began, 2)
        eventually("the server sees the end of a unary call", lambda: peer.seen("late") == 1, 4)

        began = time.monotonic()
        stream = peer.replies("Hold")(b"", metadata=[("x-token", "late stream")], timeout=0.3)
        check("first", next(stream), b"holding")
        check_status("a slow stream", failure(lambda: next(stream)), late)
        between("end of a slow stream", 0.29, time.monotonic() - began, 2)
        eventually("the server sees the end of a stream", lambda: peer.seen("late stream") == 1, 4)

        check_status("next to no time", failure(lambda: peer.unary("Wait")(b"500", timeout=0.001)), late)
        check("without a deadline", peer.unary("Remaining")(b""), b"none")
        for seconds in 5, 100, 100_000:
            # grpcio sends three digits, rounded up.
            between("time remaining", seconds * 1000 - 3000, int(peer.unary("Remaining")(b"", timeout=seconds)),
                    seconds * 1010)
        check("just in time", peer.unary("Wait")(b"100", timeout=5), b"waited")


def case_thousand_calls(server):
    with Methods(server) as peer:
        echo_ = peer.unary("Echo")
        calls = [echo_.future(b"%d" % number, timeout=30) for number in range(1000)]
        check("futures", [call.result() for call in calls], [b"%d" % number for number in range(1000)])
        streams = [peer.both("Chat")(iter([b"%d" % number]), timeout=30) for number in range(200)]
        check("streams", [list(stream) for stream in streams], [[b"%d" % number] for number in range(200)])
        waits = [peer.unary("Wait").future(b"50", timeout=30) for _ in range(300)]
        check("slow ones", {call.result() for call in waits}, {b"waited"})


def case_cancel(server):
    with Methods(server) as peer:
        before = peer.unary("Who")(b"", timeout=10)
        call = peer.unary("Wait").future(b"20000", metadata=[("x-token", "unary")], timeout=30)
        eventually("the call runs", lambda: peer.seen("unary begins") == 1)
        check("cancel", call.cancel(), True)
        check("code", call.code(), grpc.StatusCode.CANCELLED)
        eventually("the server sees the cancel", lambda: peer.seen("unary") == 1)

        stream = peer.replies("Hold")(b"", metadata=[("x-token", "stream")], timeout=30)
        check("first", next(stream), b"holding")
        stream.cancel()
        check_status("the stream", failure(lambda: next(stream)), grpc.StatusCode.CANCELLED)
        eventually("the server sees the cancel of a stream", lambda: peer.seen("stream") == 1)

        error = failure(lambda: peer.unary("Cancel")(b"", timeout=10))
        check_status("cancelled by the server", error, grpc.StatusCode.CANCELLED)
        check("still the same connection", peer.unary("Who")(b"", timeout=10), before)


def case_killed_and_back(server):
    unavailable = grpc.StatusCode.UNAVAILABLE
    with Server(server.command) as first, Methods(first) as peer:
        check("before", peer.unary("Echo")(b"a", timeout=10), b"a")
        stream = peer.replies("Hold")(b"", timeout=30)
        next(stream)
        call = peer.unary("Wait").future(b"20000", timeout=30)
        eventually("the call runs", lambda: peer.seen(" begins") == 1)
        began = time.monotonic()
        first.kill()
        check_status("a running call", failure(call.result), unavailable)
        check_status("a running stream", failure(lambda: next(stream)), unavailable)
        between("time until the end of running calls", 0, time.monotonic() - began, 2)
        check_status("while it is away", failure(lambda: peer.unary("Echo")(b"a", timeout=10)), unavailable)
        error = failure(lambda: peer.unary("Echo")(b"a", timeout=0.3, wait_for_ready=True))
        check_status("waiting in vain", error, grpc.StatusCode.DEADLINE_EXCEEDED)
        waiting = peer.unary("Echo").future(b"patient", timeout=30, wait_for_ready=True)
        with Server(server.command, first.port):
            check("waiting", waiting.result(), b"patient")
            check("after", peer.unary("Echo")(b"b", timeout=10), b"b")


def case_stopped_and_back(server):
    with Server(server.command) as first, Methods(first) as peer:
        check("before", peer.unary("Echo")(b"a", timeout=10), b"a")
        call = peer.unary("Wait").future(b"800", timeout=30)
        eventually("the call runs", lambda: peer.seen(" begins") == 1)
        first.stop()
        check("a call that was running", call.result(), b"waited")
        with Server(server.command, first.port):
            check("after", peer.unary("Echo")(b"b", timeout=30, wait_for_ready=True), b"b")


def case_wait_for_ready(server):
    """A channel that is older than its server."""
    with Server(server.command) as first:
        first.kill()
        with Methods(first) as peer:
            error = failure(lambda: peer.unary("Echo")(b"", timeout=10))
            check_status("nobody there", error, grpc.StatusCode.UNAVAILABLE)
            waiting = peer.unary("Echo").future(b"patient", timeout=30, wait_for_ready=True)
            stream = peer.both("Chat")(iter([b"patient"]), timeout=30, wait_for_ready=True)
            time.sleep(0.2)  # In vain: no event tells that a call goes on waiting.
            check("waiting", waiting.done(), False)
            with Server(server.command, first.port):
                check("reply", waiting.result(), b"patient")
                check("replies", list(stream), [b"patient"])


def run_cases(flags):
    cases = {name[5:]: case for name, case in globals().items() if name.startswith("case_")}
    wanted = flags.cases.split(",") if flags.cases else list(cases)
    failed = []
    with Server(flags.command) as server:
        server.command = flags.command
        for name in wanted:
            began = time.monotonic()
            try:
                cases[name](server)
            except Exception as error:  # whatever it is, the other cases are run
                failed.append(name)
                if not isinstance(error, Failure):
                    traceback.print_exc()
                print(f"FAILED {name}: {error}", flush=True)
            else:
                print(f"passed {name} ({time.monotonic() - began:.1f} s)", flush=True)
        try:
            server.stop()
        except Exception as error:
            failed.append("stop")
            print(f"FAILED stop: {error}", flush=True)
    print(f"grpcio {grpc.__version__} as client: {len(wanted)} cases, {len(failed)} failed {' '.join(failed)}")
    sys.exit(bool(failed))


def main():
    parser = argparse.ArgumentParser(description="grpcio as the other side")
    parser.add_argument("role", choices=["server", "client"])
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--max_send", type=int)
    parser.add_argument("--cases")
    split = sys.argv.index("--") if "--" in sys.argv else len(sys.argv)
    flags = parser.parse_args(sys.argv[1:split])
    flags.command = sys.argv[split + 1:]
    if flags.role == "server":
        serve(flags)
    else:
        run_cases(flags)


if __name__ == "__main__":
    main()
