//! A little randomness for jitter, from std's hasher keys: no dependency, nothing secret.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};

pub(super) fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}
