//! [`Call`]: a handle on one call, whatever its kind.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::call::client::Core;
use crate::deadline::Deadline;
use crate::error::ResultError;
use crate::metadata::Metadata;
use crate::reactor::{clock, run_here};
use crate::status::{Code, Status};

/// A handle on a call: its status, its metadata, and a way to cancel it.
///
/// Cheap to clone and usable from any thread. It does not own the call: dropping it changes nothing.
///
/// The methods that wait ([`code`](Self::code), [`details`](Self::details),
/// [`status`](Self::status), [`trailing_metadata`](Self::trailing_metadata),
/// [`initial_metadata`](Self::initial_metadata)) wait for the server. The call's end
/// ends the wait: its deadline, [`cancel`](Self::cancel) from another thread, the loss of the connection.
/// Asking for the status of a stream that nobody reads waits until then too.
#[derive(Clone)]
pub struct Call {
    core: Arc<Core>,
}

impl Call {
    pub(super) fn new(core: Arc<Core>) -> Self {
        Self { core }
    }

    pub(super) fn core(&self) -> &Arc<Core> {
        &self.core
    }

    /// The status the call ended with. Waits for the end.
    #[must_use]
    pub fn status(&self) -> Status {
        self.core.wait_status()
    }

    /// The status, if the call has ended. Waits for no server. Where somebody listens for
    /// [`RecvTrailingMetadata`](crate::RecvTrailingMetadata), the first thread that meets the end here tells them, and another waits until
    /// they have returned.
    #[must_use]
    pub fn try_status(&self) -> Option<Status> {
        self.core.try_status()
    }

    /// The code of [`status`](Self::status). Waits for the end.
    #[must_use]
    pub fn code(&self) -> Code {
        self.status().code()
    }

    /// The message of [`status`](Self::status). Waits for the end.
    #[must_use]
    pub fn details(&self) -> String {
        self.status().message().to_owned()
    }

    /// The metadata the server sent before its first message; empty when the call ended
    /// without. Waits for it.
    #[must_use]
    pub fn initial_metadata(&self) -> Metadata {
        self.core.wait_head()
    }

    /// The metadata the server sent with the status. Waits for the end.
    #[must_use]
    pub fn trailing_metadata(&self) -> Metadata {
        self.status().trailing_metadata().clone()
    }

    /// What the library knows about how the call ended, for people; empty when it ended
    /// well or has not ended. Never waits.
    #[must_use]
    pub fn debug_error_string(&self) -> String {
        self.try_status().map_or_else(String::new, |status| status.debug_error_string().to_owned())
    }

    /// Ends the call with `CANCELLED`, here and on the server. Never waits. False: it had ended.
    pub fn cancel(&self) -> bool {
        self.core.cancel()
    }

    /// Whether the call has no status yet.
    #[must_use]
    pub fn is_active(&self) -> bool {
        !self.done()
    }

    /// The time to the deadline, zero when it has passed; `None` without a deadline.
    #[must_use]
    pub fn time_remaining(&self) -> Option<Duration> {
        self.core.deadline().remaining(clock::now())
    }

    /// What the call waits for, for people: a connection, with what is known of that, its credentials, interceptors or the
    /// server; `None` when it has ended. Never waits. What to log when a wait has [timed out](crate::ResultError::TimedOut).
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let channel = grpc_threads::insecure_channel("127.0.0.1:1")?;
    /// let call = channel.raw_unary_unary("/a.B/C")?.wait_for_ready(true).future(&"x".into());
    /// assert!(call.wait_for_connection(Some(Duration::from_millis(1))).is_err());
    /// assert!(call.handle().waits_for().is_some_and(|what| what.contains("127.0.0.1:1")));
    /// # Ok::<(), grpc_threads::ConfigError>(())
    /// ```
    #[must_use]
    pub fn waits_for(&self) -> Option<String> {
        self.core.waits_for()
    }

    /// Runs `callback` on the library's notifier thread when the call has ended. False:
    /// it has ended already, and the callback is dropped; [`add_done_callback`](Self::add_done_callback) runs it then. A panic
    /// in it is logged. A callback that blocks holds up all others.
    #[must_use = "false: it was over, and the callback will not run"]
    pub fn add_callback(&self, callback: impl FnOnce(&Call) + Send + 'static) -> bool {
        let call = self.clone();
        self.core.on_end(Box::new(move || callback(&call))).is_ok()
    }

    /// Runs `callback` when the call has ended: on the notifier thread, or here and now
    /// when it has ended already. A panic in it is logged, and later callbacks still run. One that adds the next, and that
    /// again, is run by the notifier thread from some depth on. A callback may wait for other calls; all other callbacks wait
    /// for it meanwhile.
    pub fn add_done_callback(&self, callback: impl FnOnce(&Call) + Send + 'static) {
        let call = self.clone();
        if let Err(callback) = self.core.on_end(Box::new(move || callback(&call))) {
            run_here(format_args!("a callback"), callback);
        }
    }

    /// Whether the call has ended. Never waits.
    #[must_use]
    pub fn done(&self) -> bool {
        self.core.met_status().is_some()
    }

