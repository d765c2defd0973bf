//! The options of a call as methods of the four multi-callables.

/// Gives a multi-callable the methods of [`CallOptions`](super::CallOptions), each as a changed copy.
macro_rules! per_call_options {
    ($name:ident) => {
        impl<Req, Resp> $name<Req, Resp> {
            /// A copy whose calls have these options too, which win over those said before.
            #[must_use]
            pub fn options(&self, options: &$crate::client::CallOptions) -> Self {
                self.anew(self.options.merge(options))
            }

            /// A copy whose calls end with `DEADLINE_EXCEEDED` when they take longer than
            /// this. Zero has always passed; a huge value is no deadline.
            #[must_use]
            pub fn timeout(&self, timeout: std::time::Duration) -> Self {
                self.with(self.options.timeout(timeout))
            }

            /// A copy whose calls end with `DEADLINE_EXCEEDED` at this point in time.
            #[must_use]
            pub fn deadline(&self, deadline: std::time::Instant) -> Self {
                self.with(self.options.deadline(deadline))
            }

            /// A copy whose calls have no deadline, whatever was said before; see
            /// [`CallOptions::no_timeout`](crate::CallOptions::no_timeout).
            #[must_use]
            pub fn no_timeout(&self) -> Self {
                self.with(self.options.no_timeout())
            }

            /// A copy whose calls send this metadata too.
            #[must_use]
            pub fn metadata(&self, metadata: &$crate::metadata::Metadata) -> Self {
                self.with(self.options.metadata(metadata))
            }

            /// A copy whose calls send one more text entry.
            ///
            /// # Errors
            /// When the key or the value cannot be sent; see `Metadata::append`.
            pub fn header(
                &self,
                key: &str,
                value: &str,
            ) -> Result<Self, $crate::error::ConfigError> {
                Ok(self.with(self.options.header(key, value)?))
            }

            /// A copy whose calls send one more entry of bytes; the key ends in `-bin`.
            ///
            /// # Errors
            /// When the key cannot be sent; see `Metadata::append_bin`.
            pub fn header_bin(
                &self,
                key: &str,
                value: impl AsRef<[u8]>,
            ) -> Result<Self, $crate::error::ConfigError> {
                Ok(self.with(self.options.header_bin(key, value)?))
            }

            /// A copy whose calls wait for a connection until their deadline (true), or fail
            /// with `UNAVAILABLE` when an attempt to connect fails (false, the default).
            #[must_use]
            pub fn wait_for_ready(&self, wait: bool) -> Self {
                self.with(self.options.wait_for_ready(wait))
            }

            /// A copy whose calls are made once more when the server refuses them (true, the channel's default), or
            /// end with `UNAVAILABLE` (false). For methods that must not run twice behind a proxy that says
            /// `REFUSED_STREAM` of calls that were run; see
            /// [`CallOptions::retry_refused`](crate::CallOptions::retry_refused).
            #[must_use]
            pub fn retry_refused(&self, retry: bool) -> Self {
                self.with(self.options.retry_refused(retry))
            }

            /// A copy whose calls accept messages up to this many bytes.
            #[must_use]
            pub fn max_receive_message_size(&self, bytes: usize) -> Self {
                self.with(self.options.max_receive_message_size(bytes))
            }

            /// A copy whose calls send messages up to this many bytes.
            #[must_use]
            pub fn max_send_message_size(&self, bytes: usize) -> Self {
                self.with(self.options.max_send_message_size(bytes))
            }

            /// A copy whose requests are compressed by this, or ([`Compression::None`](crate::Compression::None)) not at all;
            /// see [`CallOptions::compression`](crate::CallOptions::compression).
            #[must_use]
            pub fn compression(&self, compression: $crate::compression::Compression) -> Self {
                self.with(self.options.compression(compression))
            }

            /// A copy whose calls prove this to the server, in place of what was said before, and behind what the channel
            /// proves itself; see [`CallOptions::credentials`](crate::CallOptions::credentials).
            #[must_use]
            pub fn credentials(&self, credentials: &$crate::credentials::CallCredentials) -> Self {
                self.anew(self.options.credentials(credentials))
            }

            /// The path of the method.
            #[must_use]
            pub fn path(&self) -> &$crate::client::MethodPath {
                &self.method.path
            }

            pub(super) fn new(
                method: std::sync::Arc<$crate::client::stub::Method<Req, Resp>>,
            ) -> Self {
                let options = $crate::client::CallOptions::new().bound(|own| method.auth(own));
                Self { method, options }
            }

            /// Options with other credentials.
            fn anew(&self, options: $crate::client::CallOptions) -> Self {
                self.with(options.bound(|own| self.method.auth(own)))
            }

            fn with(&self, options: $crate::client::CallOptions) -> Self {
                Self { method: self.method.clone(), options }
            }
        }

        impl<Req, Resp> Clone for $name<Req, Resp> {
            fn clone(&self) -> Self {
                self.with(self.options.clone())
            }
        }

        impl<Req, Resp> std::fmt::Debug for $name<Req, Resp> {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.debug_tuple(stringify!($name)).field(&self.method.path).finish()
            }
        }
    };
}

pub(super) use per_call_options;
