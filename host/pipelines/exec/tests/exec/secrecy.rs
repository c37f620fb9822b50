//! Tests of what a program inherits from the host process, and of which files of a pipeline run other users can read.

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use wardroom::model::Outcome;

use crate::harness::{PIPELINE, TestHost, key, refusal, run, values};

#[tokio::test]
async fn the_environment_is_clean() {
    let host = TestHost::new();
    let script = "env | grep -v '^\\(PWD\\|SHLVL\\|_\\|OLDPWD\\)=' | sort; pwd; cat; umask";
    let (_, lines) = run(&host.script(script, "env = { B = 'two words', LANG = 'C' }"), "a-1", &[]).await;
    let home = std::process::Command::new("sh").args(["-c", "getent passwd $(id -u) | cut -d: -f6"]).output().unwrap();
    let home = String::from_utf8(home.stdout).unwrap();
    let expected = ["B=two words", &format!("HOME={}", home.trim()), "LANG=C", "PATH=/usr/local/bin:/usr/bin:/bin"];
    assert_eq!(&lines[..4], expected);
    assert_eq!(lines[4], format!("WARDROOM_RUN_FOLDER={}", host.runs().join("a-1").display()));
    assert_eq!(Path::new(&lines[5]).canonicalize().unwrap(), host.folder.path().canonicalize().unwrap());
    // `cat` read an empty standard input.
    assert_eq!(lines.len(), 7);

    fs::create_dir(host.path("site")).unwrap();
    let (_, lines) = run(
        &host.script("pwd; echo $HOME $PATH", "dir = 'site'\nenv = { HOME = '/x', PATH = '/usr/bin:/bin' }"),
        "a-2",
        &[],
    )
    .await;
    assert_eq!(Path::new(&lines[0]).canonicalize().unwrap(), host.path("site").canonicalize().unwrap());
    assert_eq!(lines[1], "/x /usr/bin:/bin");
}

#[tokio::test]
async fn a_program_inherits_no_open_file_of_the_host() {
    let host = TestHost::new();
    let file = fs::File::create(host.path("secret")).unwrap();
    // A duplicate is not close-on-exec, so the supervisor inherits it.
    let inherited = rustix::io::dup(&file).unwrap();
    let (end, lines) = run(&host.script("readlink /proc/$$/fd/*; echo end", ""), "a-1", &[]).await;
    drop(inherited);
    assert_eq!((end.outcome, lines.last().map(String::as_str)), (Outcome::Succeeded, Some("end")));
    assert!(!lines.iter().any(|line| line.ends_with("/secret")), "{lines:?}");
}

#[tokio::test]
async fn secrets_are_in_no_file_and_no_argument() {
    let host = TestHost::new();
    fs::write(host.path("token"), "hunter2hunter2\n").unwrap();
    let script = "[ \"$TOKEN\" = hunter2hunter2 ] && echo right; cat /proc/$$/cmdline /proc/$PPID/cmdline /proc/$PPID/environ | tr '\\0' ' '";
    let (end, lines) = run(&host.script(script, "env = { TOKEN = { file = 'token' } }"), "a-1", &[]).await;
    assert_eq!((end.outcome, lines[0].as_str()), (Outcome::Succeeded, "right"));
    assert!(lines[1].contains("supervisor"), "{lines:?}");
    for file in fs::read_dir(host.runs().join("a-1")).unwrap() {
        let path = file.unwrap().path();
        let content = String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned();
        assert!(!content.contains("hunter2"), "{} has it", path.display());
    }
    let plan = fs::read_to_string(host.runs().join("a-1/plan.json")).unwrap();
    assert!(plan.contains("TOKEN"));
}

