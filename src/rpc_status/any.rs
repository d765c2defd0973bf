//! A message of any type: [`Any`], and what may be one of an error's details ([`DetailMessage`]).

use bytes::Bytes;
use prost::{DecodeError, Message};

use crate::Status;
use crate::message::messages;

messages! {
    /// A `google.protobuf.Any`: a message's bytes, and which type they are of. It is kept as it came.
    pub struct Any {
        /// Ends with the type's full name behind a slash: `type.googleapis.com/google.rpc.ErrorInfo`.
        1 type_url: String,
        /// The message.
        2 value: Bytes,
    }
}

/// A message that may be a detail of an error: one of the standard's, or your own.
///
/// ```
/// use grpc_threads::rpc_status::{Any, DetailMessage};
///
/// #[derive(Clone, PartialEq, prost::Message)]
/// struct Refund {
///     #[prost(int64, tag = "1")]
///     cents: i64,
/// }
///
/// impl DetailMessage for Refund {
///     const TYPE_NAME: &'static str = "shop.Refund";
/// }
///
/// let any = Any::pack(&Refund { cents: 250 });
/// assert_eq!(any.type_url, "type.googleapis.com/shop.Refund");
/// assert_eq!(any.unpack::<Refund>().unwrap()?, Refund { cents: 250 });
/// # Ok::<(), grpc_threads::Status>(())
/// ```
pub trait DetailMessage: Message + Default {
    /// Its full name, with its package.
    const TYPE_NAME: &'static str;
}

impl Any {
    /// A message as one of any type.
    #[must_use]
    pub fn pack<D: DetailMessage>(detail: &D) -> Self {
        let type_url = format!("type.googleapis.com/{}", D::TYPE_NAME);
        Self { type_url, value: detail.encode_to_vec().into() }
    }

    /// The full name of its type: what stands behind the last slash.
    #[must_use]
    pub fn type_name(&self) -> &str {
        self.type_url.rsplit('/').next().unwrap_or_default()
    }

    /// The message, if it is of this type.
    ///
    /// # Errors
    /// `INTERNAL`: it says that it is, and its bytes make none.
    #[must_use]
    pub fn unpack<D: DetailMessage>(&self) -> Option<Result<D, Status>> {
        (self.type_name() == D::TYPE_NAME).then(|| {
            D::decode(self.value.clone()).map_err(|error: DecodeError| {
                Status::internal(format!(
                    "a detail could not be decoded as {}: {error}",
                    D::TYPE_NAME
                ))
            })
        })
    }
}
