//! Tests of references to secrets of stores, with a pipeline system that has a secret.

use std::{path::Path, sync::Arc};

use crate::{
    Engine,
    adapter::{
        ChatFeatures, MemoryChat, MemoryPipelines, MemorySecrets, Pipelines, PipelinesBuilder, PipelinesFactory,
    },
    base::{At, Key, SecretScope, Table, TableKeys},
};

static KEYS: TableKeys = TableKeys {
    path: "app.NAME.deploy.ENVIRONMENT",
    about: "A pipeline of the tests.",
    keys: &[Key::secret("key", "A secret of the pipeline.")],
};
static SYSTEM_KEYS: TableKeys = TableKeys {
    path: "pipelines.NAME",
    about: "A system of the tests.",
    keys: &[Key::secret("token", "A secret of the system.")],
};

struct Factory;

struct Builder;

impl PipelinesFactory for Factory {
    fn kind(&self) -> &'static str {
        "ci"
    }

    fn inline_key(&self) -> Option<&'static str> {
        None
    }

    fn keys(&self) -> &'static TableKeys {
        &KEYS
    }

    fn system_keys(&self) -> &'static TableKeys {
        &SYSTEM_KEYS
    }

    fn system(&self, table: Option<&mut Table>) -> Option<Box<dyn PipelinesBuilder>> {
        let _ = table?.secret("token");
        Some(Box::new(Builder))
    }
}

impl PipelinesBuilder for Builder {
    fn pipeline(&mut self, _name: &str, _path: Option<&str>, _parameters: &[String], table: &mut Table) {
        let _ = table.secret("key");
    }

    fn build(self: Box<Self>) -> Arc<dyn Pipelines> {
        MemoryPipelines::new(None)
    }
}

fn problems(environments: &[&str], text: &str) -> Vec<String> {
    let scope = SecretScope {
        table: "memory.prod".into(),
        environments: environments.iter().map(|name| (*name).to_owned()).collect(),
        at: At { file: "plugins.toml".into(), line: 9 },
    };
    let secrets = MemorySecrets::default();
    let secrets = if environments.is_empty() { secrets } else { secrets.with_scope(scope) };
    let builder = Engine::builder()
        .chat(MemoryChat::new(ChatFeatures::PLAIN))
        .pipelines(Factory)
        .secrets(secrets)
        .without_secrets("vault")
        .without_secrets("memory");
    let read = builder.read_text(&format!("[bot.marvin.memory]\n{text}"), Path::new("."));
    let problems = read.err().map(|error| error.0).unwrap_or_default();
    problems.iter().map(|problem| problem.to_string().replace("./", "")).collect()
}

const APPS: &str = "[environment.staging]\n[environment.production]\n[app.cms]\n[pipelines.ci]\nkind = 'ci'\n";

#[test]
fn a_reference_of_a_store_is_accepted_where_a_secret_is_expected() {
    let text = "token = { memory = 'a' }\n[app.cms.deploy.staging]\npipeline = 'ci:x'\nkey = { memory = 'b' }";
    assert_eq!(problems(&[], &format!("{APPS}{text}")), [""; 0]);
}

#[test]
fn a_reference_that_is_not_valid_names_its_line() {
    for (reference, expected) in [
        (
            "{ memory = '' }",
            "plugins.toml:7: `pipelines.ci.token`: the name of the secret is empty\n    write: { memory = \"token\" }",
        ),
        (
            "{ memory = 'a', env = 'A' }",
            "plugins.toml:7: `pipelines.ci.token` needs exactly one of `env`, `file` and `memory`\n    write: token = { env = \"TOKEN\" }",
        ),
        (
            "{}",
            "plugins.toml:7: `pipelines.ci.token` needs exactly one of `env`, `file` and `memory`\n    write: token = { env = \"TOKEN\" }",
        ),
        (
            "{ vault = 'prod:secret/ci#token' }",
            "plugins.toml:7: `pipelines.ci.token` is a secret of vault, which this build does not include\n    write: cargo build -p wardroom-cli --features vault",
        ),
        (
            "{ memory = 5 }",
            "plugins.toml:7: `pipelines.ci.token.memory` is a whole number, and must be a string\n    write: memory = \"...\"",
        ),
    ] {
        assert_eq!(problems(&[], &format!("{APPS}token = {reference}")), [expected], "{reference}");
    }
}

