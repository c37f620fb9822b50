//! A minimal supervisor program, which `ExecFactory::new` takes as its argument `supervisor`. The tests use this
//! program.

fn main() -> std::process::ExitCode {
    wardroom_exec::supervise(std::env::args_os().skip(1))
}
