//! The other side of `tests/peers/companions.py`: health, reflection, errors with details and channelz, against grpcio's packages for them.
//!
//! `companions --serve` serves all of it on a free port of 127.0.0.1 and on a UNIX socket, prints both, and ends with its input.
//! `companions --call=TARGET` runs the cases against a server, and exits 0 if none failed.

mod common {
    pub(crate) mod flags;
    pub(crate) mod helloworld;
}

use std::error::Error;
use std::io::Read;
use std::time::Duration;

use bytes::Bytes;
use common::flags::Flags;
use common::helloworld::FILE_DESCRIPTOR_SET;
use grpc_threads::channelz::{
    ChannelzServicer, ChannelzStub, GetChannelRequest, GetServerRequest, GetServerSocketsRequest,
    GetServersRequest, GetSocketRequest, GetSubchannelRequest, GetTopChannelsRequest,
};
use grpc_threads::health::{HealthCheckRequest, HealthServicer, HealthStub, ServingStatus};
use grpc_threads::reflection::{DescriptorDatabase, SERVICE_NAME, ServerReflection};
use grpc_threads::rpc_status::{
    Any, BadRequest, DebugInfo, Detail, ErrorInfo, FieldViolation, Help, Link, LocalizedMessage,
    PreconditionFailure, PreconditionViolation, QuotaFailure, QuotaViolation, RequestInfo,
    ResourceInfo, RetryInfo, RpcStatus,
};
use grpc_threads::{
    Channel, Code, Raw, RpcMethodHandler, Service, ServicerContext, Status, ThreadPool,
    insecure_channel, unary_unary_rpc_method_handler_with,
};

