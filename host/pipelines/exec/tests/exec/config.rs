//! What is wrong with a table is said when it is read.

use std::{fs, path::Path, sync::Arc};

use wardroom::{
    config::{Problems, Table, parse},
    port::PipelinesFactory,
};
use wardroom_exec::ExecFactory;

use crate::harness::Host;

fn problems(keys: &str) -> Vec<String> {
    let host = Host::new();
    fs::write(host.path("plain"), "").unwrap();
    let found = host.read(keys, &["version", "region"]).err().unwrap_or_default();
    found.iter().map(|problem| problem.replace(&host.folder.path().display().to_string(), "FOLDER")).collect()
}

#[test]
fn problems_name_the_line_and_what_to_write() {
    let uses = "env.R = '{region}'";
    for (keys, expected) in [
        (
            "run = []",
            "plugins.toml:1: `run` is empty, and must name a program\n    write: run = [\"./program\", \"argument\"]",
        ),
        (
            "run = ['true', '{version}', '{regoin}']",
            "plugins.toml:1: `{regoin}` names the parameter `regoin`, and there is only `version`, `region`\n    write: \"{region}\"",
        ),
        (
            "run = ['true', '{version}', 'a}']",
            "plugins.toml:1: `a}` has a single brace\n    write: \"a}}\"   (a brace is written twice)",
        ),
        (
            "run = ['{version}']",
            "plugins.toml:1: the program of `run` is `{version}`, and must be a name or path without parameters\n    write: run = [\"./program\", \"{version}\"]",
        ),
        (
            "run = [\n'./nothing']",
            "plugins.toml:2: the program `./nothing` of `run` does not exist\n    write: a program at `FOLDER/./nothing`",
        ),
        (
            "run = ['./plain']",
            "plugins.toml:1: the program `./plain` of `run` is not executable\n    write: chmod +x FOLDER/./plain   (in a shell)",
        ),
        (
            "run = ['nothing']",
            "plugins.toml:1: the program `nothing` of `run` is not in `/usr/local/bin:/usr/bin:/bin`\n    write: run = [\"./nothing\", ...]   (a path relative to this file), or env = { PATH = \"...\" }",
        ),
        (
            "run = ['true', '{version}']",
            "plugins.toml:1: [app.cms.deploy.staging] has the parameter `region`, and neither `run` nor `env` uses it\n    write: run = [..., \"{region}\"], or env = { REGION = \"{region}\" }",
        ),
        (
            "run = ['true', '{version}']\nenv.R = '{region}'\ndir = 'plain'",
            "plugins.toml:3: `FOLDER/plain` is no folder\n    write: dir = \"...\"   (a folder that is there)",
        ),
        (
            "run = ['true', '{version}']\nenv.R = '{region}'\ntimeout = '0s'",
            "plugins.toml:3: `app.cms.deploy.staging.timeout` is no time at all\n    write: timeout = \"10m\"",
        ),
        (
            "run = ['true', '{version}']\nenv.R = '{region}'\nenv.2x = 'y'",
            "plugins.toml:3: `2x` is no name of an environment variable\n    write: letters, digits and `_`",
        ),
        (
            "run = ['true', '{version}']\nenv.PATH = '/{region}'",
            "plugins.toml:2: `PATH` takes no parameters: programs are looked up in it\n    write: PATH = \"/usr/local/bin:/usr/bin:/bin\"",
        ),
        (
            "run = ['true', '{version}{region}']\nenv.PATH = { env = 'X' }",
            "plugins.toml:2: `PATH` cannot be a secret: programs are looked up in it\n    write: PATH = \"/usr/local/bin:/usr/bin:/bin\"",
        ),
    ] {
        assert_eq!(problems(keys), [expected], "{keys}");
    }
    assert_eq!(problems(&format!("run = ['true', '{{version}}']\n{uses}")), [""; 0]);
    assert_eq!(problems(&format!("run = ['tool', '{{version}}']\n{uses}\nenv.PATH = '/nowhere'")).len(), 1);
}

#[test]
fn problems_come_all_at_once() {
    let found = problems("run = ['./nothing', '{x}']\ntimout = '3m'\nuser = 7\nenv = { A = 1, B = {} }");
    let lines: Vec<&str> = found.iter().map(|problem| problem.split(": ").next().unwrap()).collect();
    assert_eq!(lines.len(), 6, "{found:#?}");
    assert!(found.iter().any(|problem| problem.contains("takes no key `timout`") && problem.contains("timeout = ...")));
}

#[test]
fn a_system_table_is_not_needed() {
    let problems = Problems::default();
    let tree = parse(Path::new("plugins.toml"), "kind = 'exec'\n", &problems);
    let mut table = Table::new("pipelines.local", tree, &problems, Arc::new("/".into()));
    let factory = ExecFactory::new("/nowhere".into(), vec!["supervisor".into()]);
    assert!(factory.system(Some(&mut table)).is_none());
    let found: Vec<String> = problems.sorted().iter().map(ToString::to_string).collect();
    assert_eq!(
        found,
        [
            "plugins.toml:1: [pipelines.local] is of the kind `exec`, which needs no [pipelines.*] table\n    write: run = [\"./program\", \"argument\"]   (in [app.A.deploy.E], without this table)"
        ]
    );
}
