//! The `tenantd` program; everything is in the library.

fn main() -> std::process::ExitCode {
    tenantd::cli::main(std::env::args_os())
}
