//! What a channel and a server's port are secured by: TLS, or that the peer is on this machine; and what a channel's calls prove.

use std::fmt;

use super::call::{CallCredentials, composite_call_credentials};
#[cfg(feature = "_tls")]
use super::channel::TlsChannel;
#[cfg(feature = "_tls")]
use super::server::TlsServer;

/// What a secure channel proves to servers, and which servers it trusts. Made by `ssl_channel_credentials` (TLS, with
/// the feature `tls`), by its builder with what that does not offer, by [`local_channel_credentials`], and with call credentials
/// by [`composite_channel_credentials`].
///
/// Cheap to clone, and for any number of channels. Channels with clones of the same credentials resume each other's TLS
/// sessions. Keys and tokens never show in `Debug`, errors or logs.
#[derive(Clone)]
pub struct ChannelCredentials {
    security: ChannelSecurity,
    calls: Option<CallCredentials>,
}

/// How a channel's connections are secured.
#[derive(Clone, Debug)]
pub(crate) enum ChannelSecurity {
    /// They do not leave the machine.
    Local,
    #[cfg(feature = "_tls")]
    Tls(TlsChannel),
}

/// What a secure port shows to clients, and whether it asks them for a certificate. Made by `ssl_server_credentials`,
/// `dynamic_ssl_server_credentials`, by their builder with what those do not offer (TLS, with the feature `tls`), and by
/// [`local_server_credentials`].
///
/// Cheap to clone, and for any number of ports. Keys never show in `Debug`, errors or logs.
#[derive(Clone)]
pub struct ServerCredentials {
    security: ServerSecurity,
}

/// How a port's connections are secured.
#[derive(Clone, Debug)]
pub(crate) enum ServerSecurity {
    /// Clients are on this machine.
    Local,
    #[cfg(feature = "_tls")]
    Tls(TlsServer),
}

/// Credentials for a server on this machine, without encryption: what grpc's `local_channel_credentials` takes for
/// `LOCAL_TCP`, its default.
///
/// Plain HTTP/2, to loopback addresses only (127.0.0.0/8, `::1`); of a name with several addresses, the others are left out. A
/// target with none of them cannot be connected to: calls end with `UNAVAILABLE` and say so. As in grpc, call credentials may
/// be sent over it: nobody on the way can read them. **Whoever may listen on this machine's ports can be the server.** For
/// tests, and for programs side by side. A server needs no credentials of that kind for it: its insecure ports answer, too.
///
/// ```
/// use grpc_threads::credentials::{
///     access_token_call_credentials, composite_channel_credentials, local_channel_credentials,
/// };
///
/// let token = access_token_call_credentials("4711")?;
/// let credentials = composite_channel_credentials(&local_channel_credentials(), [token]);
/// let channel = grpc_threads::secure_channel("localhost:50051", &credentials)?;
/// # Ok::<(), grpc_threads::ConfigError>(())
/// ```
#[must_use]
pub fn local_channel_credentials() -> ChannelCredentials {
    ChannelCredentials { security: ChannelSecurity::Local, calls: None }
}

/// Credentials for a port that clients of this machine alone may use, without encryption: what grpc's
/// `local_server_credentials` takes for `LOCAL_TCP`, its default.
///
/// Plain HTTP/2. A client that comes from another than a loopback address is cut off before anything of it is read, and told
/// to the log at `debug`. The port may be bound to any address.
#[must_use]
pub fn local_server_credentials() -> ServerCredentials {
    ServerCredentials { security: ServerSecurity::Local }
}

/// Channel credentials whose channels send what `calls` give with every call: in their order, behind those that the
/// channel's credentials have already, and in front of the call's own.
#[must_use]
pub fn composite_channel_credentials(
    channel: &ChannelCredentials,
    calls: impl IntoIterator<Item = CallCredentials>,
) -> ChannelCredentials {
    let calls = composite_call_credentials(channel.calls.clone().into_iter().chain(calls));
    ChannelCredentials { security: channel.security.clone(), calls: Some(calls) }
}

impl ChannelCredentials {
    pub(crate) fn security(&self) -> &ChannelSecurity {
        &self.security
    }

    /// What all calls of the channel prove.
    pub(crate) fn calls(&self) -> Option<&CallCredentials> {
        self.calls.as_ref()
    }

    #[cfg(feature = "_tls")]
    pub(super) fn tls(tls: TlsChannel) -> Self {
        Self { security: ChannelSecurity::Tls(tls), calls: None }
    }
}

impl ServerCredentials {
    pub(crate) fn security(&self) -> &ServerSecurity {
        &self.security
    }

    #[cfg(feature = "_tls")]
    pub(super) fn tls(tls: TlsServer) -> Self {
        Self { security: ServerSecurity::Tls(tls) }
    }
}

/// It tells nothing of keys and tokens.
impl fmt::Debug for ChannelCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChannelCredentials").finish_non_exhaustive()
    }
}

/// It tells nothing of keys.
impl fmt::Debug for ServerCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerCredentials").finish_non_exhaustive()
    }
}

/// For tests, which know that it is TLS.
#[cfg(all(test, feature = "_tls"))]
impl ChannelCredentials {
    pub(crate) fn inside(&self) -> &TlsChannel {
        let ChannelSecurity::Tls(tls) = &self.security else { unreachable!("not TLS") };
        tls
    }
}

/// For tests, which know that it is TLS.
#[cfg(all(test, feature = "_tls"))]
impl ServerCredentials {
    pub(crate) fn inside(&self) -> &TlsServer {
        let ServerSecurity::Tls(tls) = &self.security else { unreachable!("not TLS") };
        tls
    }
}
