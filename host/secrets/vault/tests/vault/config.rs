//! Tests of the problems that are reported when the tables `[vault.NAME]` and the references are read.

use std::path::Path;

use wardroom::{
    Engine,
    adapter::{ChatFeatures, MemoryChat, SecretsFactory as _},
    base::{Table, TableKeys},
};

use crate::harness::factory;

const SERVER: &str = "url = 'https://vault.example.org:8200'\ntoken = { env = 'T' }";
const REFERENCE: &str = "prod:secret/ci/jenkins#token";
const HOOK: &str = "[bot.marvin.memory]\n[environment.production]\n[machine.ci]\nids = ['ci']\n[http]\nlisten = '127.0.0.1:0'\n[[hook]]\nname = 'x'\n\
                    as = 'ci'\nroom = 'ops'\ncommand = 'help'\n";

/// Reads a configuration with a server and a webhook whose token is a secret.
fn problems(server: &str, reference: &str) -> Vec<String> {
    read(&format!("[vault.prod]\n{server}\n{HOOK}token = {{ vault = '{reference}' }}"))
}

fn read(text: &str) -> Vec<String> {
    let builder = Engine::builder().chat(MemoryChat::new(ChatFeatures::PLAIN)).secrets(factory());
    let problems = builder.read_text(text, Path::new("/x")).err().map(|error| error.0).unwrap_or_default();
    problems.iter().map(|problem| problem.to_string().replace("/x/", "")).collect()
}

#[test]
fn a_complete_configuration_is_accepted() {
    for login in [
        "token = { file = '/run/token' }",
        "approle = { role_id = 'x', secret_id = { env = 'S' } }",
        "approle = { role_id = { file = 'r' }, wrapped_secret_id = { env = 'S' }, mount = 'team/approle' }",
        "kubernetes = { role = 'x' }",
        "cert = { cert = 'c.pem', key = 'k.pem' }",
    ] {
        let more =
            "namespace = 'team1/a'\nca = 'ca.pem'\ntimeout = '5s'\nrefresh = '1m'\nenvironments = ['production']";
        let server = format!("url = 'https://vault.example.org/vault'\n{more}\n{login}");
        assert_eq!(problems(&server, REFERENCE), [""; 0], "{login}");
    }
}

#[test]
fn a_problem_names_its_line_and_the_line_to_write() {
    for (server, expected) in [
        (
            "token = { env = 'T' }",
            "plugins.toml:1: [vault.prod] has no `url`\n    write: url = \"https://vault.example.org:8200\"",
        ),
        (
            "url = 'https://vault.example.org/v1'\ntoken = { env = 'T' }",
            "plugins.toml:2: `vault.prod.url` is the URL of the API or of a page; write the URL of the server itself\n    write: url = \"https://vault.example.org:8200\"",
        ),
        (
            "url = 'https://vault.example.org'",
            "plugins.toml:1: [vault.prod] has no login: `token`, `approle`, `kubernetes` or `cert`\n    write: token = { file = \"/run/vault-agent/token\" }",
        ),
        (
            "url = 'https://vault.example.org'\ntoken = { env = 'T' }\nkubernetes = { role = 'x' }",
            "plugins.toml:1: [vault.prod] has several logins: token, kubernetes; only one is allowed\n    write: nothing; remove all but one of them",
        ),
        (
            "url = 'https://vault.example.org'\napprole = { role_id = 'x' }",
            "plugins.toml:3: [vault.prod.approle] has no `secret_id`\n    write: secret_id = { file = \"/etc/wardroom/vault-secret-id\" }",
        ),
        (
            "url = 'https://vault.example.org'\napprole = { secret_id = { env = 'S' } }",
            "plugins.toml:3: [vault.prod.approle] has no `role_id`\n    write: role_id = \"4a1c9a66-7b1e-8f6b-dd37-60f3ff3bd6a0\"",
        ),
        (
            "url = 'https://vault.example.org'\nkubernetes = {}",
            "plugins.toml:3: [vault.prod.kubernetes] has no `role`\n    write: role = \"wardroom\"",
        ),
        (
            "url = 'https://vault.example.org'\ncert = { cert = 'c', key = 'k', mount = '../sys' }",
            "plugins.toml:3: `vault.prod.cert.mount` is not the path of an auth method\n    write: mount = \"approle\"",
        ),
        (
            "url = 'https://vault.example.org'\ntoken = { vault = 'prod:secret/x#y' }",
            "plugins.toml:3: `vault.prod.token` needs exactly one of `env` and `file`\n    write: token = { env = \"TOKEN\" }",
        ),
        (
            "url = 'https://vault.example.org'\ntoken = { env = 'T' }\nenvironments = []",
            "plugins.toml:4: `vault.prod.environments` is empty, so no pipeline may use the secrets\n    write: environments = [\"production\"]",
        ),
        (
            "url = 'https://vault.example.org'\ntoken = { env = 'T' }\nnamespace = 'a b'",
            "plugins.toml:4: `vault.prod.namespace` is not a namespace\n    write: namespace = \"team1\"",
        ),
    ] {
        let found = problems(server, REFERENCE);
        assert!(found.iter().any(|problem| problem == expected), "{server}\n{found:#?}");
    }
    let literal = problems("url = 'https://vault.example.org'\ntoken = 'hunter2-hunter2'", REFERENCE);
    assert!(literal.iter().all(|problem| !problem.contains("hunter2")) && !literal.is_empty(), "{literal:?}");
}

#[test]
fn an_invalid_reference_is_a_problem_of_its_line() {
    for (reference, expected) in [
        (
            "hunter2",
            "plugins.toml:15: `hook.token`: the reference to a secret of Vault has no server before a colon\n    write: { vault = \"prod:secret/ci/jenkins#token\" }",
        ),
        (
            "prdo:secret/ci/jenkins#token",
            "plugins.toml:15: `hook.token`: the reference names a server that has no table [vault.NAME]\n    write: one of: prod",
        ),
    ] {
        assert_eq!(problems(SERVER, reference), [expected]);
    }
    let found = read(&format!("{HOOK}token = {{ vault = '{REFERENCE}' }}"));
    assert!(found.len() == 1 && found[0].ends_with("write: [vault.prod]   (with `url` and a login)"), "{found:?}");
}

#[test]
fn the_environments_of_a_server_are_the_scope_of_its_secrets() {
    static NO_KEYS: TableKeys = TableKeys { path: "", about: "The top level of the tests.", keys: &[] };
    let factory = factory();
    let text = format!("[vault.prod]\n{SERVER}\nenvironments = ['production']\n[vault.nonprod]\n{SERVER}");
    let (mut table, _) = Table::parse("", &text, &NO_KEYS, "/");
    table.add_keys(factory.keys());
    let secrets = factory.read(&mut table);
    let scope = secrets.refer(REFERENCE).unwrap().scope.unwrap();
    assert_eq!((&*scope.table, scope.at.line), ("vault.prod", 4));
    assert_eq!(scope.environments, ["production"]);
    assert_eq!(secrets.refer("nonprod:secret/ci/jenkins#token").unwrap().scope, None);
}
