//! What a channel goes by: [`Settings`], what they are by default, and what they may be.

#[cfg(feature = "_tls")]
use std::sync::Arc;
use std::time::Duration;

use crate::bounds::within;
use crate::call::client::{Defaults, Kept};
use crate::compression::Compression;
#[cfg(feature = "_tls")]
use crate::credentials::TlsChannel;
use crate::credentials::{CallCredentials, ChannelSecurity};
use crate::error::{ConfigError, ConfigErrorKind};
use crate::http2;
#[cfg(feature = "_tls")]
use crate::net::tls;
use crate::reactor::LONGEST_BUSY_POLL;
use crate::tally::TRACE_MEMORY;

use super::connectivity::Timing;
use super::dial::Security;
#[cfg(feature = "_tls")]
use super::dial::TlsSecurity;
#[cfg(feature = "_tls")]
use super::target::Place;
use super::target::Target;

/// § `grpc.client_idle_timeout_ms`: "The default value is 30 minutes", "The minimum value is 1 second".
const IDLE_TIMEOUT: Duration = Duration::from_secs(30 * 60);
const SHORTEST_IDLE: Duration = Duration::from_secs(1);

/// What a channel goes by, checked.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) target: Target,
    pub(super) authority: Option<String>,
    pub(super) user_agent: Option<String>,
    pub(super) timing: Timing,
    pub(super) defaults: Defaults,
    pub(super) accept_compression: Option<Vec<Compression>>,
    pub(super) http2: http2::Options,
    pub(super) busy_poll: Duration,
    /// `None`: a connection stays, however long nobody uses it.
    pub(super) idle_timeout: Option<Duration>,
    /// Octets that a trace may hold.
    pub(super) trace_memory: usize,
    pub(super) security: Option<ChannelSecurity>,
    /// What all calls prove.
    pub(super) call_credentials: Option<Kept>,
    #[cfg(feature = "_tls")]
    pub(super) target_name_override: Option<String>,
}

impl Settings {
    pub(super) fn new(target: Target) -> Self {
        Self {
            target,
            authority: None,
            user_agent: None,
            timing: Timing::default(),
            // § `grpc.max_receive_message_length`: 4 MiB; sending has no limit.
            defaults: Defaults {
                max_receive: 4 << 20,
                max_send: usize::MAX,
                retry_refused: true,
                compression: Compression::None,
            },
            accept_compression: None,
            http2: http2::Options::default(),
            busy_poll: Duration::ZERO,
            idle_timeout: Some(IDLE_TIMEOUT),
            trace_memory: TRACE_MEMORY,
            security: None,
            call_credentials: None,
            #[cfg(feature = "_tls")]
            target_name_override: None,
        }
    }

    /// The `:authority` of calls.
    pub(super) fn authority(&self) -> &str {
        #[cfg(feature = "_tls")]
        let named = self.authority.as_deref().or(self.target_name_override.as_deref());
        #[cfg(not(feature = "_tls"))]
        let named = self.authority.as_deref();
        named.unwrap_or(self.target.authority())
    }

    /// Whether what is sent is encrypted.
    pub(super) fn is_secure(&self) -> bool {
        #[cfg(feature = "_tls")]
        return matches!(self.security, Some(ChannelSecurity::Tls(_)));
        #[cfg(not(feature = "_tls"))]
        false
    }

    /// Whether nobody else can read what is sent: call credentials may go there.
    pub(super) fn is_private(&self) -> bool {
        self.security.is_some()
    }

    /// What all calls prove.
    pub(super) fn call_credentials(&self) -> Option<&CallCredentials> {
        self.call_credentials.as_ref().and_then(Kept::get)
    }

    /// What connections are made with, and whose name the server has to show.
    pub(super) fn security(&self) -> Result<Security, ConfigError> {
        match &self.security {
            #[cfg(feature = "_tls")]
            Some(ChannelSecurity::Tls(credentials)) => self.tls(credentials),
            other => {
                #[cfg(feature = "_tls")]
                if let Some(name) = &self.target_name_override {
                    return Err(wrong(format!(
                        "target name override {name:?}: without TLS there is no name to check"
                    )));
                }
                Ok(if other.is_some() { Security::Local } else { Security::None })
            }
        }
    }

    #[cfg(feature = "_tls")]
    fn tls(&self, credentials: &TlsChannel) -> Result<Security, ConfigError> {
        let credentials = credentials.clone();
        let name = match (&self.target_name_override, self.target.place()) {
            (Some(name), _) => Some(
                tls::server_name(name)
                    .map_err(|why| wrong(format!("target name override: {why}")))?,
            ),
            (None, Place::Name { host, .. }) => Some(tls::server_name(host).map_err(|why| {
                let text = format!("channel target {:?}: {why}", self.target.text());
                ConfigError::new(ConfigErrorKind::Target, text)
            })?),
            (None, Place::Unix(_)) => {
                Some(tls::server_name(self.target.authority()).map_err(wrong)?)
            }
            (None, Place::Addresses(_)) => None,
        };
        let renewals = Arc::default();
        Ok(Security::Tls(TlsSecurity { credentials, name, renewals }.into()))
    }

    pub(super) fn validate(&self) -> Result<(), ConfigError> {
        let texts = [("authority", &self.authority), ("user_agent", &self.user_agent)];
        for (what, text) in texts {
            if text.as_ref().is_some_and(String::is_empty) {
                return Err(wrong(format!("{what} is empty: without it the default is sent")));
            }
            let printable =
                |text: &&String| text.bytes().all(|c| c == b' ' || c.is_ascii_graphic());
            if let Some(text) = text.as_ref().filter(|text| !printable(text)) {
                return Err(wrong(format!("{what} {text:?}: it has to be printable ASCII")));
            }
        }
        let legal = |c: u8| c.is_ascii_alphanumeric() || b"-._~:[]%!$&'()*+,;=".contains(&c);
        if let Some(text) = self.authority.as_ref().filter(|text| !text.bytes().all(legal)) {
            let text = format!(
                "authority {text:?}: servers take a host and a port, such as example.com:443"
            );
            return Err(wrong(text));
        }
        self.within_bounds()
    }

    fn within_bounds(&self) -> Result<(), ConfigError> {
        let (http2, ms) = (&self.http2, Duration::from_millis);
        [
            within("connect_timeout", self.timing.attempt, ms(1).., "nobody could answer in time"),
            within(
                "receive_budget",
                http2.window_budget,
                64 << 10..,
                "that is the smallest window",
            ),
            within(
                "max_metadata_size",
                http2.max_header_list,
                1 << 10..,
                "ordinary responses would be refused",
            ),
            within("send_buffer", http2.send_quota, 1.., "nothing could be sent"),
            within("max_stream_window", http2.max_window, 65_535.., "HTTP/2 begins with as much"),
            within(
                "idle_timeout",
                self.idle_timeout.unwrap_or(Duration::MAX),
                SHORTEST_IDLE..,
                "connections would be closed between the calls of one caller",
            ),
            within("write_timeout", http2.write_timeout, ms(100).., "a busy server would lose us"),
            within(
                "message_timeout",
                http2.message_timeout,
                ms(1_000)..,
                "honest servers would be cut off",
            ),
            within(
                "busy_poll",
                self.busy_poll,
                ..=LONGEST_BUSY_POLL,
                "it would only burn CPU time",
            ),
            within(
                "keepalive (its timeout)",
                http2.keepalive.timeout,
                ms(1)..,
                "no answer could be in time",
            ),
        ]
        .into_iter()
        .collect()
    }
}

fn wrong(text: String) -> ConfigError {
    ConfigError::new(ConfigErrorKind::Option, text)
}
