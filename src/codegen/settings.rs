//! What is generated for a method beside its types: [`MethodSettings`].

use std::time::Duration;

use super::code::Code;
use super::{Style, tidy};

/// Limits and habits of a method, which its stub and its server have from the start; for
/// [`Builder::method_settings`](crate::build::Builder::method_settings) and [`Rpc::settings`](crate::build::Rpc::settings).
///
/// ```
/// use std::time::Duration;
/// use grpc_threads::build::{Builder, MethodSettings};
///
/// let quick = MethodSettings::new().timeout(Duration::from_secs(1)).max_request_size(64 * 1024);
/// let builder = Builder::new().method_settings(".shop.Orders.Place", quick);
/// # let _ = builder;
/// ```
///
/// They are defaults: of the stub, options of a call or of [`with_options`](crate::build#what-a-service-becomes) win.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct MethodSettings {
    max_request_size: Option<u32>,
    max_response_size: Option<u32>,
    timeout: Option<Duration>,
    wait_for_ready: Option<bool>,
    compression: Option<String>,
    reserved: Option<bool>,
    thread_pool: Option<bool>,
}

impl MethodSettings {
    /// Nothing said: what channel and server say holds.
    pub fn new() -> Self {
        Self::default()
    }

    /// The longest request message, in bytes: the stub sends, and the server takes, no longer one. Default: what the
    /// channel and the server say.
    pub fn max_request_size(mut self, bytes: u32) -> Self {
        self.max_request_size = Some(bytes);
        self
    }

    /// The longest response message, in bytes: the server sends, and the stub takes, no longer one. Default: what
    /// the channel and the server say.
    pub fn max_response_size(mut self, bytes: u32) -> Self {
        self.max_response_size = Some(bytes);
        self
    }

    /// The stub's calls end with `DEADLINE_EXCEEDED` after this, in whole milliseconds. Zero is never. Default: none.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Whether the stub's calls wait for a connection until their deadline. Default: what the channel says.
    pub fn wait_for_ready(mut self, wait: bool) -> Self {
        self.wait_for_ready = Some(wait);
        self
    }

    /// How the stub compresses requests: `none`, `gzip` or `deflate` (which need the library's feature `gzip`), or the name of
    /// a `Compressor` that the channel has. Default: as the channel says.
    pub fn compression(mut self, name: impl Into<String>) -> Self {
        self.compression = Some(name.into());
        self
    }

    /// Whether the server runs the calls before all others, and also where these are too many: see
    /// `RpcMethodHandler::reserved`. Default: false.
    pub fn reserved(mut self, yes: bool) -> Self {
        self.reserved = Some(yes);
        self
    }

    /// Whether the server has a function, such as `place_thread_pool(pool)`, that gives the method a `ThreadPool` of
    /// its own. Default: false.
    pub fn thread_pool(mut self, yes: bool) -> Self {
        self.thread_pool = Some(yes);
        self
    }

    /// These, and what `over` says instead.
    pub(crate) fn merge(&mut self, over: &Self) {
        fn put<T: Clone>(to: &mut Option<T>, from: &Option<T>) {
            if from.is_some() {
                to.clone_from(from);
            }
        }
        put(&mut self.max_request_size, &over.max_request_size);
        put(&mut self.max_response_size, &over.max_response_size);
        put(&mut self.timeout, &over.timeout);
        put(&mut self.wait_for_ready, &over.wait_for_ready);
        put(&mut self.compression, &over.compression);
        put(&mut self.reserved, &over.reserved);
        put(&mut self.thread_pool, &over.thread_pool);
    }

    pub(super) fn has_thread_pool(&self) -> bool {
        self.thread_pool == Some(true)
    }

    /// What is called of the multi-callable.
    pub(super) fn of_stub(&self, style: &Style) -> Vec<String> {
        let mut calls = Vec::new();
        if let Some(timeout) = self.timeout.filter(|timeout| !timeout.is_zero()) {
            // At least one: what is shorter would be no timeout.
            let millis = u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX).max(1);
            let millis = grouped(millis);
            calls.push(format!(".timeout(::core::time::Duration::from_millis({millis}))"));
        }
        if let Some(wait) = self.wait_for_ready {
            calls.push(format!(".wait_for_ready({wait})"));
        }
        calls.extend(size("send", self.max_request_size));
        calls.extend(size("receive", self.max_response_size));
        if let Some(name) = &self.compression {
            let value = match &name[..] {
                "none" | "identity" => "None".to_owned(),
                "gzip" => "Gzip".to_owned(),
                "deflate" => "Deflate".to_owned(),
                other => format!("Custom({other:?})"),
            };
            calls.push(format!(".compression({}::Compression::{value})", style.library));
        }
        calls
    }

    /// What is called of the handler.
    fn of_handler(&self) -> Vec<String> {
        let mut calls = Vec::new();
        calls.extend(size("receive", self.max_request_size));
        calls.extend(size("send", self.max_response_size));
        if self.reserved == Some(true) {
            calls.push(".reserved()".to_owned());
        }
        calls
    }

    /// Closes the making of a handler.
    pub(super) fn close_handler(&self, end: &str, code: &mut Code) {
        let mut calls = self.of_handler();
        match calls.pop() {
            None => code.close(&format!("){end}")),
            Some(last) => {
                code.close(")");
                calls.iter().for_each(|call| code.line(call));
                code.line(&format!("{last}{end}"));
            }
        }
    }
}

fn size(what: &str, bytes: Option<u32>) -> Option<String> {
    Some(format!(".max_{what}_message_size({})", grouped(u64::from(bytes?))))
}

fn grouped(number: u64) -> String {
    let mut out = String::new();
    tidy::separated(&number.to_string(), &mut out);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_later_wins_where_it_says_anything() {
        let mut all = MethodSettings::new().timeout(Duration::from_secs(1)).reserved(true);
        all.merge(&MethodSettings::new().reserved(false).max_request_size(5));
        let expected = MethodSettings::new()
            .timeout(Duration::from_secs(1))
            .reserved(false)
            .max_request_size(5);
        assert_eq!(all, expected);
        assert_eq!(all.of_handler(), [".max_receive_message_size(5)"]);
    }
}
