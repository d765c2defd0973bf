//! What to prove to a peer, and what to trust of it.
//!
//! Channels and ports are insecure (plain HTTP/2, for trusted networks and tests) unless credentials are given. With
//! the feature `tls`: `ssl_channel_credentials` for a channel, `ssl_server_credentials` for a server's port,
//! builders for what is beyond those, and module `certificates` about certificates for development. Without it:
//! [`local_channel_credentials`] and [`local_server_credentials`], for programs on one machine.
//!
//! What a call proves beside its connection, such as a token, are its [`CallCredentials`]: of one call, or of all calls of a
//! channel ([`composite_channel_credentials`]).
//!
//! What is wrong with a key or a certificate of one's own is said here, when the credentials are made, with what to do
//! about it. What is wrong with a peer's is said by the status of the calls that could not be made.
//!
//! Owns certificates, keys, roots and tokens as values; knows no sockets. What may block, and what runs user code, is left to
//! those who have threads for it: see `Rotating`.

mod bundle;
mod call;
#[cfg(feature = "_tls")]
pub mod certificates;
#[cfg(feature = "_tls")]
mod channel;
#[cfg(feature = "_tls")]
mod der;
#[cfg(feature = "_tls")]
mod explain;
mod identity;
#[cfg(feature = "_tls")]
mod own;
#[cfg(feature = "_tls")]
mod pem;
#[cfg(feature = "_tls")]
mod provider;
#[cfg(feature = "_tls")]
mod rotation;
#[cfg(feature = "_tls")]
mod server;
#[cfg(feature = "_tls")]
mod source;
#[cfg(feature = "_tls")]
mod witness;

pub use bundle::{
    ChannelCredentials, ServerCredentials, composite_channel_credentials,
    local_channel_credentials, local_server_credentials,
};
pub use call::{
    AuthMetadataContext, AuthMetadataPlugin, AuthMetadataReply, CallCredentials,
    access_token_call_credentials, composite_call_credentials, metadata_call_credentials,
    metadata_call_credentials_later,
};
#[cfg(feature = "_tls")]
pub use channel::{ChannelCredentialsBuilder, ssl_channel_credentials};
pub use identity::{AuthContext, PeerProcess};
#[cfg(feature = "_tls")]
pub use server::{
    Fetched, ServerCertificateConfiguration, ServerCredentialsBuilder,
    dynamic_ssl_server_credentials, ssl_server_certificate_configuration, ssl_server_credentials,
};
#[cfg(feature = "_tls")]
pub use source::Pem;

pub(crate) use bundle::{ChannelSecurity, ServerSecurity};
pub(crate) use call::{PANICKED, Part, checked};
#[cfg(feature = "_tls")]
pub(crate) use channel::TlsChannel;
#[cfg(feature = "_tls")]
pub(crate) use explain::explain;
#[cfg(feature = "_tls")]
pub(crate) use identity::Agreed;
#[cfg(feature = "_tls")]
pub(crate) use server::TlsServer;
#[cfg(feature = "_tls")]
pub(crate) use witness::{name_asked_for, was_certificate_asked_for};

#[cfg(all(test, feature = "_tls"))]
mod tests;