    /// Whether [`cancel`](Self::cancel) of one of its handles, or the drop of the handle that owns it, ended the call. Another
    /// `CANCELLED` does not count: the server's, or that of a channel that was closed.
    #[must_use]
    pub fn cancelled(&self) -> bool {
        self.core.was_cancelled()
    }

    /// The address of the server the call went to, such as `ipv4:127.0.0.1:50051`;
    /// `None` while it has no connection.
    #[must_use]
    pub fn peer(&self) -> Option<String> {
        self.core.peer()
    }

    /// Waits until the call is on a connection. `None`: without a bound of its own, until the call's deadline.
    ///
    /// # Errors
    /// [`ResultError::TimedOut`] after `timeout`; [`ResultError::Cancelled`] after [`cancel`](Self::cancel), and
    /// [`ResultError::Rpc`] when the call has ended otherwise, without a connection.
    pub fn wait_for_connection(&self, timeout: Option<Duration>) -> Result<(), ResultError> {
        self.core.wait_bound(until(timeout))
    }
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call").field("status", &self.core.met_status()).finish_non_exhaustive()
    }
}

/// The end of a wait with this bound.
pub(super) fn until(timeout: Option<Duration>) -> Deadline {
    timeout.map_or(Deadline::NEVER, |timeout| Deadline::after(clock::now(), timeout))
}

/// Gives a handle that owns a call the methods of [`Call`] that never wait.
macro_rules! call_handle {
    (impl [$($generics:tt)*] $name:ty) => {
        impl<$($generics)*> $name {
            /// A handle on the call, which may be cloned and used from any thread.
            #[must_use]
            pub fn handle(&self) -> $crate::client::Call {
                $crate::client::Call::new(self.core().clone())
            }

            /// Ends the call with `CANCELLED`, here and on the server. Never waits. False: it had ended.
            pub fn cancel(&self) -> bool {
                self.core().cancel()
            }

            /// Whether the call has no status yet.
            #[must_use]
            pub fn is_active(&self) -> bool {
                self.core().met_status().is_none()
            }

            /// The time to the deadline, zero when it has passed; `None` without a deadline.
            #[must_use]
            pub fn time_remaining(&self) -> Option<std::time::Duration> {
                self.handle().time_remaining()
            }

            /// The address of the server the call went to; `None` while it has no connection.
            #[must_use]
            pub fn peer(&self) -> Option<String> {
                self.core().peer()
            }

            /// The status the call ended with. Waits for the end; see [`Call`](crate::Call).
            #[must_use]
            pub fn status(&self) -> $crate::status::Status {
                self.core().wait_status()
            }

            /// The code the call ended with. Waits for the end; see [`Call`](crate::Call).
            #[must_use]
            pub fn code(&self) -> $crate::status::Code {
                self.core().wait_status().code()
            }

            /// The message of the status. Waits for the end; see [`Call`](crate::Call).
            #[must_use]
            pub fn details(&self) -> String {
                self.handle().details()
            }

            /// The metadata the server sent before its first message. Waits for it; see [`Call`](crate::Call).
            #[must_use]
            pub fn initial_metadata(&self) -> $crate::metadata::Metadata {
                self.core().wait_head()
            }

            /// The metadata the server sent with the status. Waits for the end; see [`Call`](crate::Call).
            #[must_use]
            pub fn trailing_metadata(&self) -> $crate::metadata::Metadata {
                self.handle().trailing_metadata()
            }

            /// What the library knows about how the call ended, for people. Never waits.
            #[must_use]
            pub fn debug_error_string(&self) -> String {
                self.handle().debug_error_string()
            }

            /// What the call waits for, for people; see [`Call`](crate::Call::waits_for). Never waits.
            #[must_use]
            pub fn waits_for(&self) -> Option<String> {
                self.core().waits_for()
            }

            /// Runs `callback` on the library's notifier thread when the call has ended.
            /// False: it has ended already.
            #[must_use = "false: it was over, and the callback will not run"]
            pub fn add_callback(
                &self,
                callback: impl FnOnce(&$crate::client::Call) + Send + 'static,
            ) -> bool {
                self.handle().add_callback(callback)
            }

            /// Runs `callback` when the call has ended: on the notifier thread, or here and now when it has ended
            /// already. A panic in it is logged. See [`Call`](crate::Call::add_done_callback).
            pub fn add_done_callback(
                &self,
                callback: impl FnOnce(&$crate::client::Call) + Send + 'static,
            ) {
                self.handle().add_done_callback(callback);
            }

            /// Whether the call has ended. Never waits.
            #[must_use]
            pub fn done(&self) -> bool {
                self.core().met_status().is_some()
            }

            /// Whether [`cancel`](Self::cancel) ended the call. Another `CANCELLED` does not count: the server's, or that
            /// of a channel that was closed.
            #[must_use]
            pub fn cancelled(&self) -> bool {
                self.core().was_cancelled()
            }

            /// Waits until the call is on a connection, `timeout` has passed, or the call has ended.
            ///
            /// # Errors
            /// As [`Call::wait_for_connection`](crate::Call::wait_for_connection).
            pub fn wait_for_connection(
                &self,
                timeout: Option<std::time::Duration>,
            ) -> Result<(), $crate::error::ResultError> {
                self.handle().wait_for_connection(timeout)
            }
        }
    };
}

pub(super) use call_handle;
