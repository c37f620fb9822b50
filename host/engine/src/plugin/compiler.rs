//! Checks and compiles plugin files. A small file can need hours of processor time and gigabytes of memory, so the host
//! does this in a child process with limits. Without a program for the child process, it compiles in this process.
//!
//! Not here: the cache of the compiled code, which is in `cache.rs`.

use std::{
    io::{self, BufRead as _, BufReader, Read, Write},
    process::{ExitStatus, Stdio},
    sync::Arc,
    time::Duration,
};

use rustix::process::{Resource, Rlimit, setrlimit};
use serde::{Deserialize, Serialize};
use tokio::{io::AsyncReadExt as _, io::AsyncWriteExt as _, process::Command};
use wasmtime::Engine;

use super::{
    artifact::{Artifact, MAX_FILE_SIZE},
    load::LoadError,
    runtime::{Memory, config},
};
use crate::model::{CallKind, CallSpec, CallTable};

/// The maximum processor time for one plugin, in seconds.
const MAX_CPU_SECONDS: u64 = 60;
/// The maximum memory for one plugin, in bytes.
const MAX_MEMORY: u64 = 2 << 30;
/// The maximum time for one plugin. On a busy machine, the processor time takes longer.
const MAX_TIME: Duration = Duration::from_secs(180);
/// The number of threads that compile one plugin.
const THREADS: &str = "2";
/// The maximum size of the error output of the child process that is kept, in bytes.
const MAX_ERRORS: u64 = 4096;
/// The maximum size of the answer of the child process, in bytes. A larger answer fails.
const MAX_ANSWER: u64 = 512 << 20;

/// A plugin file that was checked and compiled.
pub(super) struct Compiled {
    pub(super) contract: String,
    /// The names of the host calls that the plugin imports.
    pub(super) calls: Vec<String>,
    /// The compiled code, as wasmtime serializes it.
    pub(super) code: Vec<u8>,
}

/// The first line of the child's input, as JSON. The plugin's file follows.
#[derive(Serialize, Deserialize)]
struct Request {
    /// The maximum processor time of the child, in seconds.
    cpu_seconds: u64,
    /// The maximum memory of the child, in bytes.
    memory: u64,
    /// The package and the name of each host call that plugins can import.
    calls: Vec<(String, String)>,
}

/// The first line of the child's output, as JSON. The compiled code follows.
#[derive(Serialize, Deserialize)]
enum Answer {
    Compiled {
        contract: String,
        calls: Vec<String>,
    },
    /// The file is not a valid plugin. The value is the reason, in one line.
    Invalid(String),
    /// Wasmtime cannot compile the plugin. The value is the reason, in one line.
    Failed(String),
}

/// Compiles plugin files.
#[derive(Clone, Default)]
pub(crate) struct Compiler {
    program: Option<Arc<[String]>>,
}

impl Compiler {
    /// Creates a compiler. `program` is the program of the child process and its arguments; with `None`, the compiler
    /// compiles in this process.
    pub(crate) fn new(program: Option<Vec<String>>) -> Self {
        Self { program: program.map(Into::into) }
    }

    /// Checks and compiles the bytes of a plugin's file.
    ///
    /// # Errors
    /// [`LoadError::Invalid`] or [`LoadError::Compile`].
    pub(super) async fn compile(
        &self,
        engine: &Engine,
        table: &CallTable,
        bytes: &[u8],
    ) -> Result<Compiled, LoadError> {
        let (answer, code) = match &self.program {
            None => {
                let (engine, table, bytes) = (engine.clone(), table.clone(), bytes.to_vec());
                // On a blocking thread, because the compilation would block the guests on a thread of the runtime.
                let compiled = tokio::task::spawn_blocking(move || compile(&engine, &table, &bytes));
                compiled.await.map_err(|error| LoadError::Compile(error.to_string()))?
            }
            Some(program) => in_child(program, table, bytes).await.map_err(LoadError::Compile)?,
        };
        match answer {
            Answer::Compiled { contract, calls } => Ok(Compiled { contract, calls, code }),
            Answer::Invalid(reason) => Err(LoadError::Invalid(reason)),
            Answer::Failed(reason) => Err(LoadError::Compile(reason)),
        }
    }
}

/// Checks and compiles the bytes of a plugin's file in this process.
fn compile(engine: &Engine, table: &CallTable, bytes: &[u8]) -> (Answer, Vec<u8>) {
    let artifact = match Artifact::from_bytes(bytes, table) {
        Ok(artifact) => artifact,
        Err(error) => return (Answer::Invalid(error.to_string()), Vec::new()),
    };
    match engine.precompile_component(&artifact.component) {
        Ok(code) => {
            let calls = artifact.calls.iter().map(|row| row.name.to_owned()).collect();
            (Answer::Compiled { contract: artifact.contract, calls }, code)
        }
        Err(error) => (Answer::Failed(format!("{error:#}").replace('\n', " ")), Vec::new()),
    }
}

