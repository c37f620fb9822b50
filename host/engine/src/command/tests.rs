//! Tests of the parser: typed lines and their results, and which descriptions are valid.
//!
//! Not here: who may run a command (`policy`), and the messages around it (the stories of the `tests` package).

use std::sync::Arc;

use super::*;
use crate::{
    adapter::{MemoryChat, MemoryPipelines},
    config::Registry,
    model::{Attribute, Catalog},
};

const CONFIG: &str = r#"
[bot.marvin.memory]
[environment.staging]
[environment.production]
[app.cms.deploy.staging]
memory = true
parameters = { version = '[0-9]+\.[0-9]+\.[0-9]+' }
[app.cms.deploy.production]
memory = true
parameters = { version = '[0-9]+\.[0-9]+\.[0-9]+' }
[app.shop.deploy.staging]
memory = true
parameters = { version = '-?v[0-9]+' }
[app.Shop.deploy.production]
memory = true
"#;

fn catalog() -> Catalog {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("plugins.toml");
    std::fs::write(&path, CONFIG).unwrap();
    let registry = Registry {
        chats: vec![Arc::new(MemoryChat::new(crate::adapter::ChatFeatures::PLAIN))],
        pipelines: vec![Arc::new(MemoryPipelines::new(None))],
        ..Registry::default()
    };
    crate::config::read(&path, &registry).unwrap_or_else(|problems| panic!("{problems:#?}")).catalog
}

fn parameter(name: &str, kind: ParameterType) -> Parameter {
    Parameter {
        name: name.to_owned(),
        summary: "Something.".to_owned(),
        kind,
        required: true,
        named: false,
        source: false,
        choices: vec![],
    }
}

fn optional(name: &str, kind: ParameterType) -> Parameter {
    Parameter { required: false, ..parameter(name, kind) }
}

fn named(name: &str, kind: ParameterType) -> Parameter {
    Parameter { required: false, named: true, ..parameter(name, kind) }
}

fn source(name: &str, kind: ParameterType) -> Parameter {
    Parameter { source: true, ..parameter(name, kind) }
}

fn described(name: &str, aliases: &[&str], parameters: Vec<Parameter>) -> Result<Spec, SpecError> {
    let aliases = aliases.iter().map(|alias| (*alias).to_owned()).collect();
    Spec::new(name, aliases, "Does it.", &[], CommandKind::Action, parameters, Target::Plugin("plugin".into()))
}

fn table() -> CommandTable {
    use ParameterType as Is;
    let colour = Parameter {
        choices: vec!["red".into(), "green".into(), "`1.0.2`. Approved".into()],
        ..optional("colour", Is::Text)
    };
    let specs = [
        described(
            "deploy",
            &["ship"],
            vec![
                parameter("app", Is::App),
                parameter("environment", Is::Environment),
                parameter("version", Is::Version),
            ],
        ),
        described("where", &[], vec![optional("app", Is::App)]),
        described("remind", &[], vec![parameter("in", Is::Duration), parameter("what", Is::Rest)]),
        described(
            "scale",
            &[],
            vec![
                parameter("app", Is::App),
                parameter("to", Is::Integer),
                colour,
                named("force", Is::Boolean),
                named("reason", Is::Text),
            ],
        ),
        described("copy", &[], vec![source("from", Is::Environment), parameter("to", Is::Environment)]),
    ];
    let mut table = CommandTable::new(&[]);
    for spec in specs {
        table.add(Arc::new(spec.unwrap()), |_| true);
    }
    table
}

/// Parses a typed line. Returns the normalized command line, or the error message.
fn understood(table: &CommandTable, catalog: &Catalog, text: &str) -> String {
    match table.parse(text, &Vocabulary::all(catalog)) {
        Ok(Parsed::Command(command)) => format!("= {}", command.line()),
        Ok(Parsed::Help(spec)) => format!("? {}", spec.name),
        Err(error) => crate::base::without_marks(&error.to_string()),
    }
}

