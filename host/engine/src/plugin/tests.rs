//! Tests of descriptions, of files that are not plugins, and of the limits of an invocation.
//!
//! Not here: hostile guests in a complete host (the `tests` package).

use std::time::Duration;

use wasmtime::ResourceLimiter as _;

use super::{
    artifact::{ArtifactError, read_file},
    bindings::commands,
    limits::LimitReached,
    *,
};
use crate::model::Limits;

fn command(name: &str) -> commands::Command {
    commands::Command {
        name: name.to_owned(),
        aliases: vec![],
        summary: "Does it.".to_owned(),
        examples: vec![],
        kind: commands::Kind::Query,
        parameters: vec![],
    }
}

fn setting(name: &str, pattern: &str) -> commands::Setting {
    commands::Setting {
        name: name.to_owned(),
        summary: "A setting.".to_owned(),
        required: false,
        pattern: pattern.to_owned(),
        many: false,
    }
}

fn checked(
    commands: Vec<commands::Command>,
    settings: Vec<commands::Setting>,
) -> Result<super::describe::Description, String> {
    describe::check(&"plugin".into(), commands::Description { commands, settings })
}

fn calls() -> crate::model::CallTable {
    crate::config::Registry::default().calls().unwrap().table().clone()
}

#[test]
fn a_valid_description_is_accepted_and_cleaned() {
    let mut painted = command("paint");
    painted.summary = format!("\u{1b}[2Jred\nnext \u{202e}back {}", "x".repeat(1000));
    painted.examples = vec!["paint\nit".to_owned(); 20];
    let description =
        checked(vec![command("deploy"), painted], vec![setting("warn", "[0-9]+h"), setting("any", "")]).unwrap();
    let spec = &description.commands[1];
    assert!(!spec.summary.chars().any(|letter| letter.is_control() || letter == '\u{202e}'), "{:?}", spec.summary);
    assert!(spec.summary.len() <= 300 && spec.examples.len() <= 8, "{}", spec.summary.len());
    assert_eq!(spec.examples[0], "paint it");
    assert!(
        description.settings[0]
            .pattern
            .as_ref()
            .is_some_and(|pattern| pattern.matches("24h") && !pattern.matches("24h "))
    );
    assert!(description.settings[1].pattern.is_none());
    assert_eq!(description.settings[1].check("one\n\ttwo"), Ok(()));
    assert_eq!(description.settings[0].check("24"), Err("the value must match `[0-9]+h`".to_owned()));
    let hidden = "it contains the character U+200D, which is not shown; remove this character";
    assert_eq!(description.settings[1].check("24\u{200d}h"), Err(hidden.to_owned()));
}

#[test]
fn an_invalid_description_is_rejected() {
    let alias = commands::Command { aliases: vec!["deploy".to_owned()], ..command("ship") };
    let own_alias = commands::Command { aliases: vec!["ship".to_owned()], ..command("ship") };
    let many = |count: usize| (0..count).map(|number| command(&format!("c{number}"))).collect::<Vec<_>>();
    let settings = |count: usize| (0..count).map(|number| setting(&format!("s{number}"), "")).collect::<Vec<_>>();
    let cases = [
        (vec![], vec![], "it has no command"),
        (many(65), vec![], "it describes more than 64 commands or more than 64 settings"),
        (many(1), settings(65), "it describes more than 64 commands or more than 64 settings"),
        (vec![command("deploy"), command("deploy")], vec![], "it describes the command or alias `deploy` twice"),
        (vec![command("deploy"), alias], vec![], "it describes the command or alias `deploy` twice"),
        (vec![own_alias], vec![], "it describes the command or alias `ship` twice"),
        (
            vec![command("De ploy")],
            vec![],
            "command `De ploy`: `De ploy` is not a valid name of a command: begin with a lower case letter, and use at most 32 \
             lower case letters, digits and dashes",
        ),
        (
            many(1),
            vec![setting("Warn", "")],
            "the setting `Warn` has an invalid name: begin with a lower case letter, and use at most 32 lower case \
             letters, digits and dashes",
        ),
        (
            many(1),
            vec![setting("warn\n", "")],
            "the setting `warn` has an invalid name: begin with a lower case letter, and use at most 32 lower case \
             letters, digits and dashes",
        ),
        (many(1), vec![setting("warn", "[")], "the setting `warn` has an invalid pattern: unclosed character class"),
    ];
    for (commands, settings, message) in cases {
        assert_eq!(checked(commands, settings).unwrap_err(), message);
    }
    assert!(checked(many(64), settings(64)).is_ok());
}

#[test]
fn an_invalid_file_is_rejected() {
    let component = |text: &str| Artifact::from_bytes(&wat::parse_str(text).unwrap(), &calls());
    assert!(matches!(Artifact::from_bytes(b"", &calls()), Err(ArtifactError::NotWasm(_))));
    assert!(matches!(Artifact::from_bytes(b"\0asm\x01\0\0\0\xff", &calls()), Err(ArtifactError::NotWasm(_))));
    assert!(matches!(component("(component)"), Err(ArtifactError::NoCommands)));
    assert!(matches!(component("(module)"), Err(ArtifactError::NoCommands | ArtifactError::NotEncodable(_))));
    let wasi = r#"(module (import "wasi_snapshot_preview1" "fd_write" (func)))"#;
    assert!(
        matches!(component(wasi), Err(ArtifactError::Imports(imports)) if imports == ["wasi_snapshot_preview1.fd_write"])
    );
    let many = format!("(component {})", "(component)".repeat(201));
    assert!(matches!(component(&many), Err(ArtifactError::TooComplex)));
    let deep = format!("{}{}", "(component ".repeat(10), ")".repeat(10));
    assert!(matches!(component(&deep), Err(ArtifactError::TooComplex)));
    let huge = vec![0; usize::try_from(artifact::MAX_FILE_SIZE).unwrap() + 1];
    assert!(matches!(Artifact::from_bytes(&huge, &calls()), Err(ArtifactError::TooLarge(_))));
    let folder = tempfile::tempdir().unwrap();
    assert!(matches!(read_file(&folder.path().join("missing.wasm")), Err(ArtifactError::Unreadable(_))));
    assert!(matches!(read_file(folder.path()), Err(ArtifactError::Unreadable(_))), "a folder is not a plugin");
}

