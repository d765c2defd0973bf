//! All kinds of `.proto` files, compiled, and nothing of them used.

include!("all.rs");

fn main() {}
