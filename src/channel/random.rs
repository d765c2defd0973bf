//! A little randomness for jitter, from std's hasher keys: no dependency, nothing secret.

#[cfg(all(test, shuttle))]
pub(super) use crate::sync::model::random;

#[cfg(not(all(test, shuttle)))]
pub(super) fn random() -> u64 {
    use std::collections::hash_map::RandomState;
    use std::hash::{BuildHasher, Hasher};
    RandomState::new().build_hasher().finish()
}
