//! Tests of the call table against the contract in `wit/`, and of the denials that guests receive.
//!
//! Invariant: the tests fail for a function of the contract without a row, for a row without a function, and for a row
//! that cannot be linked.

use std::{collections::BTreeSet, path::Path, sync::Arc};

use wasmtime::component::Linker;
use wit_parser::{Resolve, WorldItem};

use super::*;
use crate::{
    adapter::{ChatFeatures, MemoryChat, MemoryPipelines},
    engine::Engine,
    model::{Attribute, CONTRACT, CallKind, EnvironmentFrom, Outcome, Risk},
};

/// Returns every function of the contract that a plugin can import, as `interface.function`, and the contract's
/// package.
fn contract() -> (BTreeSet<String>, String) {
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("wit")).unwrap();
    let world = resolve.select_world(&[package], Some("plugin")).unwrap();
    let mut functions = BTreeSet::new();
    for item in resolve.worlds[world].imports.values() {
        let WorldItem::Interface { id, .. } = item else {
            panic!("the world imports something that is not an interface")
        };
        let interface = &resolve.interfaces[*id];
        let name = interface.name.clone().unwrap();
        functions.extend(interface.functions.keys().map(|function| format!("{name}.{function}")));
    }
    (functions, resolve.packages[package].name.to_string())
}

fn calls() -> HostCalls {
    crate::config::Registry::default().calls().unwrap()
}

#[test]
fn every_function_of_the_contract_has_a_row_and_every_row_a_function() {
    let (functions, package) = contract();
    let rows: BTreeSet<String> = calls().table().iter().map(|row| row.name.to_owned()).collect();
    assert_eq!(rows, functions);
    assert_eq!(package, CONTRACT);
    assert!(calls().table().iter().all(|row| row.package == CONTRACT));
}

#[test]
fn rows_are_sorted_and_found_by_name() {
    let table = calls().table().clone();
    let names: Vec<&str> = table.iter().map(|row| row.name).collect();
    assert!(names.windows(2).all(|pair| pair[0] < pair[1]), "{names:?}");
    for known in table.iter() {
        assert_eq!(table.get(known.name), Some(known));
        assert_eq!(format!("{}.{}", known.interface(), known.function()), known.name);
        assert!(!known.summary.is_empty() && !known.summary.ends_with('.'), "{}", known.name);
    }
    assert!(table.get("pipelines.triger").is_none());
}

#[test]
fn every_effect_needs_a_rule_and_has_an_environment() {
    let table = calls().table().clone();
    for row in table.iter() {
        match row.kind {
            // Rules can limit an effect only by attributes that the host determines.
            CallKind::Acts => {
                assert!(row.kind.needs_rule() && !row.kind.in_query(), "{}", row.name);
                assert!(row.environment != EnvironmentFrom::Nothing || row.attributes.is_empty(), "{}", row.name);
                assert_ne!(row.risk, Risk::Low, "{}", row.name);
            }
            CallKind::Notes | CallKind::Given => {
                assert!(row.attributes.is_empty(), "{} needs no rule, so none can name its attributes", row.name);
                assert!(!row.kind.needs_rule() && row.kind.in_query());
            }
            CallKind::Reads => assert!(row.kind.needs_rule() && row.kind.in_query()),
            CallKind::Keeps | CallKind::Waits => assert!(row.kind.needs_rule() && !row.kind.in_query()),
        }
        if row.environment == EnvironmentFrom::Target {
            assert!(row.attributes.contains(&Attribute::Environment), "{}", row.name);
        }
    }
    let acts: Vec<&str> = table.iter().filter(|row| row.kind == CallKind::Acts).map(|row| row.name).collect();
    assert_eq!(
        acts,
        [
            "access.grant",
            "access.revoke",
            "jobs.cancel",
            "jobs.later",
            "pipelines.answer",
            "pipelines.cancel",
            "pipelines.trigger"
        ],
        "a new effect needs support in the rules, the audit and the recovery"
    );
}

#[test]
fn every_row_registers_its_own_function_and_no_other() {
    let engine = wasmtime::Engine::new(&crate::plugin::wasmtime_config(crate::plugin::Memory::OnDemand)).unwrap();
    let calls = calls();
    let names: Vec<&str> = calls.table().iter().map(|row| row.name).collect();
    let mut all = Linker::new(&engine);
    for name in &names {
        calls.register(name, &mut all).unwrap();
        // The linker rejects a second definition of the same name, so this proves that a row registers only its
        // function.
        let mut one = Linker::new(&engine);
        calls.register(name, &mut one).unwrap();
        assert!(calls.register(name, &mut one).is_err(), "{name}");
        for other in names.iter().filter(|other| *other != name) {
            calls.register(other, &mut one).unwrap();
        }
    }
}

/// A plugin that makes one host call and returns the call's error as its reply.
const ASKER: &str = r#"
(module
  (import "wardroom:plugin/pipelines@0.1.0" "trigger" (func $trigger (param i32 i32 i32 i32 i32)))
  (memory (export "memory") 2)
  (global $top (mut i32) (i32.const 8192))
  (data (i32.const 1024) "ask")
  (data (i32.const 1032) "Asks.")
  (data (i32.const 1040) "environment")
  (data (i32.const 1056) "cms/production")
  (data (i32.const 1072) "version")
  (data (i32.const 1080) "1.0.2")
  (data (i32.const 2048) (i32 1024 3  0 0  1032 5  0 0  1  2176 1))
  (data (i32.const 2176) (i32 1040 11  1032 5) (i8 5 0 0 0) (i32 0 0))
  (data (i32.const 2304) (i32 2048 1  0 0))
  (data (i32.const 2336) (i32 1072 7  1080 5))
  (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
    (local $at i32)
    (local.set $at (i32.and (i32.add (global.get $top) (i32.const 7)) (i32.const -8)))
    (global.set $top (i32.add (local.get $at) (local.get 3)))
    (local.get $at))
  (func (export "wardroom:plugin/commands@0.1.0#describe") (result i32) (i32.const 2304))
  (func (export "wardroom:plugin/commands@0.1.0#run")
    (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32)
    (call $trigger (i32.const 1056) (i32.const 14) (i32.const 2336) (i32.const 1) (i32.const 0))
    (i32.store8 (i32.const 512) (i32.load8_u (i32.const 0)))
    (memory.copy (i32.const 516) (i32.const 8) (i32.const 16))
    (i32.const 512)))
