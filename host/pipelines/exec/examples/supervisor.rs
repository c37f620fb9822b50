//! A program that is nothing but the supervisor, as an embedder names one to `ExecFactory::new`.

fn main() -> std::process::ExitCode {
    wardroom_exec::supervise(std::env::args_os().skip(1))
}
