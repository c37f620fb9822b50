//! Tests of the problems that are reported when the tables of a Jenkins backend are read.

use wardroom_jenkins::JenkinsFactory;

use crate::harness::read;

const SYSTEM: &str = "url = 'https://ci.example.org/jenkins'\nuser = 'bot'\ntoken = { env = 'T' }";

fn problems(system: &str, job: &str, keys: &str) -> Vec<String> {
    let factory = JenkinsFactory::new("/nowhere".into());
    let parameters = ["version".to_owned()];
    read(&factory, std::path::Path::new("/"), system, job, keys, &parameters).err().unwrap_or_default()
}

#[test]
fn a_complete_configuration_is_accepted() {
    let more = "\nca = 'ca.pem'\ntimeout = '5s'\nrun_parameter = 'RUN_ID'";
    assert_eq!(problems(&format!("{SYSTEM}{more}"), "web/cms", "values = { TAG = 'v{version}', X = 'y' }"), [""; 0]);
    assert_eq!(problems(SYSTEM, "web/cms/feature%2Flogin", ""), [""; 0], "`version` is passed under its own name");
}

#[test]
fn a_problem_names_its_line_and_the_line_to_write() {
    for (system, expected) in [
        (
            "user = 'bot'\ntoken = { env = 'T' }",
            "plugins.toml:1: [pipelines.ci] has no `url`\n    write: url = \"https://ci.example.org\"",
        ),
        (
            "url = 'https://ci.example.org/job/web/job/cms/'\nuser = 'bot'\ntoken = { env = 'T' }",
            "plugins.toml:1: `pipelines.ci.url` is the URL of a job or of the API; write the URL of Jenkins itself\n    write: url = \"https://ci.example.org\"",
        ),
        (
            "url = 'https://bot:hunter2@ci.example.org'\nuser = 'bot'\ntoken = { env = 'T' }",
            "plugins.toml:1: `pipelines.ci.url` contains a user name or a password, which is not allowed\n    write: url = \"https://ci.example.org\"",
        ),
        (
            "url = 'https://ci.example.org'\nuser = 'bot'",
            "plugins.toml:1: [pipelines.ci] has no `token`\n    write: token = { env = \"JENKINS_TOKEN\" }",
        ),
        (
            "url = 'https://ci.example.org'\nuser = 'bot'\ntoken = { env = 'T' }\npassword = { env = 'P' }",
            "plugins.toml:1: [pipelines.ci] has both `token` and `password`; only one of them is allowed\n    write: token = { env = \"JENKINS_TOKEN\" }",
        ),
        (
            "url = 'https://ci.example.org'\nuser = 'a:b'\ntoken = { env = 'T' }",
            "plugins.toml:2: `pipelines.ci.user` is empty or contains a colon\n    write: user = \"wardroom\"",
        ),
    ] {
        assert_eq!(problems(system, "web/cms", ""), [expected], "{system}");
    }
    let literal = problems("url = 'https://ci.example.org'\nuser = 'bot'\ntoken = 'hunter2'", "web/cms", "");
    assert!(literal.iter().all(|problem| !problem.contains("hunter2")) && literal.len() == 1, "{literal:?}");
}

#[test]
fn a_pipeline_with_problems_is_rejected() {
    for (job, keys, expected) in [
        (
            "https://ci.example.org/job/web/",
            "",
            "is not the full name of a Jenkins job: it is a URL or a part of a URL",
        ),
        ("job/web/job/cms", "", "it is a URL or a part of a URL"),
        ("web//cms", "", "it has an empty segment, `.` or `..`"),
        ("web/../cms", "", "it has an empty segment, `.` or `..`"),
        ("web/cms", "values = { TAG = '{versoin}' }", "names the parameter `versoin`"),
        (
            "web/cms",
            "values = { version = '1.0' }",
            "`values` sets `version`, but does not use the parameter `version`",
        ),
        (
            "web/cms",
            "values = { TAG = '{version}', WARDROOM_RUN = 'x' }",
            "`WARDROOM_RUN` carries the key of the run, so it cannot have a value",
        ),
    ] {
        let found = problems(SYSTEM, job, keys);
        assert!(found.iter().any(|problem| problem.contains(expected)), "{job}: {found:#?}");
    }
}
