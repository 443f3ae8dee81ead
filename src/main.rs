//! Arguments in, exit code out.

use std::process::ExitCode;

fn main() -> ExitCode {
    tidegate::command::main(std::env::args_os())
}