#[tokio::test]
async fn a_printed_secret_is_redacted_before_it_is_stored() {
    let host = TestHost::new();
    fs::write(host.path("token"), "hunter2/hunter2\n").unwrap();
    // The last one is cut over two writes, and no line end follows.
    let script = "echo \"step: with $TOKEN\"; echo \"a $TOKEN b\" >&2; printf 'marvin:%s' \"$TOKEN\" | base64
         echo hunter2%2Fhunter2; printf 'hunter2/hun'; sleep 0.3; printf ter2; exit 3";
    let (end, lines) = run(&host.script(script, "env = { TOKEN = { file = 'token' } }"), "a-1", &[]).await;
    assert_eq!(end.message, "in step with [redacted] (exit code 3)");
    assert_eq!(lines[..2], ["step: with [redacted]", "a [redacted] b"]);
    assert!(lines[2].contains("[redacted]") && !lines[2].contains("odW50ZXIyL2h1bnRlcj"), "{lines:?}");
    assert_eq!(lines[3..], ["[redacted]", "[redacted]"]);
    for file in fs::read_dir(host.runs().join("a-1")).unwrap() {
        let path = file.unwrap().path();
        let content = String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned();
        assert!(!content.contains("hunter2") && !content.contains("h1bnRlcj"), "{}: {content}", path.display());
    }
}

#[tokio::test]
async fn a_run_is_private_whatever_the_umask_is() {
    let host = TestHost::new();
    let (end, lines) = run(&host.script("umask; umask 0; echo x > made; exit 0", ""), "a-1", &[]).await;
    assert_eq!((end.outcome, lines.len()), (Outcome::Succeeded, 1));
    for path in [host.runs(), host.runs().join("a-1"), host.runs().join("a-1/output.0")] {
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o077, 0, "{}", path.display());
    }
}

#[tokio::test]
async fn an_unreadable_secret_prevents_the_start() {
    let host = TestHost::new();
    let pipelines = host.script("true", "env = { TOKEN = { env = 'WARDROOM_TEST_NOT_SET' } }");
    assert_eq!(
        refusal(pipelines.start(&key("a-1"), PIPELINE, &values(&[])).await),
        "cannot read the secret for the environment variable `TOKEN`: the environment variable `WARDROOM_TEST_NOT_SET` is not set or is not valid UTF-8"
    );
    assert!(!host.runs().exists());
}

#[tokio::test]
async fn only_the_host_user_can_read_a_run() {
    let host = TestHost::new();
    run(&host.script("echo words; exit 1", ""), "a-1", &[]).await;
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&host.runs()), mode(&host.runs().join("a-1"))), (0o700, 0o700));
    let mut names = Vec::new();
    for file in fs::read_dir(host.runs().join("a-1")).unwrap() {
        let file = file.unwrap();
        assert_eq!(mode(&file.path()), 0o600, "{}", file.path().display());
        names.push(file.file_name().into_string().unwrap());
    }
    names.sort();
    assert_eq!(names, ["lock", "output.0", "plan.json", "started.json", "verdict.json"]);
}

#[tokio::test]
async fn a_run_can_have_another_user() {
    let host = TestHost::new();
    let pipelines = host.script("true", "user = 'nobody-of-that-name'");
    let refused = refusal(pipelines.start(&key("a-1"), PIPELINE, &values(&[])).await);
    assert_eq!(refused, "cannot run as the user `nobody-of-that-name`: the user does not exist");

    let pipelines = host.read("run = ['sh', '-c', 'id -un; id -Gn; echo $HOME; cat /proc/self/status | grep CapEff']\nuser = 'nobody'\ndir = '/'", &[]).unwrap();
    let root = fs::metadata("/proc/self").unwrap();
    if std::os::unix::fs::MetadataExt::uid(&root) == 0 {
        let (end, lines) = run(&pipelines, "a-2", &[]).await;
        assert_eq!(end.outcome, Outcome::Succeeded, "{lines:?}");
        assert_eq!(lines[..3], ["nobody", "nogroup", "/nonexistent"]);
        assert_eq!(lines[3], "CapEff:\t0000000000000000");
    } else {
        let refused = refusal(pipelines.start(&key("a-2"), PIPELINE, &values(&[])).await);
        assert_eq!(refused, "cannot run as the user `nobody`: the host does not run as root");
    }
}