#[test]
fn valid_lines_are_parsed_and_normalized() {
    let (table, catalog) = (table(), catalog());
    let cases = [
        // Names and aliases.
        ("deploy cms staging 1.0.2", "deploy cms staging 1.0.2"),
        ("  DEPLOY   CMS  Staging 1.0.2 ", "deploy cms staging 1.0.2"),
        ("ship cms staging 1.0.2", "deploy cms staging 1.0.2"),
        ("where", "where"),
        ("help", "help"),
        ("help deploy", "help deploy"),
        // Flags in any order; other words fill the remaining parameters.
        ("deploy --environment staging cms 1.0.2", "deploy cms staging 1.0.2"),
        ("deploy --version=1.0.2 --app=cms --environment=staging", "deploy cms staging 1.0.2"),
        ("deploy version=1.0.2 cms environment=staging", "deploy cms staging 1.0.2"),
        ("deploy \u{2014}environment staging cms 1.0.2", "deploy cms staging 1.0.2"),
        ("deploy cms staging -- 1.0.2", "deploy cms staging 1.0.2"),
        // Quotes.
        ("deploy 'cms' \"staging\" 1.0.2", "deploy cms staging 1.0.2"),
        ("deploy \u{201c}cms\u{201d} staging \u{2018}1.0.2\u{2019}", "deploy cms staging 1.0.2"),
        ("deploy c\u{200b}ms staging 1.0.2", "deploy cms staging 1.0.2"),
        ("scale cms 3 --reason 'too slow'", "scale cms 3 --reason='too slow'"),
        ("scale cms 3 --reason=x'y z'", "scale cms 3 --reason='xy z'"),
        ("scale cms 3 reason=\"it's\"", "scale cms 3 --reason=\"it's\""),
        ("scale cms 3 reason=it\\'s", "scale cms 3 --reason=\"it's\""),
        ("scale cms 3 reason=#1\\x", "scale cms 3 --reason=#1\\x"),
        // Types.
        ("scale cms -3", "scale cms -3"),
        ("scale cms 3 RED", "scale cms 3 red"),
        ("scale cms 3 --force", "scale cms 3 --force=true"),
        ("scale --force cms 3", "scale cms 3 --force=true"),
        ("scale cms 3 --force=no", "scale cms 3 --force=false"),
        ("scale cms 3 force=on", "scale cms 3 --force=true"),
        ("scale cms 3 --no-force", "scale cms 3 --force=false"),
        ("remind 1d12h call  'the shop'", "remind 1d12h call  'the shop'"),
        ("remind 2h0m500ms x", "remind 2h500ms x"),
        ("remind 0m x", "remind 0s x"),
        ("remind 90s x=1 -- --loud", "remind 1m30s x=1 -- --loud"),
        ("remind 90s -- --loud", "remind 1m30s -- --loud"),
        ("remind 90s -- -- x", "remind 1m30s -- -- x"),
        ("remind 90s -- in=5m", "remind 1m30s -- in=5m"),
        ("remind what='a --b' 5m", "remind 5m a --b"),
        // Of two names that differ only in case, the exact one is used.
        ("deploy shop staging v3", "deploy shop staging v3"),
        ("deploy Shop production anything", "deploy Shop production anything"),
        // A version with a leading dash is valid only if the pipeline's expression allows it.
        ("deploy shop staging -- -v3", "deploy shop staging -- -v3"),
    ];
    for (typed, line) in cases {
        assert_eq!(understood(&table, &catalog, typed), format!("= {line}"), "{typed}");
        // A normalized line can be typed again.
        assert_eq!(understood(&table, &catalog, line), format!("= {line}"), "{line}");
    }
    for typed in ["deploy --help", "ship -h", "deploy cms --help now"] {
        assert_eq!(understood(&table, &catalog, typed), "? deploy", "{typed}");
    }
}