"#;

fn asker() -> Vec<u8> {
    let mut module = wat::parse_str(ASKER).unwrap();
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("wit")).unwrap();
    let world = resolve.select_world(&[package], Some("plugin")).unwrap();
    wit_component::embed_component_metadata(&mut module, &resolve, world, wit_component::StringEncoding::UTF8).unwrap();
    module
}

struct Answer {
    text: String,
    jobs: usize,
    runs: usize,
}

/// Runs an engine on one message of `person`. `rule` extends the plugin's `allow` rule.
async fn ask(person: &str, typed: &str, rule: &str) -> Answer {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("asker.wasm"), asker()).unwrap();
    let path = folder.path().join("plugins.toml");
    let config = format!(
        r#"
[bot.marvin]
environments = ["staging", "production"]
[bot.marvin.memory]
[people]
admins = ["alice"]
[role.asker]
members = ["bob"]
commands = ["ask"]
apps = ["*"]
environments = ["staging"]
[environment.staging]
[environment.production]
[app.cms.deploy.production]
memory = true
parameters = {{ version = '[0-9.]+' }}
[app.cms.deploy.staging]
memory = true
[plugin.asker]
module = "asker.wasm"
allow  = [{{ call = "pipelines.trigger"{rule} }}]
"#
    );
    std::fs::write(&path, config).unwrap();
    let chat = MemoryChat::new(ChatFeatures::PLAIN);
    let pipelines = MemoryPipelines::new(Some(Outcome::Succeeded));
    let builder = Engine::builder().chat(chat.clone()).pipelines(pipelines.clone());
    let config = builder.read(&path).unwrap();
    let engine = builder.build(config, Arc::new(crate::store::MemoryStore::default())).await.unwrap();
    assert_eq!(engine.not_loaded(), []);
    let engine = Arc::new(engine);
    let stop = crate::CancellationToken::new();
    let sender = crate::model::Person::named_by_id(person);
    let message = crate::adapter::Incoming::new("one", sender, typed, crate::Timestamp::now());
    let message = crate::adapter::Incoming { direct: true, ..message };
    // The message arrives before the engine runs, so it is in the store and in the channel. It must be handled once.
    engine.inbox("marvin", MemoryChat::NETWORK).unwrap().receive("room", vec![message], None).await.unwrap();
    let running = tokio::spawn({
        let (engine, stop) = (engine.clone(), stop.clone());
        async move { engine.run(stop).await }
    });
    engine.inbox("marvin", MemoryChat::NETWORK).unwrap().until_idle().await;
    stop.cancel();
    running.await.unwrap().unwrap();
    let text = chat.words().join("\n");
    Answer { jobs: text.lines().filter(|line| line.starts_with('[')).count(), text, runs: pipelines.runs().len() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_denial_names_every_rule_that_refuses_the_call() {
    let beyond = r#", beyond = ["app", "version"]"#;
    let everything = r#", beyond = ["app", "environment", "version"]"#;
    let cases = [
        // The person, the typed line, the plugin's rule, and a part of the answer.
        (
            "alice",
            "ask production",
            r#", environment = ["staging"]"#,
            "line 21 allows environment = [\"staging\"], but the call has environment `production`",
        ),
        (
            "alice",
            "ask production",
            r#", environment = []"#,
            "line 21 allows environment = [], but the call has environment `production`",
        ),
        (
            "alice",
            "ask production",
            r#", version = ["2.*"]"#,
            "line 21 allows version = [\"2.*\"], but the call has version `1.0.2`",
        ),
        ("alice", "ask production", "", "the command `ask production` does not contain app `cms`, version `1.0.2`;"),
        (
            "alice",
            "ask staging",
            beyond,
            "the command `ask staging` does not contain app `cms`, environment `production`, version `1.0.2`;",
        ),
        ("bob", "ask staging", everything, "role: "),
        ("bob", "ask production", everything, ": no role allows the command; ask alice"),
        ("carol", "ask staging", everything, "the command needs the role `asker`; ask alice"),
    ];
    for (person, typed, rule, expected) in cases {
        let answer = ask(person, typed, rule).await;
        assert!(answer.text.contains(expected), "{person}: {typed}: {rule}:\n{}\nand not: {expected}", answer.text);
        assert_eq!(answer.runs, 0, "{}", answer.text);
        assert!(answer.jobs <= 1, "a message is handled once: {}", answer.text);
    }
    let answer = ask("alice", "ask staging", "").await;
    assert!(
        answer.text.contains("does not contain app `cms`, environment `production`, version `1.0.2`"),
        "{}",
        answer.text
    );
    for (typed, rule) in [("ask production", beyond), ("ask staging", everything)] {
        let answer = ask("alice", typed, rule).await;
        assert_eq!((answer.runs, answer.jobs), (1, 1), "{}", answer.text);
    }
}
