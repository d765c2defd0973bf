//! Stubs and servers from `.proto` files on the command line, or as a plugin of `protoc`. See `--help`.

use std::process::ExitCode;

fn main() -> ExitCode {
    match grpc_threads::build::run_command(std::env::args_os()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("grpc-threads-gen: {error}");
            ExitCode::FAILURE
        }
    }
}