#[test]
fn free_text_stays_as_typed() {
    let (table, catalog) = (table(), catalog());
    let command = |text: &str| match table.parse(text, &Vocabulary::all(&catalog)) {
        Ok(Parsed::Command(command)) => command,
        other => panic!("`{text}`: {other:?}"),
    };
    for text in [
        "run df -h first",
        "don't, it's Friday",
        "don\u{2019}t \u{2014} it\u{2019}s \u{201c}Friday\u{201d}",
        "check ls --help",
        "see C:\\temp",
        "#x --dry-run",
        "a  b\nc d=e in=5m",
        "\u{1f468}\u{200d}\u{1f680} \u{26a0}\u{fe0f}",
    ] {
        let value = Value::Text(text.to_owned());
        assert_eq!(command(&format!("remind 1h {text} \n")).arguments().nth(1).unwrap().1, &value, "{text}");
        assert_eq!(command(&format!("remind 1h\n{text}")).arguments().nth(1).unwrap().1, &value, "{text}");
        assert_eq!(command(&format!("remind in=1h {text}")).arguments().nth(1).unwrap().1, &value, "{text}");
        // An option is not text before `--override`, and text after it.
        if !text.contains("--dry-run") {
            let deploy = command(&format!("deploy cms staging 1.0.2 --wait --override {text}"));
            assert_eq!(deploy.override_reason(), Some(text), "{text}");
            assert!(deploy.options().wait);
            let again = command(deploy.line());
            assert_eq!(again.override_reason().unwrap(), text.replace('\n', " "));
        }
    }
    // Terminal sequences and invisible characters are removed.
    assert_eq!(command("remind 1h a\u{202e}b\u{200b}c").arguments().nth(1).unwrap().1, &Value::Text("abc".into()));
}

