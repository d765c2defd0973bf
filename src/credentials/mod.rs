//! What to prove to a peer, and what to trust of it.
//!
//! Channels and ports are insecure (plain HTTP/2, for trusted networks and tests) unless credentials are given. With
//! the feature `tls`: `ssl_channel_credentials` for a channel, `ssl_server_credentials` for a server's port,
//! builders for what is beyond those, and module `certificates` about certificates for development.
//!
//! What is wrong with a key or a certificate of one's own is said here, when the credentials are made, with what to do
//! about it. What is wrong with a peer's is said by the status of the calls that could not be made.
//!
//! Owns certificates, keys and roots as values; knows no sockets. What may block, and what runs user code, is left to
//! those who have threads for it: see `Rotating`.

#![allow(dead_code, unused_imports, reason = "what the transport takes is not wired to it yet")]

#[cfg(feature = "tls")]
pub mod certificates;
#[cfg(feature = "tls")]
mod channel;
#[cfg(feature = "tls")]
mod der;
#[cfg(feature = "tls")]
mod explain;
mod identity;
#[cfg(feature = "tls")]
mod own;
#[cfg(feature = "tls")]
mod pem;
#[cfg(feature = "tls")]
mod provider;
#[cfg(feature = "tls")]
mod rotation;
#[cfg(feature = "tls")]
mod server;
#[cfg(feature = "tls")]
mod source;
#[cfg(feature = "tls")]
mod witness;

#[cfg(feature = "tls")]
pub use channel::{ChannelCredentials, ChannelCredentialsBuilder, ssl_channel_credentials};
pub use identity::AuthContext;
#[cfg(feature = "tls")]
pub use server::{
    Fetched, ServerCertificateConfiguration, ServerCredentials, ServerCredentialsBuilder,
    dynamic_ssl_server_credentials, ssl_server_certificate_configuration, ssl_server_credentials,
};
#[cfg(feature = "tls")]
pub use source::Pem;

#[cfg(feature = "tls")]
pub(crate) use explain::explain;
#[cfg(feature = "tls")]
pub(crate) use identity::Agreed;
#[cfg(feature = "tls")]
pub(crate) use provider::provider;
#[cfg(feature = "tls")]
pub(crate) use witness::{name_asked_for, was_certificate_asked_for};

#[cfg(all(test, feature = "tls"))]
mod tests;
