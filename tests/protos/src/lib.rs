//! All kinds of `.proto` files, compiled.

include!("all.rs");