#[test]
fn invalid_lines_give_an_error_and_a_suggestion() {
    let (table, catalog) = (table(), catalog());
    let cases = [
        ("", "The line does not begin with a command. Try: help"),
        ("dploy cms staging 1.0.2", "Unknown command `dploy`. Did you mean `deploy`? Try: deploy cms staging 1.0.2"),
        ("dploy cms staging 'a b'", "Unknown command `dploy`. Did you mean `deploy`? Try: deploy cms staging 'a b'"),
        ("frobnicate", "Unknown command `frobnicate`. Try: help"),
        (
            "please deploy cms to staging",
            "Unknown command `please`. A line begins with its command. Try: deploy cms to staging",
        ),
        // `release` differs in two characters.
        ("please", "Unknown command `please`. Try: help"),
        ("relaese", "Unknown command `relaese`. Did you mean `release`? Try: release"),
        ("whoam", "Unknown command `whoam`. Did you mean `whoami`? Try: whoami"),
        ("so help me deploy", "Unknown command `so`. Try: help"),
        ("deploy", "`deploy` needs APP. Try: deploy APP ENVIRONMENT VERSION"),
        ("deploy cms staging", "`deploy` needs VERSION. Try: deploy APP ENVIRONMENT VERSION"),
        ("deploy cms staging 1.0.2 now", "`deploy` has too many arguments: `now`. Try: deploy APP ENVIRONMENT VERSION"),
        ("deploy cmss staging 1.0.2", "Unknown app `cmss`. Did you mean `cms`? Try: deploy cms staging 1.0.2"),
        (
            "deploy cms stagin 1.0.2",
            "Unknown environment `stagin`. Did you mean `staging`? Try: deploy cms staging 1.0.2",
        ),
        (
            "deploy cms nowhere 1.0.2",
            "Unknown environment `nowhere`. Use one of: staging, production. Try: deploy APP ENVIRONMENT VERSION",
        ),
        (
            "deploy Shop staging 1",
            "`Shop` has no deployment to `staging`, only to: production. Try: deploy APP ENVIRONMENT VERSION",
        ),
        (
            "deploy cms staging 1.0.2 --force",
            "`deploy` has no flag `--force`. Put `--` before a value that begins with a dash. Try: deploy APP ENVIRONMENT VERSION",
        ),
        (
            "deploy cms staging --versoin 1.0.2",
            "`deploy` has no flag `--versoin`. Did you mean `--version`? Try: deploy APP ENVIRONMENT VERSION",
        ),
        ("where --app", "`--app` needs a value. Try: where [APP]"),
        ("where --app cms --app cms", "`--app` is given twice. Try: where [APP]"),
        ("where 'cms", "The quotation mark in `'cms` is not closed. Close it, or put a backslash before it."),
        ("where don't", "The quotation mark in `don't` is not closed. Close it, or put a backslash before it."),
        ("deploy cms staging 1.0.1 #x", "`deploy` has too many arguments: `#x`. Try: deploy APP ENVIRONMENT VERSION"),
        (
            "deploy cms staging 1.0.1\nthanks",
            "`deploy` ends with its line, and takes no more lines. Try: deploy cms staging 1.0.1",
        ),
        ("where\ncms", "`where` ends with its line, and takes no more lines. Try: where"),
        (
            "deploy cms staging 1.0.1 --override urgent --dry-run",
            "The reason after `--override` contains `--dry-run`. Write `--dry-run` before `--override`. Try: deploy APP ENVIRONMENT VERSION",
        ),
        ("deploy cms staging 1.0.1 --override ", "`--override` needs a reason. Try: deploy APP ENVIRONMENT VERSION"),
        ("remind --in 5m in=6m", "`--in` is given twice. Try: remind IN WHAT..."),
        ("where ''", "Unknown app ``. Use one of: Shop, cms, shop. Try: where [APP]"),
        (
            "scale cms many",
            "TO must be an integer, but is `many`. Try: scale APP TO [COLOUR] [--force] [--reason REASON]",
        ),
        (
            "scale cms 99999999999999999999",
            "TO must be an integer, but is `99999999999999999999`. Try: scale APP TO [COLOUR] [--force] [--reason REASON]",
        ),
        (
            "scale cms 3 rde",
            "Unknown colour `rde`. Did you mean `red`? Try: scale APP TO [COLOUR] [--force] [--reason REASON]",
        ),
        (
            "scale cms 3 purple",
            "Unknown colour `purple`. Use one of: `red`, `green`, `'1.0.2'. Approved`. Try: scale APP TO [COLOUR] [--force] [--reason REASON]",
        ),
        (
            "scale cms 3 --force=maybe",
            "FORCE must be true or false, but is `maybe`. Try: scale APP TO [COLOUR] [--force] [--reason REASON]",
        ),
        ("remind 5 x", "IN must be a duration, for example 90s, 2h or 1d12h, but is `5`. Try: remind IN WHAT..."),
        ("remind 5m", "`remind` needs WHAT. Try: remind IN WHAT..."),
        (
            "deploy Shop production 1.0.2\u{fe0f}",
            "VERSION is not valid: it contains the character U+FE0F, which is not shown; remove this character. Try: deploy APP ENVIRONMENT VERSION",
        ),
    ];
    for (typed, said) in cases {
        assert_eq!(understood(&table, &catalog, typed), said, "{typed}");
    }
}

#[test]
fn only_an_unambiguous_order_is_suggested() {
    let (table, catalog) = (table(), catalog());
    for typed in [
        "deploy cms 1.0.2 to staging",
        "deploy 1.0.2 cms staging",
        "deploy to staging cms 1.0.2",
        "deploy staging cms 1.0.2",
    ] {
        let said = understood(&table, &catalog, typed);
        assert!(said.ends_with("Try: deploy cms staging 1.0.2"), "{typed}: {said}");
    }
    // Both orders of two environments are valid, so neither is suggested.
    let said = understood(&table, &catalog, "copy staging to production now");
    assert!(said.ends_with("Try: copy FROM TO"), "{said}");
}

