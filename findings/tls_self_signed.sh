#!/usr/bin/env bash
# rustls 0.23.46 (crates.io; the TLS of tonic) beside grpcio 1.85.1 (PyPI; BoringSSL): the usual certificate for development.
#
# One would think: the self-signed certificate of `openssl req -x509`, given to the client as its only root, is accepted by
#   every gRPC client or by none: name, dates and signature are right, and the client was told to trust that very one.
# Seen: grpcio accepts it. rustls, and so tonic, refuses: `CaUsedAsEndEntity`. By default `openssl req -x509` writes
#   basicConstraints CA:TRUE, and rustls takes no CA's certificate for a server's. With `CA:FALSE` both accept it, as root
#   and as server in one.
# Why it matters: the command of many a tutorial gives a server that Python clients reach and Rust ones do not, and the error
#   speaks of a CA though nobody meant to make one. What helps is one more option:
#   -addext basicConstraints=critical,CA:FALSE
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --disable-pip-version-check grpcio==1.85.1 typing_extensions==4.16.0

certificate() {
    local name=$1
    shift
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost \
        -addext subjectAltName=DNS:localhost,IP:127.0.0.1 "$@" \
        -keyout "$work/$name.key" -out "$work/$name.pem" 2>"$work/openssl.log" || { cat "$work/openssl.log" >&2; exit 1; }
}
certificate usual
certificate leaf -addext basicConstraints=critical,CA:FALSE

export CARGO_TARGET_DIR="$work/target"
cargo new --quiet --vcs none --name tls-client --edition 2021 "$work/client"
cat >>"$work/client/Cargo.toml" <<'TOML'
rustls = { version = "=0.23.46", default-features = false, features = ["ring", "std"] }

[profile.dev]
debug = false
TOML
cat >"$work/client/src/main.rs" <<'RUST'
use std::net::TcpStream;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore};

/// Arguments: the only root, the port. Shakes hands as a gRPC client does, and says what came of it.
fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(&arguments[0]).unwrap()).unwrap();
    let mut config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];

    let mut connection = ClientConnection::new(Arc::new(config), ServerName::try_from("localhost").unwrap()).unwrap();
    let mut socket = TcpStream::connect(format!("127.0.0.1:{}", arguments[1])).unwrap();
    while connection.is_handshaking() {
        if let Err(error) = connection.complete_io(&mut socket) {
            println!("refused: {error}");
            return;
        }
    }
    println!("accepted");
}
RUST
cargo build --quiet --manifest-path "$work/client/Cargo.toml"

# Without the server's log line about the refusal.
GRPC_VERBOSITY=NONE "$work/venv/bin/python" - "$work" <<'PY'
import pathlib
import subprocess
import sys
from concurrent import futures

import grpc

work = pathlib.Path(sys.argv[1])


def verdicts(name):
    """What grpcio and rustls say to a server with the certificate `name`, which is also their only root."""
    certificate = (work / f"{name}.pem").read_bytes()
    server = grpc.server(futures.ThreadPoolExecutor(2))
    handler = grpc.unary_unary_rpc_method_handler(lambda request, context: b"")
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("demo.Tls", {"Call": handler}),))
    pair = ((work / f"{name}.key").read_bytes(), certificate)
    port = server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([pair]))
    server.start()
    credentials = grpc.ssl_channel_credentials(root_certificates=certificate)
    options = [("grpc.enable_http_proxy", 0), ("grpc.ssl_target_name_override", "localhost")]
    with grpc.secure_channel(f"127.0.0.1:{port}", credentials, options) as channel:
        try:
            channel.unary_unary("/demo.Tls/Call")(b"", timeout=30)
            grpcio = "accepted"
        except grpc.RpcError as error:
            grpcio = f"refused: {error.details()}"
    client = [str(work / "target/debug/tls-client"), str(work / f"{name}.pem"), str(port)]
    rustls = subprocess.run(client, capture_output=True, text=True, check=True, timeout=60).stdout.strip()
    server.stop(None)
    return grpcio, rustls


usual = verdicts("usual")
leaf = verdicts("leaf")
for name, (grpcio, rustls) in (("openssl req -x509", usual), ("the same with CA:FALSE", leaf)):
    print(f"{name}:\n  grpcio: {grpcio}\n  rustls: {rustls}")
same = usual[0] == "accepted" and usual[1].startswith("refused") and "CaUsedAsEndEntity" in usual[1]
same = same and leaf == ("accepted", "accepted")
sys.exit(0 if same else "CHANGED: this is no longer what was seen")
PY
