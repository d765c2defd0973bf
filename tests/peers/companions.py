#!/usr/bin/env python3
"""grpcio's packages beside the call as the other side: grpcio-health-checking, grpcio-reflection, grpcio-status and grpcio-channelz.

    companions.py server           prints "listening on 127.0.0.1:N and unix:PATH"; ends when its input does
    companions.py client TARGET    runs the cases against a server

`examples/companions.rs` is the same in Rust.
"""

import concurrent.futures
import os
import sys
import tempfile
import traceback

import grpc
from google.protobuf import any_pb2, descriptor_pool, duration_pb2
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_channelz.v1 import channelz, channelz_pb2, channelz_pb2_grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import proto_reflection_descriptor_database, reflection
from grpc_status import rpc_status

MESSAGE = "süß, 100 %"
LONG = 20
Serving = health_pb2.HealthCheckResponse


def details():
    d = error_details_pb2
    found = [
        d.ErrorInfo(reason="R", domain="d", metadata={"k": "v"}),
        d.RetryInfo(retry_delay=duration_pb2.Duration(seconds=1, nanos=500_000_000)),
        d.DebugInfo(stack_entries=["f", "g"], detail="d"),
        d.QuotaFailure(violations=[d.QuotaFailure.Violation(subject="s", description="d")]),
        d.PreconditionFailure(violations=[
            d.PreconditionFailure.Violation(type="TOS", subject="s", description="d")]),
        d.BadRequest(field_violations=[d.BadRequest.FieldViolation(field="a.b", description="d")]),
        d.RequestInfo(request_id="7", serving_data="x"),
        d.ResourceInfo(resource_type="t", resource_name="n", owner="o", description="d"),
        d.Help(links=[d.Help.Link(description="d", url="u")]),
        d.LocalizedMessage(locale="de", message="zu spät"),
    ]
    packed = []
    for message in found:
        one = any_pb2.Any()
        one.Pack(message)
        packed.append(one)
    packed.append(any_pb2.Any(type_url="type.example/of.Others", value=b"\x08\x07"))
    return packed


def rich():
    return status_pb2.Status(code=code_pb2.INVALID_ARGUMENT, message=MESSAGE, details=details())


# ---------------------------------------------------------------------------------------------------------- server


def serve():
    server = grpc.server(concurrent.futures.ThreadPoolExecutor(max_workers=16))
    servicer = health.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)

    def set_(request, _):
        service, status = request.decode().split(" ")
        servicer.set(service, int(status))
        return b""

    def raw(context, code, octets):
        context.set_trailing_metadata((("grpc-status-details-bin", octets),))
        context.abort(code, "m")

    methods = {
        "Set": set_,
        "Who": lambda _, context: context.peer().encode(),
        "Fail": lambda _, context: context.abort_with_status(rpc_status.to_status(rich())),
        "Plain": lambda _, context: context.abort(grpc.StatusCode.ABORTED, "plain"),
        "Garbage": lambda _, context: raw(context, grpc.StatusCode.ABORTED, b"\xff\xff"),
        "Mismatch": lambda _, context: raw(
            context, grpc.StatusCode.ABORTED,
            status_pb2.Status(code=code_pb2.NOT_FOUND, message="m").SerializeToString()),
    }
    handlers = {name: grpc.unary_unary_rpc_method_handler(method) for name, method in methods.items()}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("companions.Control", handlers),))
    channelz.add_channelz_servicer(server)
    names = [health.SERVICE_NAME, reflection.SERVICE_NAME]
    reflection.enable_server_reflection(names, server)
    with tempfile.TemporaryDirectory() as folder:
        socket = "unix:" + os.path.join(folder, "s")
        port = server.add_insecure_port("127.0.0.1:0")
        server.add_insecure_port(socket)
        server.start()
        # For channelz: a channel with one call that went well, and one that did not.
        with grpc.insecure_channel(f"127.0.0.1:{port}") as own:
            control(own, "Who")
            failure(control, own, "Plain")
            print(f"listening on 127.0.0.1:{port} and {socket}", flush=True)
            sys.stdin.read()
        server.stop(None).wait()