#[test]
fn long_and_unusual_lines_are_parsed_quickly() {
    let (table, catalog) = (table(), catalog());
    let began = std::time::Instant::now();
    for typed in
        ["deploy ".repeat(9_000), "\\".repeat(60_000), "a=".repeat(30_000), format!("deploy {}", "x".repeat(60_000))]
    {
        let said = understood(&table, &catalog, &typed);
        assert!(!said.starts_with('='), "{}", &said[..40]);
    }
    assert!(began.elapsed() < std::time::Duration::from_secs(20), "{:?}", began.elapsed());
}

#[test]
fn invalid_descriptions_are_rejected() {
    use ParameterType as Is;
    for name in ["deploy", "a", "s3-sync", "auth revoke", "a2345678901234567890123456789012"] {
        assert!(described(name, &[], vec![]).is_ok(), "{name}");
    }
    for name in [
        "",
        "Deploy",
        "2fast",
        "-x",
        "de  ploy",
        "de ploy now",
        " deploy",
        "deploy ",
        "dépl",
        "a_b",
        "a23456789012345678901234567890123",
        "rm\n",
    ] {
        let error = described(name, &[], vec![]).unwrap_err();
        assert!(error.message.contains("is not a valid name of a command"), "{error}");
        assert!(described("good", &[name], vec![]).is_err(), "{name}");
    }
    let wrong = [
        (
            vec![parameter("app", Is::App), parameter("app", Is::Text)],
            "the command has two parameters with the name `app`",
        ),
        (
            vec![parameter("App", Is::App)],
            "`App` is not a valid name of a parameter: use at most 32 lower case letters, digits and \
             dashes; `help`, `no-...` and the host's flags are reserved",
        ),
        (
            vec![named("help", Is::Boolean)],
            "`help` is not a valid name of a parameter: use at most 32 lower case letters, digits and \
             dashes; `help`, `no-...` and the host's flags are reserved",
        ),
        (
            vec![named("no-force", Is::Boolean)],
            "`no-force` is not a valid name of a parameter: use at most 32 lower case letters, digits and \
             dashes; `help`, `no-...` and the host's flags are reserved",
        ),
        (
            vec![parameter("rest", Is::Rest), parameter("app", Is::App)],
            "the parameter `rest` takes the rest of the line, so it must be the last parameter, and its `named` \
             must be false",
        ),
        (
            vec![named("rest", Is::Rest)],
            "the parameter `rest` takes the rest of the line, so it must be the last parameter, and its `named` \
             must be false",
        ),
        (
            vec![optional("app", Is::App), parameter("version", Is::Version)],
            "the required parameter `version` follows an optional parameter",
        ),
        (
            vec![parameter("from", Is::Environment), parameter("to", Is::Environment)],
            "the parameters `from` and `to` both name the environment that the action changes; mark the one that it \
             only reads as `source`",
        ),
        (
            vec![Parameter { source: true, ..parameter("text", Is::Text) }],
            "the parameter `text` is a source, but only parameters of type app, environment, version, person or role \
             can be sources",
        ),
        (
            (0..33).map(|number| named(&format!("p{number}"), Is::Text)).collect(),
            "the command has 33 parameters; the maximum is 32",
        ),
    ];
    for (parameters, message) in wrong {
        assert_eq!(described("good", &[], parameters).unwrap_err().message, message);
    }
    // A named parameter may be required after optional ones.
    let required = Parameter { required: true, ..named("reason", Is::Text) };
    assert_eq!(
        described("good", &[], vec![optional("app", Is::App), required]).unwrap().usage(),
        "good [APP] --reason REASON"
    );
}