type Outcome = Result<(), Box<dyn Error>>;
type Case = (&'static str, fn(&Channel, &str) -> Outcome);

fn main() -> Outcome {
    let flags = Flags::parse(
        "The other side of tests/peers/companions.py.",
        &[("serve", "serve until the input ends"), ("call", "run the cases against this target")],
    );
    match flags.get("call") {
        Some(target) => call(&insecure_channel(target)?, target),
        None => serve(),
    }
}

const MESSAGE: &str = "süß, 100 %";

/// One of each, as companions.py has them.
fn details() -> Vec<Detail> {
    let text = String::from;
    let quota =
        QuotaViolation { subject: text("s"), description: text("d"), ..QuotaViolation::default() };
    let precondition =
        PreconditionViolation { kind: text("TOS"), subject: text("s"), description: text("d") };
    let field =
        FieldViolation { field: text("a.b"), description: text("d"), ..FieldViolation::default() };
    let resource = ResourceInfo {
        resource_type: text("t"),
        resource_name: text("n"),
        owner: text("o"),
        description: text("d"),
    };
    let metadata = [(text("k"), text("v"))].into();
    vec![
        ErrorInfo { reason: text("R"), domain: text("d"), metadata }.into(),
        RetryInfo { retry_delay: Some(Duration::from_millis(1_500).into()) }.into(),
        DebugInfo { stack_entries: vec![text("f"), text("g")], detail: text("d") }.into(),
        QuotaFailure { violations: vec![quota] }.into(),
        PreconditionFailure { violations: vec![precondition] }.into(),
        BadRequest { field_violations: vec![field] }.into(),
        RequestInfo { request_id: text("7"), serving_data: text("x") }.into(),
        resource.into(),
        Help { links: vec![Link { description: text("d"), url: text("u") }] }.into(),
        LocalizedMessage { locale: text("de"), message: text("zu spät") }.into(),
        Detail::Other(Any {
            type_url: text("type.example/of.Others"),
            value: Bytes::from_static(b"\x08\x07"),
        }),
    ]
}

fn unary(
    behaviour: impl Fn(Bytes, &ServicerContext) -> Result<Bytes, Status> + Send + Sync + 'static,
) -> RpcMethodHandler {
    unary_unary_rpc_method_handler_with(behaviour, Raw, Raw)
}

fn serve() -> Outcome {
    let health = HealthServicer::new();
    let own = health.clone();
    let steering = Service::new("companions.Control")
        // "service status": a number.
        .method(
            "Set",
            unary(move |request, _| {
                let text = String::from_utf8_lossy(&request).into_owned();
                let (service, status) =
                    text.split_once(' ').ok_or_else(|| Status::invalid_argument(text.clone()))?;
                let status = status.parse().map_err(|_| Status::invalid_argument("no number"))?;
                own.set(service, ServingStatus::from_i32(status));
                Ok(Bytes::new())
            }),
        )
        .method("Who", unary(|_, context| Ok(context.peer().into())))
        .method(
            "Fail",
            unary(|_, _| Err(Status::invalid_argument(MESSAGE).with_rpc_details(details()))),
        )
        .method("Plain", unary(|_, _| Err(Status::aborted("plain"))))
        .method(
            "Garbage",
            unary(|_, _| Err(Status::aborted("m").with_details(Bytes::from_static(b"\xff\xff")))),
        )
        .method(
            "Mismatch",
            unary(|_, _| {
                let other = RpcStatus::new(Code::NotFound, "m").to_status()?;
                Err(Status::aborted("m").with_details(other.details().to_vec()))
            }),
        );
    let server = grpc_threads::server(ThreadPool::new(8));
    server.add_service(steering)?;
    health.add_to(&server)?;
    ChannelzServicer::new().add_to(&server)?;
    ServerReflection::new([FILE_DESCRIPTOR_SET])?
        .services(["helloworld.Greeter", SERVICE_NAME])
        .add_to(&server)?;
    let port = server.add_insecure_port("127.0.0.1:0")?;
    let path = std::env::temp_dir().join(format!("grpc-threads-companions-{}", std::process::id()));
    let socket = format!("unix:{}", path.display());
    server.add_insecure_port(&socket)?;
    server.start()?;
    // For channelz: a channel with one call that went well, and one that did not.
    let own = insecure_channel(&format!("127.0.0.1:{port}"))?;
    control(&own, "Who", "")?;
    expect("a failure", control(&own, "Plain", "").is_err(), true)?;
    println!("listening on 127.0.0.1:{port} and {socket}");
    std::io::stdin().read_to_end(&mut Vec::new())?;
    server.stop(Duration::from_secs(10)).wait(Duration::from_secs(20))?;
    Ok(())
}

fn call(channel: &Channel, target: &str) -> Outcome {
    let cases: [Case; 5] = [
        ("health", health),
        ("reflection", reflection),
        ("status", status),
        ("channelz", channelz),
        ("peer", peer),
    ];
    let mut failed = 0;
    for (name, case) in cases {
        match case(channel, target) {
            Ok(()) => println!("passed {name} ({target})"),
            Err(error) => {
                failed += 1;
                println!("FAILED {name} ({target}): {error}");
            }
        }
    }
    if failed > 0 { Err(format!("{failed} cases failed").into()) } else { Ok(()) }
}

/// A method of the server's control.
fn control(channel: &Channel, method: &str, request: &str) -> Result<Bytes, Status> {
    let method = channel.unary_unary_with(&format!("/companions.Control/{method}"), Raw)?;
    method.timeout(LONG).call(&Bytes::copy_from_slice(request.as_bytes()))
}

const LONG: Duration = Duration::from_secs(20);

fn expect<T: PartialEq + std::fmt::Debug>(what: &str, got: T, wanted: T) -> Outcome {
    if got == wanted {
        Ok(())
    } else {
        Err(format!("{what}: got {got:?}, wanted {wanted:?}").into())
    }
}

fn health(channel: &Channel, target: &str) -> Outcome {
    let stub = HealthStub::new(channel);
    let service = format!("of.{}", target.len());
    let of = |service: &str| HealthCheckRequest { service: service.into() };
    let check = |service: &str| {
        Ok::<_, Status>(stub.check.timeout(LONG).call(&of(service))?.serving_status())
    };
    expect("the whole server", check("")?, ServingStatus::Serving)?;
    expect("an unknown one", check(&service).map_err(|error| error.code()), Err(Code::NotFound))?;
    let mut watch = stub.watch.call(&of(&service))?;
    let mut next = || -> Result<ServingStatus, Box<dyn Error>> {
        Ok(watch.recv_timeout(LONG)?.ok_or("the watch has ended")?.serving_status())
    };
    expect("a watch of it", next()?, ServingStatus::ServiceUnknown)?;
    for status in [ServingStatus::Serving, ServingStatus::NotServing, ServingStatus::Unknown] {
        control(channel, "Set", &format!("{service} {}", status as i32))?;
        expect("a change", next()?, status)?;
        expect("a look", check(&service)?, status)?;
    }
    Ok(())
}

fn reflection(channel: &Channel, _: &str) -> Outcome {
    let database = DescriptorDatabase::new(channel);
    let services = database.services()?;
    let health = "grpc.health.v1.Health";
    for service in services.iter().filter(|service| !service.starts_with("grpc.reflection")) {
        let set = database.descriptor_set(service)?;
        expect("a set", set.is_empty(), false)?;
    }
    if services.iter().any(|service| service == health) {
        let by_symbol =
            database.file_containing_symbol("grpc.health.v1.HealthCheckRequest.service")?;
        let by_service = database.file_containing_symbol(health)?;
        expect("by its fields", by_symbol, by_service)?;
    }
    for unknown in [database.file("none.proto"), database.file_containing_symbol("none.None")] {
        expect("what is unknown", unknown.map_err(|error| error.code()), Err(Code::NotFound))?;
    }
    let numbers = database.all_extension_numbers("none.None").map_err(|error| error.code());
    expect("extensions of what is unknown", numbers, Err(Code::NotFound))
}

fn status(channel: &Channel, _: &str) -> Outcome {
    let fail = |method: &str| match control(channel, method, "") {
        Ok(_) => Err(format!("{method} went well")),
        Err(status) => Ok(status),
    };
    let rich = fail("Fail")?;
    expect("the code", rich.code(), Code::InvalidArgument)?;
    expect("the message", rich.message(), MESSAGE)?;
    expect("the details", rich.rpc_details()?, details())?;
    expect("without details", RpcStatus::from_status(&fail("Plain")?)?, None)?;
    let garbage = RpcStatus::from_status(&fail("Garbage")?).map_err(|error| error.to_string());
    expect("garbage", garbage.is_err_and(|text| text.contains("could not be decoded")), true)?;
    let mismatch = RpcStatus::from_status(&fail("Mismatch")?).map_err(|error| error.to_string());
    expect("a mismatch", mismatch.is_err_and(|text| text.contains("code is 10, and 5")), true)
}

fn channelz(channel: &Channel, _: &str) -> Outcome {
    let stub = ChannelzStub::new(channel);
    let servers = stub.get_servers.timeout(LONG).call(&GetServersRequest::default())?;
    let server = servers.server.first().and_then(|server| server.r#ref.clone());
    let server_id = server.ok_or("no server")?.server_id;
    expect("a number", server_id > 0, true)?;
    let found = stub.get_server.timeout(LONG).call(&GetServerRequest { server_id })?;
    let found = found.server.ok_or("no server")?;
    let data = found.data.ok_or("no data of the server")?;
    expect("calls", data.calls_started >= 3 && data.calls_failed >= 1, true)?;
    expect("sockets that listen", found.listen_socket.is_empty(), false)?;
    let request = GetServerSocketsRequest { server_id, ..Default::default() };
    let sockets = stub.get_server_sockets.timeout(LONG).call(&request)?.socket_ref;
    let last = sockets.last().ok_or("no connection")?.socket_id;
    let request = GetSocketRequest { socket_id: last, summary: false };
    let socket = stub.get_socket.timeout(LONG).call(&request)?.socket.ok_or("no socket")?;
    let data = socket.data.ok_or("no data of the socket")?;
    expect("streams", data.streams_started >= 1 && data.messages_received >= 1, true)?;
    let request = GetTopChannelsRequest::default();
    let channels = stub.get_top_channels.timeout(LONG).call(&request)?.channel;
    // grpcio counts those of one process together, whoever made them.
    let own = channels.iter().find(|one| one.data.as_ref().is_some_and(|d| d.calls_started == 2));
    let own = own.and_then(|own| own.r#ref.clone()).ok_or("not the channel with two calls")?;
    let request = GetChannelRequest { channel_id: own.channel_id };
    let own = stub.get_channel.timeout(LONG).call(&request)?.channel.ok_or("no channel")?;
    let data = own.data.ok_or("no data of the channel")?;
    let counts = (data.calls_started, data.calls_succeeded, data.calls_failed);
    expect("its calls", counts, (2, 1, 1))?;
    for below in &own.subchannel_ref {
        let request = GetSubchannelRequest { subchannel_id: below.subchannel_id };
        let found = stub.get_subchannel.timeout(LONG).call(&request)?.subchannel;
        expect("a subchannel", found.and_then(|found| found.data).is_some(), true)?;
    }
    let none = stub.get_channel.timeout(LONG).call(&GetChannelRequest { channel_id: 1 << 40 });
    expect("what is unknown", none.map_err(|error| error.code()).err(), Some(Code::NotFound))
}

fn peer(channel: &Channel, target: &str) -> Outcome {
    let who = String::from_utf8(control(channel, "Who", "")?.to_vec())?;
    let kind = if target.starts_with("unix:") { "unix:" } else { "ipv4:127.0.0.1:" };
    expect("who we are", who.starts_with(kind), true)
}