# ---------------------------------------------------------------------------------------------------------- client


def expect(what, got, wanted):
    assert got == wanted, f"{what}: got {got!r}, wanted {wanted!r}"


def control(channel, method, request=b""):
    return channel.unary_unary(f"/companions.Control/{method}")(request, timeout=LONG)


def failure(call, *args, **kwargs):
    try:
        call(*args, **kwargs)
    except grpc.RpcError as error:
        return error
    raise AssertionError("it went well")


def case_health(channel, target):
    stub = health_pb2_grpc.HealthStub(channel)
    service = f"py.{len(target)}"
    request = health_pb2.HealthCheckRequest(service=service)
    check = lambda name: stub.Check(health_pb2.HealthCheckRequest(service=name), timeout=LONG).status
    expect("the whole server", check(""), Serving.SERVING)
    expect("an unknown one", failure(check, service).code(), grpc.StatusCode.NOT_FOUND)
    watch, other = stub.Watch(request, timeout=LONG), stub.Watch(request, timeout=LONG)
    expect("a watch of it", next(watch).status, Serving.SERVICE_UNKNOWN)
    expect("another", next(other).status, Serving.SERVICE_UNKNOWN)
    for status in (Serving.SERVING, Serving.NOT_SERVING, Serving.UNKNOWN):
        control(channel, "Set", f"{service} {status}".encode())
        expect("a change", next(watch).status, status)
        expect("a change, there", next(other).status, status)
        expect("a look", check(service), status)
    control(channel, "Set", f"{service}.other 1".encode())
    other.cancel()
    control(channel, "Set", f"{service} 1".encode())
    expect("nothing of others in between", next(watch).status, Serving.SERVING)
    watch.cancel()


def case_reflection(channel, _):
    database = proto_reflection_descriptor_database.ProtoReflectionDescriptorDatabase(channel)
    expect("the services", list(database.get_services()),
           ["grpc.reflection.v1.ServerReflection", "helloworld.Greeter"])
    pool = descriptor_pool.DescriptorPool(database)
    service = pool.FindServiceByName("helloworld.Greeter")
    expect("its methods", sorted(service.methods_by_name),
           ["SayHello", "SayHelloBidiStream", "SayHelloStreamReply", "SayHelloToAll"])
    message = pool.FindMessageTypeByName("helloworld.HelloRequest")
    expect("its fields", [field.name for field in message.fields], ["name"])
    expect("its file", pool.FindFileByName("helloworld.proto").package, "helloworld")
    for find in (database.FindFileByName, database.FindFileContainingSymbol):
        try:
            find("none.None")
        except KeyError:
            continue
        raise AssertionError("what nobody knows was found")
    try:
        database.FindAllExtensionNumbers("none.None")
        raise AssertionError("what nobody knows was found")
    except KeyError:
        pass


def case_status(channel, _):
    error = failure(control, channel, "Fail")
    expect("the code", error.code(), grpc.StatusCode.INVALID_ARGUMENT)
    found = rpc_status.from_call(error)
    expect("the message", found.message, MESSAGE)
    expect("the details", list(found.details), details())
    expect("the bytes", found.SerializeToString(deterministic=True), rich().SerializeToString(deterministic=True))
    expect("without details", rpc_status.from_call(failure(control, channel, "Plain")), None)
    for method in ("Garbage", "Mismatch"):
        try:
            rpc_status.from_call(failure(control, channel, method))
        except Exception as error:  # what grpcio-status raises for bytes that are none is protobuf's
            assert isinstance(error, ValueError) or "DecodeError" in type(error).__name__, repr(error)
            continue
        raise AssertionError(f"{method} was taken")