#[test]
fn a_two_word_name_has_priority() {
    let mut table = table();
    let specs = [
        described("auth", &[], vec![parameter("user", ParameterType::Person), parameter("app", ParameterType::App)]),
        described("auth revoke", &["auth away"], vec![parameter("user", ParameterType::Person)]),
    ];
    for spec in specs {
        table.add(Arc::new(spec.unwrap()), |_| true);
    }
    let catalog = catalog();
    for (typed, said) in [
        ("auth bob cms", "= auth bob cms"),
        ("auth revoke bob", "= auth revoke bob"),
        ("Auth  REVOKE @bob:example.org", "= auth revoke @bob:example.org"),
        ("auth away bob", "= auth revoke bob"),
        ("auth 'revoke' cms", "= auth revoke cms"),
        ("auth -- revoke cms", "= auth revoke cms"),
        ("auth revoke", "`auth revoke` needs USER. Try: auth revoke USER"),
        ("auth revoke --help", "? auth revoke"),
    ] {
        assert_eq!(understood(&table, &catalog, typed), said, "{typed}");
    }
    assert_eq!(table.command_of("auth revoke x").unwrap().name, "auth revoke");
    assert_eq!(table.command_of("auth").unwrap().name, "auth");
    // The words are split as the parser splits them.
    for text in ["'auth' x", "“auth” x", "\u{200b}auth x"] {
        assert_eq!(table.command_of(text).unwrap().name, "auth", "{text}");
    }
    assert_eq!(table.command_of("auth 'revoke' x").unwrap().name, "auth revoke");
    assert_eq!(table.command_of("auth 'revoke").unwrap().name, "auth");
    assert!(table.command_of("'auth").is_none());
    let below: Vec<_> = table.below(table.get("auth").unwrap()).map(|spec| spec.name.as_str()).collect();
    assert_eq!(below, ["auth revoke"]);
}

#[test]
fn an_option_after_an_alias_follows_the_whole_name() {
    let mut table = table();
    let parameters = || vec![parameter("app", ParameterType::App)];
    for (name, aliases) in [("roll", ["roll out"]), ("rolls", ["rolling"]), ("rolls back", ["unroll"])] {
        table.add(Arc::new(described(name, &aliases, parameters()).unwrap()), |_| true);
    }
    let written = |text: &str| crate::store::GivenArgument::Written(text.to_owned());
    let catalog = catalog();
    for (line, expected) in [
        ("roll cms", "roll --wait cms"),
        ("roll out cms", "roll --wait cms"),
        ("rolls back cms", "rolls back --wait cms"),
        ("unroll cms", "rolls back --wait cms"),
    ] {
        let words = table.with_options(line.split(' ').map(written).collect(), vec![written("--wait")]);
        match table.parse_words(&words, &Vocabulary::all(&catalog)) {
            Ok(Parsed::Command(command)) => assert_eq!(command.line(), expected),
            other => panic!("{line}: {other:?}"),
        }
    }
}

#[test]
fn a_line_with_inserted_values_has_the_same_maximum_length() {
    let (table, catalog) = (table(), catalog());
    let given = || crate::store::GivenArgument::Given { before: String::new(), text: "x".repeat(1_400) };
    let words = [crate::store::GivenArgument::Written("remind".to_owned()), given(), given(), given()];
    let error = table.parse_words(&words, &Vocabulary::all(&catalog)).unwrap_err().to_string();
    assert!(error.contains("bytes; the maximum is 4096 bytes"), "{error}");
}

#[test]
fn a_target_is_the_parameter_that_is_not_a_source() {
    let (table, catalog) = (table(), catalog());
    let parse = |text: &str| match table.parse(text, &Vocabulary::all(&catalog)) {
        Ok(Parsed::Command(command)) => command,
        _ => panic!("`{text}` is a command"),
    };
    let copy = parse("copy production staging");
    assert_eq!(copy.environment(), Some("staging"));
    assert!(copy.has_typed(Attribute::Environment, "staging"));
    assert!(!copy.has_typed(Attribute::Environment, "production"));
    assert_eq!(copy.places(), [(None, Some("production")), (None, Some("staging"))]);
    assert_eq!(parse("where").places(), [(None, None)]);
    // Values are compared by the name of the parameter.
    assert!(copy.has_argument("from", "production") && copy.has_argument("FROM", "production"));
    assert!(!copy.has_argument("to", "production") && !copy.has_argument("other", "production"));
}
