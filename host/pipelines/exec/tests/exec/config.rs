//! Tests of the problems that are reported when the configuration table of an exec pipeline is read.

use std::fs;

use wardroom::{adapter::PipelinesFactory, base::Table};
use wardroom_exec::ExecFactory;

use crate::harness::TestHost;

fn problems(keys: &str) -> Vec<String> {
    let host = TestHost::new();
    fs::write(host.path("plain"), "").unwrap();
    let found = host.read(keys, &["version", "region"]).err().unwrap_or_default();
    found.iter().map(|problem| problem.replace(&host.folder.path().display().to_string(), "FOLDER")).collect()
}

#[test]
fn a_problem_names_its_line_and_the_line_to_write() {
    let uses = "env.R = '{region}'";
    for (keys, expected) in [
        (
            "run = []",
            "plugins.toml:1: `run` is empty; it must name a program\n    write: run = [\"./program\", \"argument\"]",
        ),
        (
            "run = ['true', '{version}', '{regoin}']",
            "plugins.toml:1: `{regoin}` names the parameter `regoin`; the pipeline's parameters are `version`, `region`\n    write: \"{region}\"",
        ),
        (
            "run = ['true', '{version}', 'a}']",
            "plugins.toml:1: `a}` has an unmatched brace\n    write: \"a}}\"   (a literal brace is written twice)",
        ),
        (
            "run = ['{version}']",
            "plugins.toml:1: `{version}` cannot be the program of `run`: the program must be a name or a path without parameters\n    write: run = [\"./program\", \"{version}\"]",
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
            "plugins.toml:1: the program `nothing` of `run` is in no folder of `PATH` (`/usr/local/bin:/usr/bin:/bin`)\n    write: run = [\"./nothing\", ...]   (a path relative to the main file), or env = { PATH = \"...\" }",
        ),
        (
            "run = ['true', '{version}']",
            "plugins.toml:1: neither `run` nor `env` uses the parameter `region` of [app.cms.deploy.staging]\n    write: run = [..., \"{region}\"], or env = { REGION = \"{region}\" }",
        ),
        (
            "run = ['true', '{version}']\nenv.R = '{region}'\ndir = 'plain'",
            "plugins.toml:3: the working folder `FOLDER/plain` does not exist or is not a folder\n    write: dir = \"...\"   (an existing folder)",
        ),
        (
            "run = ['true', '{version}']\nenv.R = '{region}'\ntimeout = '0s'",
            "plugins.toml:3: `app.cms.deploy.staging.timeout` is `0s`, and must be at least 1ms\n    write: timeout = \"1ms\"",
        ),
        (
            "run = ['true', '{version}']\nenv.R = '{region}'\nenv.2x = 'y'",
            "plugins.toml:3: `2x` is not a valid name of an environment variable\n    write: a name of letters, digits and `_` that does not begin with a digit",
        ),
        (
            "run = ['true', '{version}']\nenv.PATH = '/{region}'",
            "plugins.toml:2: the value of `PATH` cannot contain pipeline parameters, because the host searches `PATH` for the program\n    write: PATH = \"/usr/local/bin:/usr/bin:/bin\"",
        ),
        (
            "run = ['true', '{version}{region}']\nenv.PATH = { env = 'X' }",
            "plugins.toml:2: `PATH` cannot be a secret: the host searches `PATH` for the program\n    write: PATH = \"/usr/local/bin:/usr/bin:/bin\"",
        ),
    ] {
        assert_eq!(problems(keys), [expected], "{keys}");
    }
    assert_eq!(problems(&format!("run = ['true', '{{version}}']\n{uses}")), [""; 0]);
    assert_eq!(problems(&format!("run = ['tool', '{{version}}']\n{uses}\nenv.PATH = '/nowhere'")).len(), 1);
}

#[test]
fn all_problems_are_reported_at_once() {
    let found = problems("run = ['./nothing', '{x}']\ntimout = '3m'\nuser = 7\nenv = { A = 1, B = {} }");
    let lines: Vec<&str> = found.iter().map(|problem| problem.split(": ").next().unwrap()).collect();
    assert_eq!(lines.len(), 6, "{found:#?}");
    assert!(found.iter().any(|problem| problem.contains("takes no key `timout`") && problem.contains("timeout = ...")));
}

#[test]
fn a_pipelines_table_is_rejected() {
    let factory = ExecFactory::new("/nowhere".into(), vec!["supervisor".into()]);
    let (mut table, problems) = Table::parse("pipelines.local", "kind = 'exec'\n", factory.system_keys(), "/");
    assert!(factory.system(Some(&mut table)).is_none());
    let found: Vec<String> = problems.sorted().iter().map(ToString::to_string).collect();
    assert_eq!(
        found,
        [
            "plugins.toml:1: remove [pipelines.local]: the kind `exec` has no [pipelines.*] table\n    write: run = [\"./program\", \"argument\"]   (in [app.A.deploy.E], without this table)"
        ]
    );
}
