//! A server's side: what it shows to clients, and what it asks of them.

use std::collections::HashMap;
use std::error::Error;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use rustls::pki_types::CertificateRevocationListDer;
use rustls::server::{ClientHello, NoClientAuth, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{KeyLogFile, RootCertStore, ServerConfig};

use super::bundle::ServerCredentials;
use super::channel::ALPN;
use super::der::{AlternativeName, Certificate};
use super::own::{self, Side};
use super::pem::error;
use super::provider::{provider, ticketer};
use super::rotation::Rotating;
use super::source::Pem;
use super::witness::{self, ClientJudge};
use crate::error::ConfigError;
use crate::tell;

/// TLS on a port's side.
#[derive(Clone)]
pub(crate) struct TlsServer(Arc<Rotating<ServerConfig>>);

/// Credentials for TLS, from PEM text: what grpc's `ssl_server_credentials` takes.
///
/// - `pairs`: of private key and certificate chain, the server's own certificate first. Which one a client is shown
///   goes by the name that it asks for (SNI): the first pair whose certificate names it, with a kind of key that the
///   client takes. Who asks for no name, or for one that none has, is shown the first.
/// - `root_certificates` and `require_client_auth`: with `true`, clients must show a certificate that one of these
///   roots has issued (mutual TLS). With `false` clients are never asked for one, and the roots are not used, as in
///   grpc; [`request_client_certificates`](ServerCredentialsBuilder::request_client_certificates) asks without
///   demanding.
///
/// # Errors
///
/// No pair; `require_client_auth` without roots; and those of [`ssl_channel_credentials`](super::ssl_channel_credentials).
///
/// ```
/// use grpc_threads::credentials::ssl_server_credentials;
///
/// let key = include_bytes!("../../tests/certs/server.key");
/// let chain = include_bytes!("../../tests/certs/server.pem");
/// let credentials = ssl_server_credentials(&[(key, chain)], None, false)?;
/// # Ok::<(), grpc_threads::ConfigError>(())
/// ```
pub fn ssl_server_credentials(
    pairs: &[(impl AsRef<[u8]>, impl AsRef<[u8]>)],
    root_certificates: Option<&[u8]>,
    require_client_auth: bool,
) -> Result<ServerCredentials, ConfigError> {
    let certificates = ssl_server_certificate_configuration(pairs, root_certificates)?;
    if root_certificates.is_some() && !require_client_auth {
        tell::warn!(
            "roots for clients are given, and require_client_auth is false: no client is asked for a certificate"
        );
    }
    let config = Arc::new(certificates.0.config(Asking::classic(require_client_auth), false)?);
    Ok(ServerCredentials::tls(TlsServer(Arc::new(Rotating::fixed(WHAT, config)))))
}

/// Certificates for [`dynamic_ssl_server_credentials`], from PEM text; the arguments are those of
/// [`ssl_server_credentials`].
///
/// # Errors
///
/// As [`ssl_server_credentials`].
pub fn ssl_server_certificate_configuration(
    pairs: &[(impl AsRef<[u8]>, impl AsRef<[u8]>)],
    root_certificates: Option<&[u8]>,
) -> Result<ServerCertificateConfiguration, ConfigError> {
    let pairs = pairs.iter().map(|(key, chain)| (key.as_ref().into(), chain.as_ref().into()));
    let recipe = Recipe {
        pairs: pairs.collect(),
        client_roots: root_certificates.map(Pem::from),
        revoked: None,
    };
    Ok(ServerCertificateConfiguration(Arc::new(recipe.load()?)))
}

/// Credentials whose certificates may change at any time: `fetcher` is asked before every handshake.
///
/// `fetcher` gives what that and later handshakes are to use, or `Ok(None)` for what there is. Where it fails or panics
/// the server goes on with what it has, and the first of a row of equal failures is told to the log. It runs on a
/// thread of the library's, one for each port, for all clients that wait: it may read a file, but should not wait for
/// long: after 5 s its clients go on with what there is, and that is told to the log. Connections that are open are not touched. A configuration that was given before may be
/// given again, and costs least when it is a clone of the last one.
///
/// # Errors
///
/// `require_client_auth` without roots in `initial`. A later configuration of that kind is a failure of `fetcher`.
///
/// ```
/// use grpc_threads::credentials::{
///     dynamic_ssl_server_credentials, ssl_server_certificate_configuration,
/// };
///
/// let key = include_bytes!("../../tests/certs/server.key");
/// let chain = include_bytes!("../../tests/certs/server.pem");
/// let initial = ssl_server_certificate_configuration(&[(key, chain)], None)?;
/// let credentials = dynamic_ssl_server_credentials(initial, || Ok(None), false)?;
/// # Ok::<(), grpc_threads::ConfigError>(())
/// ```
pub fn dynamic_ssl_server_credentials(
    initial: ServerCertificateConfiguration,
    fetcher: impl Fn() -> Fetched + Send + Sync + 'static,
    require_client_auth: bool,
) -> Result<ServerCredentials, ConfigError> {
    let asking = Asking::classic(require_client_auth);
    let first = Arc::new(initial.0.config(asking, false)?);
    // What was made last, so that the same certificates stay the same configuration, with its sessions.
    let last = crate::sync::Mutex::new((initial, Arc::clone(&first)));
    let fetch = move || {
        let Some(next) = fetcher().map_err(|failed| failed.to_string())? else { return Ok(None) };
        let known = last.lock().clone();
        if Arc::ptr_eq(&known.0.0, &next.0) {
            return Ok(Some(known.1));
        }
        let config = next.0.config(asking, false).map_err(|failed| failed.to_string())?;
        let config = Arc::new(config);
        // What was there is dropped with no lock held.
        let old = std::mem::replace(&mut *last.lock(), (next, Arc::clone(&config)));
        drop(old);
        Ok(Some(config))
    };
    Ok(ServerCredentials::tls(TlsServer(Arc::new(Rotating::fetched(WHAT, first, fetch)))))
}

/// What a fetcher gives: see [`dynamic_ssl_server_credentials`].
pub type Fetched = Result<Option<ServerCertificateConfiguration>, Box<dyn Error + Send + Sync>>;

/// Certificates of a server at one time. Made by [`ssl_server_certificate_configuration`]; cheap to clone.
#[derive(Clone)]
pub struct ServerCertificateConfiguration(Arc<Certificates>);

impl fmt::Debug for ServerCertificateConfiguration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pairs = self.0.shown.all.len();
        f.debug_struct("ServerCertificateConfiguration")
            .field("pairs", &pairs)
            .finish_non_exhaustive()
    }
}

