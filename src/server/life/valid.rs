//! What a server's options may be: a row for each that not every value will do for.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::options::ServerOptions;
use crate::bounds::within;
use crate::error::ConfigError;
use crate::reactor::LONGEST_BUSY_POLL;

impl ServerOptions {
    /// Finds values that cannot work.
    pub(in crate::server) fn validate(&self) -> Result<(), ConfigError> {
        let ms = Duration::from_millis;
        [
            within(
                "max_concurrent_streams",
                self.max_concurrent_streams,
                1..,
                "no call could begin",
            ),
            within(
                "maximum_concurrent_rpcs",
                self.maximum_concurrent_rpcs.unwrap_or(usize::MAX),
                1..,
                "every call would be refused",
            ),
            within(
                "max_metadata_size",
                self.max_metadata_size,
                1 << 10..,
                "ordinary requests would be refused",
            ),
            within("request_timeout", self.request_timeout, ms(1).., "no request could come whole"),
            within("reset_burst", self.reset_burst, 1.., "the first would end its connection"),
            within("error_burst", self.error_burst, 1.., "the first would end its connection"),
            within(
                "receive_budget",
                self.receive_budget,
                64 << 10..,
                "that is the smallest window",
            ),
            within("send_buffer", self.send_buffer, 1.., "nothing could be sent"),
            within(
                "write_timeout",
                self.write_timeout,
                ms(100)..,
                "busy clients would lose their connections",
            ),
            within(
                "message_timeout",
                self.message_timeout,
                ms(1_000)..,
                "honest clients would be cut off",
            ),
            within(
                "max_connection_idle",
                self.max_connection_idle,
                ms(1)..,
                "no connection would have a call",
            ),
            within(
                "max_connection_age",
                self.max_connection_age,
                ms(1)..,
                "no connection would have a call",
            ),
            within(
                "handshake_timeout",
                self.handshake_timeout,
                ms(100)..=ms(20_000),
                "honest clients would not come in, or half-open connections be kept",
            ),
            within("listen_backlog", self.listen_backlog, 1.., "nobody could connect"),
            within("initial_window", self.initial_window, WINDOWS, "HTTP/2 has no other"),
            within("connection_window", self.connection_window, WINDOWS, "HTTP/2 has no other"),
            within(
                "busy_poll",
                self.busy_poll,
                ..=LONGEST_BUSY_POLL,
                "it would only burn CPU time",
            ),
            within("keepalive_time", self.keepalive_time, ms(1).., "it would only send PINGs"),
            within(
                "keepalive_timeout",
                self.keepalive_timeout,
                ms(1)..,
                "no answer could be in time",
            ),
        ]
        .into_iter()
        .collect()
    }
}

/// What a window may be at first.
const WINDOWS: RangeInclusive<u32> = 65_535..=(1 << 31) - 1;
