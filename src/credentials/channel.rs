//! A channel's side: which servers to trust, and what to show them.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::{ClientConfig, KeyLogFile, RootCertStore};

use super::bundle::ChannelCredentials;
use super::own::{self, Side};
use super::pem::error;
use super::provider::provider;
use super::rotation::Rotating;
use super::source::Pem;
use super::witness::{ServerJudge, Shows};
use crate::error::ConfigError;

/// TLS on a channel's side. Clones resume each other's sessions.
#[derive(Clone)]
pub(crate) struct TlsChannel(Arc<Rotating<ClientConfig>>);

/// Credentials for TLS, from PEM text: what grpc's `ssl_channel_credentials` takes.
///
/// - `root_certificates`: whom to trust to have issued servers' certificates. `None`: the roots of the system, or those
///   in the file that `SSL_CERT_FILE` and the folders that `SSL_CERT_DIR` name. A server that is to be trusted by its
///   own certificate alone needs one that is self-signed and not a CA's: see [`certificates`](super::certificates).
/// - `private_key` and `certificate_chain`: what to show to servers that ask for a certificate (mutual TLS); both or none.
///   The chain begins with the client's own certificate, its issuers follow.
///
/// For files that are read again when they change, and for more than this, see [`ChannelCredentials::builder`].
///
/// # Errors
///
/// Of the kind [`Credentials`](crate::ConfigErrorKind::Credentials): text that is no PEM or empty, blocks that are
/// garbled, a key that is encrypted, of a kind that is not supported, or another's than the first certificate's; a key
/// without a chain or the reverse. The text names the argument and the block, and says what to do.
///
/// ```
/// use grpc_threads::credentials::ssl_channel_credentials;
///
/// let roots = include_bytes!("../../tests/certs/ca.pem");
/// let credentials = ssl_channel_credentials(Some(roots), None, None)?;
///
/// let error = ssl_channel_credentials(Some(b"ca.pem"), None, None).unwrap_err();
/// assert!(error.to_string().starts_with("roots: no PEM in it"));
/// # Ok::<(), grpc_threads::ConfigError>(())
/// ```
pub fn ssl_channel_credentials(
    root_certificates: Option<&[u8]>,
    private_key: Option<&[u8]>,
    certificate_chain: Option<&[u8]>,
) -> Result<ChannelCredentials, ConfigError> {
    let mut builder = ChannelCredentials::builder();
    if let Some(roots) = root_certificates {
        builder = builder.roots(roots);
    }
    match (private_key, certificate_chain) {
        (Some(key), Some(chain)) => builder = builder.identity(key, chain),
        (None, None) => {}
        (Some(_), None) => return Err(error("certificate chain: none, but a private key")),
        (None, Some(_)) => return Err(error("private key: none, but a certificate chain")),
    }
    builder.build()
}

impl ChannelCredentials {
    /// Credentials for TLS with all that can be chosen.
    pub fn builder() -> ChannelCredentialsBuilder {
        ChannelCredentialsBuilder { recipe: Recipe::default() }
    }

    /// A configuration of rustls of your own. ALPN is set to `h2`, as gRPC needs; all else is as you made it: the
    /// certificates that it takes, the versions, the sessions.
    ///
    /// *Outside of this crate's promises about versions*: it takes the rustls that this crate is built with, and a
    /// release that changes that is not called a breaking one.
    #[must_use]
    pub fn unstable_from_rustls(mut config: ClientConfig) -> Self {
        config.alpn_protocols = vec![ALPN.to_vec()];
        Self::tls(TlsChannel(Arc::new(Rotating::fixed(WHAT, Arc::new(config)))))
    }
}

impl TlsChannel {
    /// For one handshake. The name of the target is the caller's to give, and that `h2` was agreed on is its to check: a
    /// server that knows no ALPN is let in.
    pub(crate) fn client_config(&self) -> Arc<ClientConfig> {
        self.0.current()
    }

    /// Whether [`renew`](Self::renew) has work to do before the next handshake. Does not block.
    pub(crate) fn is_renewal_due(&self, now: Instant) -> bool {
        self.0.is_due(now)
    }

    /// Reads files that have changed. Blocks: not for pollers.
    pub(crate) fn renew(&self, now: Instant) {
        self.0.renew(now);
    }
}

impl fmt::Debug for TlsChannel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsChannel").finish_non_exhaustive()
    }
}

/// Makes [`ChannelCredentials`].
///
/// ```
/// use grpc_threads::credentials::{ChannelCredentials, Pem};
///
/// # let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/certs");
/// let credentials = ChannelCredentials::builder()
///     .roots(Pem::file(format!("{folder}/ca.pem"))) // read again when it has changed
///     .identity(
///         Pem::file(format!("{folder}/client.key")),
///         Pem::file(format!("{folder}/client.pem")),
///     )
///     .build()?;
/// # Ok::<(), grpc_threads::ConfigError>(())
/// ```
#[must_use]
#[derive(Clone, Debug)]
pub struct ChannelCredentialsBuilder {
    recipe: Recipe,
}

impl ChannelCredentialsBuilder {
    /// Whom to trust to have issued servers' certificates. The default is the system's roots (see
    /// [`ssl_channel_credentials`]).
    pub fn roots(mut self, roots: impl Into<Pem>) -> Self {
        self.recipe.roots = Roots::Given(roots.into());
        self
    }

