//! [`Ends`]: a call, as those know it who only end it.

/// A call that ends by another's word, if it has not ended yet.
pub(crate) trait Ends: Send + Sync {
    /// Its deadline has passed.
    fn out_of_time(&self);

    /// The call on whose behalf it was made has ended.
    fn orphaned(&self);
}
