//! The ten standard detail messages of `google/rpc/error_details.proto`, and what they are made of.

use std::collections::BTreeMap;

use super::any::DetailMessage;
use crate::message::messages;

messages! {
    /// Why a call failed, for programs: a reason within a domain. § google.aip.dev/193: every error has one.
    pub struct ErrorInfo {
        /// The reason, such as `STOCKOUT`: UPPER_SNAKE_CASE, one for each cause within the domain.
        1 reason: String,
        /// Who has named the reason, such as `shop.example.com`.
        2 domain: String,
        /// What else there is to know of it.
        3 metadata: BTreeMap<String, String>,
    }

    /// When to try again.
    pub struct RetryInfo {
        /// Clients wait so long at least.
        1 retry_delay: Option<Span>,
    }

    /// For those who debug the server; nothing that users may see.
    pub struct DebugInfo {
        /// The stack where it happened.
        1 stack_entries: Vec<String>,
        /// What else the server says.
        2 detail: String,
    }

    /// Which quotas were used up.
    pub struct QuotaFailure {
        /// All of them.
        1 violations: Vec<QuotaViolation>,
    }

    /// One quota that was used up.
    pub struct QuotaViolation {
        /// Whose, such as `project:7`.
        1 subject: String,
        /// What of, and what to do.
        2 description: String,
        /// The service that the quota is of, where it is another than that which was called.
        3 api_service: String,
        /// What is counted.
        4 quota_metric: String,
        /// The quota.
        5 quota_id: String,
        /// What tells this one from others of the same quota, such as a region.
        6 quota_dimensions: BTreeMap<String, String>,
        /// The bound that was met.
        7 quota_value: i64,
        /// The bound that is to come.
        8 future_quota_value: Option<i64>,
    }

    /// What has to be so before the call can go well.
    pub struct PreconditionFailure {
        /// All of it.
        1 violations: Vec<PreconditionViolation>,
    }

    /// One thing that is not as it has to be.
    pub struct PreconditionViolation {
        /// What kind of thing, such as `TOS`.
        1 kind: String,
        /// Of what, within its kind.
        2 subject: String,
        /// What to do about it.
        3 description: String,
    }

    /// Which fields of the request are wrong.
    pub struct BadRequest {
        /// All of them.
        1 field_violations: Vec<FieldViolation>,
    }

    /// One field that is wrong.
    pub struct FieldViolation {
        /// The way to it, such as `emails[1].address`.
        1 field: String,
        /// Why.
        2 description: String,
        /// Why, for programs: as [`ErrorInfo::reason`].
        3 reason: String,
        /// Why, for people, in their language.
        4 localized_message: Option<LocalizedMessage>,
    }

    /// What the request is known by, for a report of it.
    pub struct RequestInfo {
        /// Its name in the server's logs.
        1 request_id: String,
        /// What else finds it, such as an encoded stack; only the server's people can read it.
        2 serving_data: String,
    }

    /// What was asked for.
    pub struct ResourceInfo {
        /// Its type, such as `sql table`.
        1 resource_type: String,
        /// Its name.
        2 resource_name: String,
        /// Who owns it.
        3 owner: String,
        /// What went wrong with it.
        4 description: String,
    }

    /// Where to read more.
    pub struct Help {
        /// Some pages.
        1 links: Vec<Link>,
    }

    /// A page.
    pub struct Link {
        /// What it tells.
        1 description: String,
        /// Where it is.
        2 url: String,
    }

    /// A text for people.
    pub struct LocalizedMessage {
        /// Its language, as BCP 47 names it: `en-US`.
        1 locale: String,
        /// The text.
        2 message: String,
    }

    /// A `google.protobuf.Duration`: made of a [`Duration`](std::time::Duration), and made into one.
    pub struct Span {
        /// Whole seconds.
        1 seconds: i64,
        /// And nanoseconds, of the same sign.
        2 nanos: i32,
    }
}

/// § `google/protobuf/duration.proto`: ±315 576 000 000 s, some 10 000 years. What is longer becomes that.
const LONGEST: u64 = 315_576_000_000;

impl From<std::time::Duration> for Span {
    fn from(time: std::time::Duration) -> Self {
        if time.as_secs() >= LONGEST {
            return Self { seconds: LONGEST as i64, nanos: 0 };
        }
        Self { seconds: time.as_secs() as i64, nanos: time.subsec_nanos() as i32 }
    }
}

/// What is negative, or no such duration, is none.
impl From<&Span> for std::time::Duration {
    fn from(span: &Span) -> Self {
        let nanos = u32::try_from(span.nanos).ok().filter(|nanos| *nanos < 1_000_000_000);
        match (u64::try_from(span.seconds), nanos) {
            (Ok(seconds), Some(nanos)) => Self::new(seconds, nanos),
            _ => Self::ZERO,
        }
    }
}

/// The enum of all of them, and the name of each.
macro_rules! details {
    ($($name:ident: $what:literal;)+) => {
        $(
            impl DetailMessage for $name {
                const TYPE_NAME: &'static str = concat!("google.rpc.", stringify!($name));
            }
        )+

        /// A detail, by its type where that is one of the standard's.
        #[derive(Clone, Debug, PartialEq)]
        #[non_exhaustive]
        pub enum Detail {
            $(
                #[doc = $what]
                $name($name),
            )+
            /// Of another type, or of a standard one whose bytes make none: as it came.
            Other(super::any::Any),
        }

        impl From<&super::any::Any> for Detail {
            fn from(any: &super::any::Any) -> Self {
                $(
                    if let Some(Ok(detail)) = any.unpack::<$name>() {
                        return Self::$name(detail);
                    }
                )+
                Self::Other(any.clone())
            }
        }

        impl From<&Detail> for super::any::Any {
            fn from(detail: &Detail) -> Self {
                match detail {
                    $(Detail::$name(detail) => Self::pack(detail),)+
                    Detail::Other(any) => any.clone(),
                }
            }
        }

        $(
            impl From<$name> for Detail {
                fn from(detail: $name) -> Self {
                    Self::$name(detail)
                }
            }
        )+
    };
}

details! {
    ErrorInfo: "Why, for programs.";
    RetryInfo: "When to try again.";
    DebugInfo: "For those who debug the server.";
    QuotaFailure: "Which quotas were used up.";
    PreconditionFailure: "What has to be so before.";
    BadRequest: "Which fields are wrong.";
    RequestInfo: "What the request is known by.";
    ResourceInfo: "What was asked for.";
    Help: "Where to read more.";
    LocalizedMessage: "A text for people.";
}