/// Checks and compiles the bytes of a plugin's file in a child process.
///
/// # Errors
/// The reason why the child process gave no answer, in one line.
async fn in_child(program: &[String], table: &CallTable, bytes: &[u8]) -> Result<(Answer, Vec<u8>), String> {
    let [name, arguments @ ..] = program else { return Err("no program is configured".to_owned()) };
    // The child handles bytes that nobody has checked, so it gets none of the secrets in the environment.
    let mut child = Command::new(name)
        .args(arguments)
        .env_clear()
        .env("RAYON_NUM_THREADS", THREADS)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| format!("the compiler `{name}` cannot be started: {error}"))?;
    let (Some(mut stdin), Some(stdout), Some(stderr)) = (child.stdin.take(), child.stdout.take(), child.stderr.take())
    else {
        return Err("the compiler has no pipes".to_owned());
    };
    let calls = table.iter().map(|row| (row.package.to_owned(), row.name.to_owned())).collect();
    let request = Request { cpu_seconds: MAX_CPU_SECONDS, memory: MAX_MEMORY, calls };
    let mut request = serde_json::to_vec(&request).map_err(|error| error.to_string())?;
    request.push(b'\n');
    let talk = async {
        // The child reads its whole input before it writes. If it ends early, its exit status has the reason.
        let sent = async {
            stdin.write_all(&request).await?;
            stdin.write_all(bytes).await
        };
        let _: io::Result<()> = sent.await;
        drop(stdin);
        let (mut answer, mut errors) = (Vec::new(), Vec::new());
        let mut stdout = stdout.take(MAX_ANSWER);
        let read_errors = async {
            let mut stderr = stderr.take(MAX_ERRORS);
            stderr.read_to_end(&mut errors).await?;
            // Read on, so that the child does not wait for a reader.
            tokio::io::copy(&mut stderr.into_inner(), &mut tokio::io::sink()).await
        };
        let read_answer = async {
            let read = stdout.read_to_end(&mut answer).await;
            drop(stdout);
            read
        };
        let read = tokio::try_join!(read_answer, read_errors);
        let status = child.wait().await;
        (read.map(drop), status, answer, errors)
    };
    let Ok((read, status, answer, errors)) = tokio::time::timeout(MAX_TIME, talk).await else {
        return Err(format!("the compilation did not end within {} s", MAX_TIME.as_secs()));
    };
    read.map_err(|error| format!("the answer of the compiler cannot be read: {error}"))?;
    let status = status.map_err(|error| format!("the compiler cannot be awaited: {error}"))?;
    let mut answer = BufReader::new(answer.as_slice());
    let mut line = Vec::new();
    let header = answer.read_until(b'\n', &mut line).ok().and_then(|_| serde_json::from_slice(&line).ok());
    match header {
        Some(header) if status.success() => {
            let mut code = Vec::new();
            answer.read_to_end(&mut code).map_err(|error| error.to_string())?;
            Ok((header, code))
        }
        _ => Err(death(status, &String::from_utf8_lossy(&errors))),
    }
}

/// Returns the reason why the child process ended without an answer, in one line.
fn death(status: ExitStatus, errors: &str) -> String {
    use std::os::unix::process::ExitStatusExt as _;
    const KILLED: i32 = 9;
    const CPU_LIMIT: i32 = 24;
    if errors.contains("memory allocation") {
        return format!("it needs more than {} MiB of memory", MAX_MEMORY >> 20);
    }
    match status.signal() {
        Some(CPU_LIMIT) => format!("it needs more than {MAX_CPU_SECONDS} s of processor time"),
        Some(KILLED) => "the compiler was killed, for example because the system has too little memory".to_owned(),
        _ => {
            let line = crate::base::clean(errors.lines().next().unwrap_or_default());
            format!("the compiler failed ({status}): {line}")
        }
    }
}

/// The main function of the child process: limits this process, reads a plugin's file from `input`, and writes the
/// compiled code to `output`.
///
/// # Errors
/// The limits cannot be set, the input is not valid, or an I/O error.
pub(crate) fn compile_input(input: impl Read, mut output: impl Write) -> io::Result<()> {
    // The first line comes from the host, and only the rest from the plugin's author.
    let mut input = BufReader::new(input);
    let mut line = String::new();
    input.read_line(&mut line)?;
    let request: Request = serde_json::from_str(&line)?;
    let limit = |most: u64| Rlimit { current: Some(most), maximum: Some(most) };
    // The lower limit sends SIGXCPU, which names the reason; the higher one sends SIGKILL.
    let cpu = Rlimit { current: Some(request.cpu_seconds), maximum: Some(request.cpu_seconds + 5) };
    setrlimit(Resource::Cpu, cpu)?;
    setrlimit(Resource::Data, limit(request.memory))?;
    setrlimit(Resource::Core, limit(0))?;
    let mut bytes = Vec::new();
    input.take(MAX_FILE_SIZE + 1).read_to_end(&mut bytes)?;
    // The texts of a call table are constants of the program, and this process ends soon.
    let row = |(package, name): (String, String)| CallSpec::new(package.leak(), name.leak(), CallKind::Reads, "");
    let table = CallTable::new(request.calls.into_iter().map(row).collect());
    let engine = Engine::new(&config(Memory::OnDemand)).map_err(|error| io::Error::other(format!("{error:#}")))?;
    let (answer, code) = compile(&engine, &table, &bytes);
    serde_json::to_writer(&mut output, &answer)?;
    output.write_all(b"\n")?;
    output.write_all(&code)?;
    output.flush()
}
