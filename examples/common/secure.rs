//! TLS for the examples that offer it as a flag: with the feature `tls`. Built without it they say so where it is asked for.

#![allow(dead_code, reason = "client and server use a part each")]

use std::error::Error;

use grpc_threads::{ChannelBuilder, ChannelCredentials, Server};

type Failure = Box<dyn Error + Send + Sync>;

/// Listens with TLS; the certificate and its key are files.
#[cfg(feature = "_tls")]
pub(crate) fn listen(
    server: &Server,
    address: &str,
    (certificate, key): (&str, &str),
) -> Result<u16, Failure> {
    use grpc_threads::credentials::{Pem, ServerCredentials};

    let credentials =
        ServerCredentials::builder().pair(Pem::file(key), Pem::file(certificate)).build()?;
    Ok(server.add_secure_port(address, &credentials)?)
}

/// TLS that trusts these roots, or the system's. Channels resume each other's sessions where they are given the same.
#[cfg(feature = "_tls")]
pub(crate) fn trusting(roots: Option<&[u8]>) -> Result<ChannelCredentials, Failure> {
    Ok(grpc_threads::ssl_channel_credentials(roots, None, None)?)
}

/// Makes the channel call the server by a name that is in its certificate.
#[cfg(feature = "_tls")]
pub(crate) fn call_it(channel: ChannelBuilder, name: &str) -> ChannelBuilder {
    channel.ssl_target_name_override(name)
}

#[cfg(not(feature = "_tls"))]
pub(crate) fn listen(_: &Server, _: &str, _: (&str, &str)) -> Result<u16, Failure> {
    Err(NOT_BUILT.into())
}

#[cfg(not(feature = "_tls"))]
pub(crate) fn trusting(_: Option<&[u8]>) -> Result<ChannelCredentials, Failure> {
    Err(NOT_BUILT.into())
}

#[cfg(not(feature = "_tls"))]
pub(crate) fn call_it(channel: ChannelBuilder, _: &str) -> ChannelBuilder {
    channel
}

const NOT_BUILT: &str =
    "TLS is asked for, and this program was built without it: cargo build --features tls";
