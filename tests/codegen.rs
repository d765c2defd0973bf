//! The generator, from `.proto` to text. What is compiled of that: the examples, `examples/codegen` and `tests/protos`.
//!
//! `BLESS=1 cargo test --features codegen --test codegen` writes what is compared here.

#[path = "codegen/checked_in.rs"]
mod checked_in;
#[path = "codegen/editions.rs"]
mod editions;
#[path = "codegen/errors.rs"]
mod errors;
#[path = "codegen/fuzz.rs"]
mod fuzz;
#[path = "codegen/golden.rs"]
mod golden;
#[path = "codegen/inputs.rs"]
mod inputs;
#[path = "codegen/options.rs"]
mod options;
#[path = "codegen/plugin.rs"]
mod plugin;
#[path = "codegen/settings.rs"]
mod settings;
#[path = "codegen/support.rs"]
mod support;