impl ServerCredentials {
    /// Credentials for TLS with all that can be chosen.
    pub fn builder() -> ServerCredentialsBuilder {
        let recipe = Recipe { pairs: Vec::new(), client_roots: None, revoked: None };
        ServerCredentialsBuilder { recipe, asking: Asking::Never, key_log: false }
    }

    /// A configuration of rustls of your own. ALPN is set to `h2`, as gRPC needs; all else is as you made it.
    ///
    /// *Outside of this crate's promises about versions*: it takes the rustls that this crate is built with, and a
    /// release that changes that is not called a breaking one.
    #[must_use]
    pub fn unstable_from_rustls(mut config: ServerConfig) -> Self {
        config.alpn_protocols = vec![ALPN.to_vec()];
        Self::tls(TlsServer(Arc::new(Rotating::fixed(WHAT, Arc::new(config)))))
    }
}

impl TlsServer {
    /// For one handshake. That `h2` was agreed on is the caller's to check: a client that knows no ALPN is let in.
    pub(crate) fn server_config(&self) -> Arc<ServerConfig> {
        self.0.current()
    }

    /// Whether [`renew`](Self::renew) has work to do before the next handshake. Does not block.
    pub(crate) fn is_renewal_due(&self, now: Instant) -> bool {
        self.0.is_due(now)
    }

    /// Reads files that have changed, or runs the user's fetcher, which may panic: that changes nothing here, and is the
    /// caller's to contain. Blocks: not for pollers.
    pub(crate) fn renew(&self, now: Instant) {
        self.0.renew(now);
    }
}

impl fmt::Debug for TlsServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsServer").finish_non_exhaustive()
    }
}

/// Makes [`ServerCredentials`].
///
/// ```
/// use grpc_threads::credentials::{Pem, ServerCredentials};
///
/// # let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/certs");
/// let credentials = ServerCredentials::builder()
///     .pair(
///         Pem::file(format!("{folder}/server.key")), // read again when it has changed
///         Pem::file(format!("{folder}/server.pem")),
///     )
///     .request_client_certificates(Pem::file(format!("{folder}/ca.pem")))
///     .build()?;
/// # Ok::<(), grpc_threads::ConfigError>(())
/// ```
#[must_use]
#[derive(Clone, Debug)]
pub struct ServerCredentialsBuilder {
    recipe: Recipe,
    asking: Asking,
    key_log: bool,
}

