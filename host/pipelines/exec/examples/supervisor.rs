//! A minimal supervisor program for `ExecFactory::new`.

fn main() -> std::process::ExitCode {
    wardroom_exec::supervise(std::env::args_os().skip(1))
}
