//! The messages of `grpc.health.v1`, and [`ServingStatus`].

use std::collections::BTreeMap;
use std::fmt;

use crate::message::messages;

/// How a service is, as `grpc.health.v1.HealthCheckResponse.ServingStatus` has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(i32)]
pub enum ServingStatus {
    /// Not known, yet or at all: no check has run, or it could not say.
    #[default]
    Unknown = 0,
    /// It answers.
    Serving = 1,
    /// It is there, and is not to be called.
    NotServing = 2,
    /// Nobody has told of such a service. A `Watch` says it, a `Check` fails with `NOT_FOUND` instead.
    ServiceUnknown = 3,
}

impl ServingStatus {
    /// The status of a number; numbers that name none are [`ServingStatus::Unknown`].
    ///
    /// ```
    /// use grpc_threads::health::ServingStatus;
    ///
    /// assert_eq!(ServingStatus::from_i32(1), ServingStatus::Serving);
    /// assert_eq!(ServingStatus::from_i32(9), ServingStatus::Unknown);
    /// ```
    #[must_use]
    pub fn from_i32(number: i32) -> Self {
        match number {
            1 => Self::Serving,
            2 => Self::NotServing,
            3 => Self::ServiceUnknown,
            _ => Self::Unknown,
        }
    }

    /// The name in the service's definition, such as `NOT_SERVING`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unknown => "UNKNOWN",
            Self::Serving => "SERVING",
            Self::NotServing => "NOT_SERVING",
            Self::ServiceUnknown => "SERVICE_UNKNOWN",
        }
    }
}

impl fmt::Display for ServingStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

messages! {
    /// What `Check` and `Watch` are asked.
    pub struct HealthCheckRequest {
        /// A service's full name; empty for the server as a whole.
        1 service: String,
    }

    /// What `Check` and `Watch` answer.
    pub struct HealthCheckResponse {
        /// The number of a [`ServingStatus`]; see [`serving_status`](HealthCheckResponse::serving_status).
        1 status: i32,
    }

    /// What `List` is asked.
    pub struct HealthListRequest {}

    /// What `List` answers.
    pub struct HealthListResponse {
        /// Every service that is known, by its name.
        1 statuses: BTreeMap<String, HealthCheckResponse>,
    }
}

impl HealthCheckResponse {
    /// The status; a number that names none is [`ServingStatus::Unknown`].
    #[must_use]
    pub fn serving_status(&self) -> ServingStatus {
        ServingStatus::from_i32(self.status)
    }
}

impl From<ServingStatus> for HealthCheckResponse {
    fn from(status: ServingStatus) -> Self {
        Self { status: status as i32 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_names_are_those_of_the_definition() {
        for (number, name) in
            ["UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"].into_iter().enumerate()
        {
            let status = ServingStatus::from_i32(number as i32);
            assert_eq!((status as usize, status.name()), (number, name));
            assert_eq!(HealthCheckResponse::from(status).serving_status(), status);
        }
        for foreign in [-1, 4, i32::MAX] {
            assert_eq!(
                HealthCheckResponse { status: foreign }.serving_status(),
                ServingStatus::Unknown
            );
        }
    }
}