impl ServerCredentialsBuilder {
    /// A private key and the chain for it, the server's own certificate first. More than one: see
    /// [`ssl_server_credentials`] for which a client is shown.
    pub fn pair(mut self, private_key: impl Into<Pem>, certificate_chain: impl Into<Pem>) -> Self {
        self.recipe.pairs.push((private_key.into(), certificate_chain.into()));
        self
    }

    /// Clients must show a certificate that one of these roots has issued (mutual TLS). The default is never to ask.
    pub fn require_client_certificates(self, roots: impl Into<Pem>) -> Self {
        self.ask(Asking::Required, roots.into())
    }

    /// Clients are asked for a certificate, and may have none: then their calls have no
    /// [`peer_identities`](super::AuthContext::peer_identities). One that none of these roots has issued, or that is
    /// out of date, is refused.
    pub fn request_client_certificates(self, roots: impl Into<Pem>) -> Self {
        self.ask(Asking::Optional, roots.into())
    }

    /// Lists of revoked certificates (`X509 CRL`) of clients. A client with one of those is refused, and so is one with
    /// a certificate in its chain whose issuer has no list among these. The default is to look at none.
    pub fn revocation_lists(mut self, lists: impl Into<Pem>) -> Self {
        self.recipe.revoked = Some(lists.into());
        self
    }

    /// Writes the secrets of each session to the file that the environment's `SSLKEYLOGFILE` names, with which Wireshark
    /// decrypts recorded traffic. **Whoever reads the file reads the calls**; without this the variable is ignored.
    pub fn key_log(mut self) -> Self {
        self.key_log = true;
        self
    }

    /// The credentials.
    ///
    /// # Errors
    ///
    /// As [`ssl_server_credentials`]; for files that cannot be read; and for revocation lists where clients are never asked.
    pub fn build(self) -> Result<ServerCredentials, ConfigError> {
        let Self { recipe, asking, key_log } = self;
        if recipe.revoked.is_some() && asking == Asking::Never {
            let told =
                "revocation lists: clients are never asked for the certificates they are about";
            return Err(error(told));
        }
        let paths = recipe.paths();
        let make = move || recipe.load()?.config(asking, key_log);
        let config = Rotating::of_files(WHAT, paths, make)?;
        Ok(ServerCredentials::tls(TlsServer(Arc::new(config))))
    }

    fn ask(mut self, asking: Asking, roots: Pem) -> Self {
        self.asking = asking;
        self.recipe.client_roots = Some(roots);
        self
    }
}

/// What clients are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asking {
    Never,
    Optional,
    Required,
}

/// All that certificates are made of.
#[derive(Clone, Debug)]
struct Recipe {
    pairs: Vec<(Pem, Pem)>,
    client_roots: Option<Pem>,
    revoked: Option<Pem>,
}

/// Checked, and ready to be used.
struct Certificates {
    shown: Arc<Shown>,
    client_roots: Option<Arc<RootCertStore>>,
    revoked: Vec<CertificateRevocationListDer<'static>>,
}

/// The pairs, and which of them have a certificate for a name, in lower case; `*.` is a wildcard.
struct Shown {
    all: Vec<Arc<CertifiedKey>>,
    by_name: HashMap<String, Vec<usize>>,
}

impl Asking {
    fn classic(require: bool) -> Self {
        if require { Self::Required } else { Self::Never }
    }
}

impl Recipe {
    fn paths(&self) -> Vec<PathBuf> {
        let pairs = self.pairs.iter().flat_map(|(key, chain)| [key, chain]);
        let all = pairs.chain(&self.client_roots).chain(&self.revoked);
        all.filter_map(Pem::path).map(Into::into).collect()
    }