#[test]
fn memory_is_summed_over_all_memories_and_a_refused_growth_is_the_limit() {
    let mut meter = Meter::new(Limits { memory: 3 << 20, ..Limits::default() });
    assert!(meter.memory_growing(0, 1 << 20, None).unwrap());
    assert!(meter.memory_growing(0, 1 << 20, None).unwrap(), "another memory");
    assert!(meter.memory_growing(1 << 20, 2 << 20, None).unwrap());
    let error = meter.memory_growing(2 << 20, (2 << 20) + 1, None).unwrap_err();
    assert_eq!(error.downcast_ref::<LimitReached>(), Some(&LimitReached::Memory(3)));
    assert!(meter.table_growing(0, 1_000_000, None).is_err());
    assert!(meter.memory_growing(0, usize::MAX, None).is_err());
}

#[test]
fn calls_and_bytes_are_counted() {
    let mut meter = Meter::new(Limits { calls: 2, bytes_out: 1_000, ..Limits::default() });
    meter.call(&"x").unwrap();
    meter.call(&"x").unwrap();
    assert_eq!(meter.call(&"x").unwrap_err().downcast_ref(), Some(&LimitReached::Calls(2)));
    let mut meter = Meter::new(Limits { bytes_out: 1_000, ..Limits::default() });
    let error = meter.call(&"x".repeat(1_000)).unwrap_err();
    assert_eq!(error.downcast_ref(), Some(&LimitReached::BytesOut(1_000)));
}

#[test]
fn a_limit_error_names_the_limit() {
    let cases = [
        (LimitReached::Memory(32), "it used more than 32 MiB of memory"),
        (LimitReached::Cpu(Duration::from_secs(1)), "it used more than 1000 ms of processor time"),
        (LimitReached::Wall(Duration::from_secs(30)), "it did not end within 30 s"),
        (LimitReached::Calls(1000), "it made more than 1000 host calls"),
        (LimitReached::BytesOut(1024), "it passed more than 1024 bytes to the host"),
        (LimitReached::Stack, "its function calls are nested too deeply"),
    ];
    for (limit, text) in cases {
        assert_eq!(limit.to_string(), text);
    }
}

#[tokio::test]
async fn the_clock_ticks_until_the_last_runtime_is_dropped() {
    let runtime = Runtime::new().unwrap();
    let engine = runtime.engine().clone();
    let held = runtime.clone();
    drop(runtime);
    let mut store = wasmtime::Store::new(&engine, ());
    run::limit_cpu(&mut store, Duration::from_millis(50));
    // A host runs components, but a core module is enough for an endless loop.
    let bytes = wat::parse_str(r#"(module (func (export "run") (loop (br 0))))"#).unwrap();
    let module = wasmtime::Module::new(&engine, bytes).unwrap();
    let instance = wasmtime::Instance::new_async(&mut store, &module, &[]).await.unwrap();
    let endless = instance.get_typed_func::<(), ()>(&mut store, "run").unwrap();
    let ended = tokio::time::timeout(Duration::from_secs(20), endless.call_async(&mut store, ())).await.unwrap();
    let error = ended.unwrap_err();
    assert_eq!(error.downcast_ref(), Some(&LimitReached::Cpu(Duration::from_millis(50))));
    drop(held);
}

/// Compiles a file with a shell script in place of the compiler. Returns the error.
async fn compiled_by(script: &str) -> String {
    let program = ["/bin/sh", "-c", script].map(str::to_owned).to_vec();
    let runtime = Runtime::new().unwrap();
    match Compiler::new(Some(program)).compile(runtime.engine(), &calls(), &[0; 100_000]).await {
        Err(error) => error.to_string(),
        Ok(_) => panic!("`{script}` compiles nothing"),
    }
}

#[tokio::test]
async fn a_compiler_that_dies_is_reported() {
    let cpu = "it cannot be compiled: it needs more than 60 s of processor time";
    for (script, error) in [
        ("kill -XCPU $$", cpu),
        (
            "cat >/dev/null; kill -KILL $$",
            "it cannot be compiled: the compiler was killed, for example because the system has too little memory",
        ),
        (
            "echo 'memory allocation of 9 bytes failed' >&2; kill -ABRT $$",
            "it cannot be compiled: it needs more than 2048 MiB of memory",
        ),
        (
            "cat >/dev/null; echo 'out of luck' >&2; exit 3",
            "it cannot be compiled: the compiler failed (exit status: 3): out of luck",
        ),
        ("cat >/dev/null; echo '{\"Failed\":\"a trap\"}'", "it cannot be compiled: a trap"),
        ("cat >/dev/null; echo '{\"Invalid\":\"no plugin\"}'", "no plugin"),
        ("cat >/dev/null; echo nonsense", "it cannot be compiled: the compiler failed (exit status: 0): "),
        (
            "test -z \"$HOME\" || echo 'a variable' >&2; exit 1",
            "it cannot be compiled: the compiler failed (exit status: 1): ",
        ),
    ] {
        assert_eq!(compiled_by(script).await, error, "{script}");
    }
}