#[test]
fn a_secret_of_production_is_refused_in_another_environment() {
    let pipelines = "[app.cms.deploy.staging]\npipeline = 'ci:x'\nkey = { memory = 'b' }\n\
                     [app.cms.deploy.production]\npipeline = 'ci:x'\nkey = { memory = 'b' }\n";
    assert_eq!(
        problems(&["production"], &format!("{APPS}{pipelines}")),
        ["plugins.toml:9: `app.cms.deploy.staging.key` uses a secret of [memory.prod], whose secrets are only for \
              pipelines in production (plugins.toml line 9); the pipeline `cms/staging` is in staging\n    write: a secret \
              of another server, or `environments` in [memory.prod] with staging"]
    );
    assert_eq!(problems(&["production", "staging"], &format!("{APPS}{pipelines}")), [""; 0]);
    // The secret of a system is used by all its pipelines.
    let pipelines = pipelines.replace("key = { memory = 'b' }\n", "");
    assert_eq!(
        problems(&["production"], &format!("{APPS}token = {{ memory = 'a' }}\n{pipelines}")),
        [
            "plugins.toml:7: `pipelines.ci.token` uses a secret of [memory.prod], whose secrets are only for pipelines in \
              production (plugins.toml line 9); the pipeline `cms/staging` is in staging and runs on [pipelines.ci] \
              (plugins.toml line 8)\n    write: a secret of another server, or `environments` in [memory.prod] with staging"
        ]
    );
}

#[test]
fn the_table_of_a_rollback_and_names_with_dots_have_the_same_limit() {
    let pipelines = "[app.cms.deploy.staging]\npipeline = 'ci:x'\n\
                     [app.cms.rollback.staging]\npipeline = 'ci:y'\nkey = { memory = 'b' }\n";
    let found = problems(&["production"], &format!("{APPS}{pipelines}"));
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].starts_with("plugins.toml:11: `app.cms.rollback.staging.key` uses a secret of"), "{found:?}");
    // The name of a system contains dots, and so does that of an environment.
    let text = "[environment.\"staging.eu\"]\n[environment.production]\n[app.cms]\n[pipelines.\"ci.eu\"]\nkind = 'ci'\n\
                token = { memory = 'a' }\n[app.cms.deploy.\"staging.eu\"]\npipeline = 'ci.eu:x'\nkey = { memory = 'b' }\n";
    let found = problems(&["production"], text);
    let starts = [
        "plugins.toml:7: `pipelines.ci.eu.token` uses a secret of [memory.prod]",
        "plugins.toml:10: `app.cms.deploy.staging.eu.key` uses a secret of [memory.prod]",
    ];
    assert_eq!(found.len(), starts.len(), "{found:?}");
    for (problem, start) in found.iter().zip(starts) {
        assert!(problem.starts_with(start), "{problem}");
        assert!(problem.contains("the pipeline `cms/staging.eu` is in staging.eu"), "{problem}");
    }
}

#[test]
fn an_environment_of_a_store_must_exist() {
    assert_eq!(
        problems(&["production", "prodution"], &format!("{APPS}token = {{ memory = 'a' }}")),
        ["plugins.toml:9: `memory.prod.environments` names `prodution`, which is no environment\n    write: \
          environments = [\"production\"]"]
    );
}

#[test]
fn a_table_of_a_store_that_the_build_does_not_include_is_named() {
    assert_eq!(
        problems(&[], "[vault.prod]\nurl = 'https://vault.example.org'"),
        [
            "plugins.toml:2: this build does not include secrets of vault\n    write: cargo build -p wardroom-cli --features \
             vault"
        ]
    );
}