    fn load(&self) -> Result<Certificates, ConfigError> {
        if self.pairs.is_empty() {
            return Err(error("pairs: none; a server needs a private key and a certificate chain"));
        }
        let mut all = Vec::with_capacity(self.pairs.len());
        for (number, (key, chain)) in (1..).zip(&self.pairs) {
            let of =
                if self.pairs.len() > 1 { format!(" of pair {number}") } else { String::new() };
            let key = key.load(&format!("private key{of}"))?;
            let chain = chain.load(&format!("certificate chain{of}"))?;
            all.push(Arc::new(own::certified_key(&key, &chain, Side::Server)?));
        }
        let client_roots = match &self.client_roots {
            Some(pem) => Some(Arc::new(own::roots(&pem.load("client roots")?)?)),
            None => None,
        };
        let revoked = match &self.revoked {
            Some(pem) => own::revocation_lists(&pem.load("revocation lists")?)?,
            None => Vec::new(),
        };
        Ok(Certificates { shown: Arc::new(Shown::new(all)), client_roots, revoked })
    }
}

impl Certificates {
    fn config(&self, asking: Asking, key_log: bool) -> Result<ServerConfig, ConfigError> {
        let failed = |why: &dyn fmt::Display| error(format!("TLS cannot be set up: {why}"));
        let builder = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(|why| failed(&why))?;
        let builder = match (asking, &self.client_roots) {
            (Asking::Never, _) => builder.with_client_cert_verifier(Arc::new(NoClientAuth)),
            (_, None) => {
                let told = "client roots: none, but clients must show a certificate";
                return Err(error(told));
            }
            (_, Some(roots)) => {
                let judge =
                    WebPkiClientVerifier::builder_with_provider(Arc::clone(roots), provider());
                let judge = judge.with_crls(self.revoked.iter().cloned());
                let judge = match asking {
                    Asking::Required => judge,
                    Asking::Optional | Asking::Never => judge.allow_unauthenticated(),
                };
                let webpki = judge.build().map_err(|why| failed(&why))?;
                let roots = Arc::clone(roots);
                builder.with_client_cert_verifier(Arc::new(ClientJudge { webpki, roots }))
            }
        };
        let shown: Arc<dyn ResolvesServerCert> = Arc::<Shown>::clone(&self.shown);
        let mut config = builder.with_cert_resolver(shown);
        config.alpn_protocols = vec![ALPN.to_vec()];
        // New keys with each configuration: a session from before the roots changed is not resumed after that.
        config.ticketer = ticketer().map_err(|why| failed(&why))?;
        // A resumed connection gives the next ticket, so one is enough.
        config.send_tls13_tickets = 1;
        // § RFC 8446 §4.4.4: a server may send data right after its Finished, to a client that it knows nothing of yet: not
        // where clients have to say who they are. rustls sees to that, too, but for sessions that are resumed.
        config.send_half_rtt_data = asking == Asking::Never;
        if key_log {
            config.key_log = Arc::new(KeyLogFile::new());
        }
        Ok(config)
    }
}

impl Shown {
    fn new(all: Vec<Arc<CertifiedKey>>) -> Self {
        let mut by_name: HashMap<String, Vec<usize>> = HashMap::new();
        for (index, pair) in all.iter().enumerate() {
            let leaf = pair.cert.first().and_then(|der| Certificate::read(der));
            let names = leaf.map(|leaf| leaf.alternative_names()).unwrap_or_default();
            for name in names {
                if let AlternativeName::Dns(name) = name {
                    by_name.entry(name.to_ascii_lowercase()).or_default().push(index);
                }
            }
        }
        Self { all, by_name }
    }

    /// The pairs to choose from, best first.
    fn candidates(&self, name: Option<&str>) -> impl Iterator<Item = &Arc<CertifiedKey>> {
        let exact = name.map(|name| name.trim_end_matches('.').to_ascii_lowercase());
        let wildcard =
            exact.as_deref().and_then(|name| Some(format!("*.{}", name.split_once('.')?.1)));
        let named = [exact, wildcard].into_iter().flatten();
        let named = named.filter_map(|name| self.by_name.get(&name)).flatten();
        named.filter_map(|index| self.all.get(*index)).chain(&self.all)
    }
}

impl ResolvesServerCert for Shown {
    fn resolve(&self, client: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        witness::note_name(client.server_name());
        let schemes = client.signature_schemes();
        let taken = |pair: &&Arc<CertifiedKey>| pair.key.choose_scheme(schemes).is_some();
        let mut candidates = self.candidates(client.server_name());
        // Where the client takes none, the first: rustls then says so in the right alert.
        candidates.find(taken).or(self.all.first()).cloned()
    }
}

impl fmt::Debug for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shown").field("pairs", &self.all.len()).finish_non_exhaustive()
    }
}

const WHAT: &str = "a server's certificates";
