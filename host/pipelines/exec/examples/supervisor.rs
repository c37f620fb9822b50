//! A program that is only a supervisor, as an embedder passes one to `ExecFactory::new`.

fn main() -> std::process::ExitCode {
    wardroom_exec::supervise(std::env::args_os().skip(1))
}
