//! The `handover` program: parse, run, exit status; nothing else.

fn main() -> std::process::ExitCode {
    handover::cli::main()
}