    /// Trusts Mozilla's roots, as they were when the crate `webpki-roots` was published: for machines that have none of
    /// their own. They age with the program, so the system's are better where there are some.
    #[cfg(feature = "tls-webpki-roots")]
    pub fn webpki_roots(mut self) -> Self {
        self.recipe.roots = Roots::Mozilla;
        self
    }

    /// What to show to servers that ask for a certificate (mutual TLS): a key, and the chain for it, the client's own
    /// certificate first. The default is nothing, with which such servers end the connection.
    pub fn identity(
        mut self,
        private_key: impl Into<Pem>,
        certificate_chain: impl Into<Pem>,
    ) -> Self {
        self.recipe.identity = Some((private_key.into(), certificate_chain.into()));
        self
    }

    /// Lists of revoked certificates (`X509 CRL`). A server with one of those is refused, and so is one with a
    /// certificate in its chain whose issuer has no list among these. The default is to look at none.
    pub fn revocation_lists(mut self, lists: impl Into<Pem>) -> Self {
        self.recipe.revoked = Some(lists.into());
        self
    }

    /// Writes the secrets of each session to the file that the environment's `SSLKEYLOGFILE` names, with which
    /// Wireshark decrypts recorded traffic. **Whoever reads the file reads the calls**; without this the variable is
    /// ignored.
    pub fn key_log(mut self) -> Self {
        self.recipe.key_log = true;
        self
    }

    /// How many TLS sessions are kept to be resumed, by all channels of these credentials: eight for each server, of a few hundred bytes
    /// each; those of the server that was longest not connected to go first. 0: none, every handshake is a whole one.
    /// Default: 256. § gRPC's `grpc.ssl_session_cache`, which is an option of the channel there.
    pub fn session_cache(mut self, sessions: usize) -> Self {
        self.recipe.sessions = Some(sessions);
        self
    }

    /// The credentials.
    ///
    /// # Errors
    ///
    /// As [`ssl_channel_credentials`]; and for files that cannot be read.
    pub fn build(self) -> Result<ChannelCredentials, ConfigError> {
        let recipe = self.recipe;
        let paths = recipe.paths();
        let config = Rotating::of_files(WHAT, paths, move || recipe.make())?;
        Ok(ChannelCredentials::tls(TlsChannel(Arc::new(config))))
    }
}

/// All that a configuration is made of.
#[derive(Clone, Debug, Default)]
struct Recipe {
    roots: Roots,
    identity: Option<(Pem, Pem)>,
    revoked: Option<Pem>,
    key_log: bool,
    /// `None`: as many as is usual.
    sessions: Option<usize>,
}

#[derive(Clone, Debug, Default)]
enum Roots {
    #[default]
    System,
    #[cfg(feature = "tls-webpki-roots")]
    Mozilla,
    Given(Pem),
}

impl Recipe {
    fn paths(&self) -> Vec<std::path::PathBuf> {
        let roots = match &self.roots {
            Roots::Given(pem) => Some(pem),
            _ => None,
        };
        let identity = self.identity.iter().flat_map(|(key, chain)| [key, chain]);
        let all = roots.into_iter().chain(identity).chain(&self.revoked);
        all.filter_map(Pem::path).map(Into::into).collect()
    }

    fn make(&self) -> Result<ClientConfig, ConfigError> {
        let roots = Arc::new(self.roots.load()?);
        let builder = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(|failed| error(format!("TLS cannot be set up: {failed}")))?;
        let revoked = match &self.revoked {
            Some(pem) => own::revocation_lists(&pem.load("revocation lists")?)?,
            None => Vec::new(),
        };
        let webpki = WebPkiServerVerifier::builder_with_provider(Arc::clone(&roots), provider())
            .with_crls(revoked)
            .build()
            .map_err(|failed| error(format!("roots: {failed}")))?;
        let identity = match &self.identity {
            Some((key, chain)) => {
                let (key, chain) = (key.load("private key")?, chain.load("certificate chain")?);
                Some(Arc::new(own::certified_key(&key, &chain, Side::Client)?))
            }
            None => None,
        };
        let mut config = builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(ServerJudge { webpki, roots }))
            .with_client_cert_resolver(Arc::new(Shows(identity)));
        config.alpn_protocols = vec![ALPN.to_vec()];
        config.resumption = match self.sessions.unwrap_or(SESSIONS) {
            0 => Resumption::disabled(),
            sessions => Resumption::in_memory_sessions(sessions.min(MOST_SESSIONS)),
        };
        if self.key_log {
            config.key_log = Arc::new(KeyLogFile::new());
        }
        Ok(config)
    }
}

impl Roots {
    fn load(&self) -> Result<RootCertStore, ConfigError> {
        match self {
            Self::System => own::system_roots(),
            #[cfg(feature = "tls-webpki-roots")]
            Self::Mozilla => Ok(RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() }),
            Self::Given(pem) => own::roots(&pem.load("roots")?),
        }
    }
}

/// What gRPC is spoken over (RFC 9113 § 3.2).
pub(super) const ALPN: &[u8] = b"h2";
/// Sessions that are kept to be resumed: eight tickets of a few hundred octets for each server.
const SESSIONS: usize = 256;
/// More make no sense, and room for them is made at once.
const MOST_SESSIONS: usize = 1 << 20;
const WHAT: &str = "a channel's credentials";