def case_channelz(channel, target):
    z, stub = channelz_pb2, channelz_pb2_grpc.ChannelzStub(channel)
    found = stub.GetServers(z.GetServersRequest(), timeout=LONG)
    expect("all servers", (len(found.server), found.end), (1, True))
    server = found.server[0]
    assert server.data.calls_started >= 3 and server.data.calls_failed >= 1, server
    assert server.data.calls_started > server.data.calls_succeeded, "this call runs"
    expect("what was first", server.data.trace.events[0].description, "created")
    id = server.ref.server_id
    again = stub.GetServer(z.GetServerRequest(server_id=id), timeout=LONG).server
    assert again.data.calls_started > server.data.calls_started
    expect("what it listens by", len(again.listen_socket), 2)
    listens = [stub.GetSocket(z.GetSocketRequest(socket_id=ref.socket_id), timeout=LONG).socket
               for ref in again.listen_socket]
    expect("kinds of addresses", sorted(one.local.WhichOneof("address") for one in listens),
           ["tcpip_address", "uds_address"])
    sockets = stub.GetServerSockets(z.GetServerSocketsRequest(server_id=id), timeout=LONG)
    expect("two connections: its own, and ours", (len(sockets.socket_ref) >= 2, sockets.end), (True, True))
    ids = [ref.socket_id for ref in sockets.socket_ref]
    expect("their order", ids, sorted(ids))
    page = stub.GetServerSockets(z.GetServerSocketsRequest(server_id=id, max_results=1), timeout=LONG)
    expect("a page", ([ref.socket_id for ref in page.socket_ref], page.end), (ids[:1], False))
    socket = stub.GetSocket(z.GetSocketRequest(socket_id=ids[-1]), timeout=LONG).socket
    assert socket.data.streams_started >= 1 and socket.data.HasField("last_remote_stream_created_timestamp")
    assert socket.data.local_flow_control_window.value > 0, socket
    if target.startswith("unix:"):
        expect("its end", socket.local.uds_address.filename, target.removeprefix("unix:"))
    else:
        expect("its end", socket.local.tcpip_address.ip_address, bytes([127, 0, 0, 1]))
    found = stub.GetTopChannels(z.GetTopChannelsRequest(), timeout=LONG)
    expect("all channels", (len(found.channel), found.end), (1, True))
    own = stub.GetChannel(
        z.GetChannelRequest(channel_id=found.channel[0].ref.channel_id), timeout=LONG).channel
    expect("its calls", (own.data.calls_started, own.data.calls_succeeded, own.data.calls_failed), (2, 1, 1))
    expect("its state", own.data.state.state, z.ChannelConnectivityState.READY)
    below = stub.GetSubchannel(
        z.GetSubchannelRequest(subchannel_id=own.subchannel_ref[0].subchannel_id), timeout=LONG).subchannel
    expect("the subchannel's calls", below.data.calls_started, 2)
    socket = stub.GetSocket(
        z.GetSocketRequest(socket_id=below.socket_ref[0].socket_id), timeout=LONG).socket
    expect("its messages", (socket.data.messages_sent, socket.data.messages_received), (2, 1))
    for name, request in (("GetServer", z.GetServerRequest(server_id=1 << 40)),
                          ("GetChannel", z.GetChannelRequest(channel_id=1 << 40)),
                          ("GetSubchannel", z.GetSubchannelRequest(subchannel_id=1 << 40)),
                          ("GetSocket", z.GetSocketRequest(socket_id=1 << 40))):
        error = failure(getattr(stub, name), request, timeout=LONG)
        expect(f"{name} of nothing", error.code(), grpc.StatusCode.NOT_FOUND)


def case_peer(channel, target):
    who = control(channel, "Who").decode()
    if target.startswith("unix:"):
        expect("who we are", who, "unix:")
    else:
        assert who.startswith("ipv4:127.0.0.1:"), who


def run(target):
    failed = 0
    with grpc.insecure_channel(target) as channel:
        for case in (case_health, case_reflection, case_status, case_channelz, case_peer):
            name = case.__name__.removeprefix("case_")
            try:
                case(channel, target)
                print(f"passed {name} ({target})", flush=True)
            except Exception:
                failed += 1
                print(f"FAILED {name} ({target})", flush=True)
                traceback.print_exc()
    return 1 if failed else 0


if __name__ == "__main__":
    if sys.argv[1:] == ["server"]:
        serve()
    elif len(sys.argv) == 3 and sys.argv[1] == "client":
        sys.exit(run(sys.argv[2]))
    else:
        sys.exit(__doc__)
