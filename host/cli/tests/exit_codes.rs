//! The exit codes of all subcommands of the binary.
//!
//! Not here: exit codes that need a plugin. These are 0 of `job`, `journal show` and `plugin inspect`, and 1 of `can`.
//! The stories check them. The exit code 1 of `check --connect` is not checked here, because it needs a network.

use std::{
    path::Path,
    process::{Command, Stdio},
};

use tempfile::TempDir;

const CONFIG: &str = r#"
[bot.marvin.console]
user = "operator"

[people]
admins = ["operator"]

[environment.production]
"#;

/// A temporary folder with a configuration file. The subcommands run in this folder.
struct Host {
    folder: TempDir,
}

impl Host {
    fn new(config: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("plugins.toml"), config).unwrap();
        Self { folder }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Runs a subcommand with an empty standard input, and checks its exit code.
    fn expect(&self, code: i32, arguments: &[&str]) {
        let output = Command::new(env!("CARGO_BIN_EXE_wardroom"))
            .args(arguments)
            .current_dir(self.path())
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert_eq!(output.status.code(), Some(code), "wardroom {}\n{out}{err}", arguments.join(" "));
    }
}

/// The subcommands that read the configuration.
const WITH_CONFIG: [&[&str]; 10] = [
    &["run"],
    &["check"],
    &["audit"],
    &["audit", "people"],
    &["can", "operator", "whoami"],
    &["jobs"],
    &["job", "7f3ak"],
    &["journal", "show", "7f3ak"],
    &["journal", "verify"],
    &["plugin", "lock"],
];

#[test]
fn success_is_0() {
    let host = Host::new(CONFIG);
    host.expect(0, &["--help"]);
    host.expect(0, &["--version"]);
    host.expect(0, &["check"]);
    host.expect(0, &["audit"]);
    host.expect(0, &["audit", "people"]);
    host.expect(0, &["can", "operator", "whoami"]);
    host.expect(0, &["run"]);
    host.expect(0, &["jobs"]);
    host.expect(0, &["journal", "verify"]);
    host.expect(0, &["plugin", "lock"]);
    host.expect(0, &["plugin", "lock", "--check"]);
    host.expect(0, &["run", "--locked"]);
}

#[test]
fn failure_is_1() {
    let host = Host::new(CONFIG);
    // No host has run here, so there is no database.
    for arguments in [&["jobs"][..], &["job", "7f3ak"], &["journal", "show", "7f3ak"], &["journal", "verify"]] {
        host.expect(1, arguments);
    }
    host.expect(1, &["plugin", "inspect", "missing.wasm"]);
    host.expect(1, &["plugin", "lock", "--check"]);

    host.expect(0, &["run"]);
    host.expect(1, &["job", "7f3ak"]);
    host.expect(1, &["journal", "show", "7f3ak"]);
    let head = format!("9:{}", "0".repeat(64));
    host.expect(1, &["journal", "verify", "--head", &head]);

    std::fs::write(host.path().join("state/wardroom.db"), "not a database ".repeat(100)).unwrap();
    for arguments in [&["run"][..], &["audit"], &["audit", "people"], &["can", "operator", "whoami"], &["jobs"]] {
        host.expect(1, arguments);
    }
}

#[test]
fn a_wrong_configuration_is_2() {
    let host = Host::new("[bot.marvin.console]\nusr = \"operator\"\n");
    for arguments in WITH_CONFIG {
        host.expect(2, arguments);
    }
    let host = Host::new(CONFIG);
    for arguments in WITH_CONFIG {
        host.expect(2, &[&["--config", "missing.toml"], arguments].concat());
    }
}

#[test]
fn wrong_usage_is_2() {
    let host = Host::new(CONFIG);
    host.expect(2, &[]);
    host.expect(2, &["unknown"]);
    for arguments in WITH_CONFIG {
        host.expect(2, &[arguments, &["--unknown"]].concat());
    }
    host.expect(2, &["run", "--bot", "nobody"]);
    host.expect(2, &["run", "--locked"]);
    host.expect(2, &["can", "nobody", "whoami"]);
    host.expect(2, &["can", "operator", "unknown"]);
    host.expect(2, &["can", "operator"]);
    host.expect(2, &["jobs", "--limit", "0"]);
    host.expect(2, &["journal", "verify", "--head", "7"]);
    host.expect(2, &["plugin", "inspect"]);
}
