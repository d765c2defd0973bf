#!/usr/bin/env bash
# tonic 0.14.9 (crates.io), beside grpcio 1.85.1 (PyPI): what becomes of a call whose time is up.
#
# One would think: a call whose timeout runs out at the client ends with DEADLINE_EXCEEDED, as gRPC's list of status
#   codes says and grpcio does, and a timeout bounds the whole call, streams included.
# Seen: tonic's client ends it with CANCELLED "Timeout expired", by `Request::set_timeout` and by `Endpoint::timeout`.
#   And its clock stops at the response's headers: under `Endpoint::timeout` a response stream runs on to its end,
#   however long that takes. (`set_timeout` also tells the server, which may end the stream; then it is the server's code.)
# Why it matters: retries, metrics and callers that look for DEADLINE_EXCEEDED miss these, and CANCELLED is what one expects
#   of one's own cancel alone. Who bounds streams by `Endpoint::timeout` bounds only the time to the first sign of life:
#   wrap the reads in `tokio::time::timeout`.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --disable-pip-version-check grpcio==1.85.1 typing_extensions==4.16.0

export CARGO_TARGET_DIR="$work/target"
cargo new --quiet --vcs none --name tonic-timeout --edition 2021 "$work/client"
cat >>"$work/client/Cargo.toml" <<'TOML'
bytes = "=1.10.1"
tokio = { version = "=1.47.1", features = ["macros", "rt"] }
tonic = { version = "=0.14.9", default-features = false, features = ["channel", "codegen"] }

[profile.dev]
debug = false
TOML
cat >"$work/client/src/main.rs" <<'RUST'
use std::time::{Duration, Instant};

use bytes::{Buf, BufMut};
use tonic::client::Grpc;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};

const TIMEOUT: Duration = Duration::from_millis(500);

/// Messages as they are.
#[derive(Default)]
struct Raw;

impl Codec for Raw {
    type Encode = Vec<u8>;
    type Decode = Vec<u8>;
    type Encoder = Raw;
    type Decoder = Raw;

    fn encoder(&mut self) -> Raw {
        Raw
    }

    fn decoder(&mut self) -> Raw {
        Raw
    }
}

impl Encoder for Raw {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, message: Vec<u8>, out: &mut EncodeBuf<'_>) -> Result<(), Status> {
        out.put_slice(&message);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Vec<u8>;
    type Error = Status;

    fn decode(&mut self, octets: &mut DecodeBuf<'_>) -> Result<Option<Vec<u8>>, Status> {
        Ok(Some(octets.copy_to_bytes(octets.remaining()).to_vec()))
    }
}

async fn client(port: &str, timeout: Option<Duration>) -> Grpc<Channel> {
    let mut endpoint = Endpoint::from_shared(format!("http://127.0.0.1:{port}")).unwrap();
    if let Some(timeout) = timeout {
        endpoint = endpoint.timeout(timeout);
    }
    let mut client = Grpc::new(endpoint.connect().await.unwrap());
    client.ready().await.unwrap();
    client
}

async fn unary(mut client: Grpc<Channel>, request: Request<Vec<u8>>) -> String {
    match client.unary(request, PathAndQuery::from_static("/demo.Time/Never"), Raw).await {
        Ok(_) => "Ok".to_owned(),
        Err(status) => format!("{:?} {:?}", status.code(), status.message()),
    }
}

/// Arguments: the port of a server that never answers, the port of one that streams.
#[tokio::main(flavor = "current_thread")]
async fn main() {
    let ports: Vec<String> = std::env::args().skip(1).collect();

    let mut request = Request::new(Vec::new());
    request.set_timeout(TIMEOUT);
    println!("set_timeout: {}", unary(client(&ports[0], None).await, request).await);
    println!("Endpoint::timeout: {}", unary(client(&ports[0], Some(TIMEOUT)).await, Request::new(Vec::new())).await);

    let begin = Instant::now();
    let mut client = client(&ports[1], Some(TIMEOUT)).await;
    let path = PathAndQuery::from_static("/demo.Time/Stream");
    let mut stream = client.server_streaming(Request::new(Vec::new()), path, Raw).await.unwrap().into_inner();
    let mut messages = 0;
    let end = loop {
        match stream.message().await {
            Ok(Some(_)) => messages += 1,
            Ok(None) => break "Ok".to_owned(),
            Err(status) => break format!("{:?}", status.code()),
        }
    };
    let over = if begin.elapsed() > TIMEOUT * 3 { "more than three times its timeout" } else { "within its timeout" };
    println!("stream under Endpoint::timeout: {messages} messages, {end}, {over}");
}
RUST
cargo build --quiet --manifest-path "$work/client/Cargo.toml"

"$work/venv/bin/python" - "$work/target/debug/tonic-timeout" <<'PY'
import socket
import subprocess
import sys
import threading
import time
from concurrent import futures

import grpc

EXPECTED = """\
set_timeout: Cancelled "Timeout expired"
Endpoint::timeout: Cancelled "Timeout expired"
stream under Endpoint::timeout: 8 messages, Ok, more than three times its timeout
"""


def never_answer(connection):
    connection.sendall(bytes([0, 0, 0, 4, 0, 0, 0, 0, 0]))  # HTTP/2: an empty SETTINGS frame
    while connection.recv(65536):
        pass


def accept():
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=never_answer, args=(connection,), daemon=True).start()


def stream(request, context):
    for _ in range(8):
        yield b"one"
        time.sleep(0.25)


listener = socket.create_server(("127.0.0.1", 0))
threading.Thread(target=accept, daemon=True).start()
silent = listener.getsockname()[1]

server = grpc.server(futures.ThreadPoolExecutor(2))
handler = grpc.unary_stream_rpc_method_handler(stream)
server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("demo.Time", {"Stream": handler}),))
streaming = server.add_insecure_port("127.0.0.1:0")
server.start()

with grpc.insecure_channel(f"127.0.0.1:{silent}", options=[("grpc.enable_http_proxy", 0)]) as channel:
    try:
        channel.unary_unary("/demo.Time/Never")(b"", timeout=0.5)
        grpcio = "OK"
    except grpc.RpcError as error:
        grpcio = error.code().name
run = subprocess.run([sys.argv[1], str(silent), str(streaming)], capture_output=True, text=True, timeout=60)
server.stop(None)
print(f"a timeout of 500 ms, grpcio: {grpcio}")
print("tonic:\n" + run.stdout + run.stderr, end="")
sys.exit(0 if (run.stdout, grpcio) == (EXPECTED, "DEADLINE_EXCEEDED") else "CHANGED: this is no longer what was seen")
PY
