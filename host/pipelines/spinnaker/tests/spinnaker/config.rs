//! Tests of the problems that are reported when the tables of a Spinnaker backend are read.

use wardroom_spinnaker::SpinnakerFactory;

use crate::harness::read;

const URL: &str = "url = 'https://gate.example.org:8085'";

fn problems(system: &str, path: &str, keys: &str) -> Vec<String> {
    let factory = SpinnakerFactory::new("/nowhere".into());
    let parameters = ["version".to_owned()];
    read(&factory, std::path::Path::new("/nowhere"), system, path, keys, &parameters).err().unwrap_or_default()
}

#[test]
fn each_way_to_sign_in_is_accepted() {
    for sign_in in [
        "certificate = { file = 'client.pem' }\nkey = { env = 'KEY' }",
        "identity = { file = 'client.pem' }",
        "token = { env = 'T' }",
        "user = 'wardroom'\npassword = { env = 'P' }",
    ] {
        let more = "ca = 'ca.pem'\ntimeout = '5s'\nui = 'https://deck.example.org'";
        let system = format!("{URL}\n{sign_in}\n{more}");
        assert_eq!(problems(&system, "cms/Deploy: 50% / x", "values = { TAG = 'v{version}' }"), [""; 0], "{sign_in}");
    }
    assert_eq!(problems("url = 'http://gate:8084'\ntoken = { env = 'T' }", "cms/Deploy", ""), [""; 0]);
}

#[test]
fn a_problem_names_its_line_and_the_line_to_write() {
    let one = "[pipelines.cd] needs exactly one way to sign in: `certificate` with `key`, `identity`, `token`, or `user` with \
               `password`\n    write: token = { env = \"GATE_TOKEN\" }";
    for (keys, expected) in [
        ("", format!("plugins.toml:1: {one}")),
        ("\ntoken = { env = 'T' }\nidentity = { env = 'I' }", format!("plugins.toml:1: {one}")),
        (
            "\ntoken = { env = 'T' }\nuser = 'a'\npassword = { env = 'P' }",
            format!("plugins.toml:1: {one}"),
        ),
        (
            "\ncertificate = { file = 'c.pem' }",
            "plugins.toml:1: [pipelines.cd] has `certificate`, but no `key`\n    write: key = { file = \"client.key\" }"
                .to_owned(),
        ),
        (
            "\nkey = { file = 'c.key' }",
            "plugins.toml:1: [pipelines.cd] has `key`, but no `certificate`\n    write: certificate = { file = \
             \"client.pem\" }"
                .to_owned(),
        ),
        (
            "\nuser = 'a'",
            "plugins.toml:1: [pipelines.cd] has `user`, but no `password`\n    write: password = { env = \
             \"GATE_PASSWORD\" }"
                .to_owned(),
        ),
        (
            "\npassword = { env = 'P' }",
            "plugins.toml:1: [pipelines.cd] has `password`, but no `user`\n    write: user = \"wardroom\"".to_owned(),
        ),
        (
            "\nuser = 'a:b'\npassword = { env = 'P' }",
            "plugins.toml:2: `pipelines.cd.user` is empty or contains a colon\n    write: user = \"wardroom\"".to_owned(),
        ),
        (
            "\ntoken = { env = 'T' }\nui = 'deck'",
            "plugins.toml:3: `pipelines.cd.ui` is not a URL\n    write: ui = \"https://deck.example.org\"".to_owned(),
        ),
    ] {
        assert_eq!(problems(&format!("{URL}{keys}"), "cms/Deploy", ""), [expected], "{keys}");
    }
    assert_eq!(
        problems("url = 'http://gate:8085'\nidentity = { env = 'I' }", "cms/Deploy", ""),
        ["plugins.toml:1: `pipelines.cd.url` is an http URL, but a client certificate needs https\n    write: url = \
          \"https://gate.example.org:8085\""]
    );
    assert_eq!(
        problems("token = { env = 'T' }", "cms/Deploy", ""),
        ["plugins.toml:1: [pipelines.cd] has no `url`\n    write: url = \"https://gate.example.org:8085\""]
    );
    let literal = problems(&format!("{URL}\ntoken = 'hunter2'"), "cms/Deploy", "");
    assert!(literal.iter().all(|problem| !problem.contains("hunter2")) && literal.len() == 1, "{literal:?}");
}

#[test]
fn a_pipeline_with_problems_is_rejected() {
    let system = format!("{URL}\ntoken = {{ env = 'T' }}");
    for (path, keys, expected) in [
        ("cms", "", "`cms` names no Spinnaker pipeline: it has no slash between the application and the pipeline"),
        ("/Deploy", "", "it has no application before the slash"),
        ("../Deploy", "", "it has no application before the slash"),
        ("cms/", "", "it has no pipeline after the slash"),
        ("https://deck/#/applications/cms/executions", "", "it is a URL"),
        ("cms/Deploy", "values = { TAG = '{versoin}' }", "names the parameter `versoin`"),
        (
            "cms/Deploy",
            "values = { version = '1.0' }",
            "`values` sets `version`, but does not use the parameter `version`",
        ),
    ] {
        let found = problems(&system, path, keys);
        assert!(found.iter().any(|problem| problem.contains(expected)), "{path}: {found:#?}");
    }
}
