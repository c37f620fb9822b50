//! Tests that the line which the host prints for a command is read as the same command.

use std::sync::Arc;

use proptest::{prelude::*, sample::select};

use super::{spec::Target, *};
use crate::model::Catalog;

const NAMES: [&str; 4] = ["remind", "scale", "note", "refuse"];
/// Words that the parser could take for something else than a value.
const WORDS: [&str; 34] = [
    "1h",
    "cms",
    "3",
    "x",
    "7f3ak",
    "never",
    "--",
    "-",
    "\u{2014}",
    "--wait",
    "--dry-run",
    "'--wait'",
    "\"--override\"",
    "--override",
    "--override=x",
    "\u{2014}dry-run",
    "\u{2014}loud",
    "in=5m",
    "'in'=5m",
    "text=y",
    "--text='a b'",
    "--text=\u{2014}",
    "-5",
    "-1.2.3",
    "-.5",
    "it\u{2019}s",
    "'a b'",
    "''",
    "#x",
    "C:\\t",
    "id=foobar",
    "--id",
    "what=z",
    "\u{201c}q\u{201d}",
];

fn parameter(name: &str, kind: ParameterType, required: bool, named: bool) -> Parameter {
    let (name, summary, choices) = (name.to_owned(), "Something.".to_owned(), Vec::new());
    Parameter { name, summary, kind, required, named, source: false, choices }
}

fn table() -> CommandTable {
    use ParameterType as Is;
    let parameters = [
        vec![parameter("in", Is::Duration, true, false), parameter("what", Is::Rest, true, false)],
        vec![
            parameter("to", Is::Integer, false, false),
            parameter("text", Is::Text, false, false),
            parameter("id", Is::Text, false, true),
        ],
        vec![
            parameter("to", Is::Integer, false, false),
            parameter("text", Is::Text, false, false),
            parameter("what", Is::Rest, false, false),
        ],
        vec![parameter("id", Is::Job, false, false), parameter("what", Is::Rest, false, false)],
    ];
    let mut table = CommandTable::new(&[]);
    for (name, parameters) in NAMES.into_iter().zip(parameters) {
        let target = Target::Plugin("plugin".into());
        let spec = Spec::new(name, vec![], "Does it.", &[], CommandKind::Action, parameters, target);
        table.add(Arc::new(spec.expect("a valid description")), |_| true);
    }
    table
}

fn parsed(table: &CommandTable, line: &str) -> Option<Command> {
    let catalog = Catalog::default();
    match table.parse(line, &Vocabulary::all(&catalog)) {
        Ok(Parsed::Command(command)) => Some(command),
        _ => None,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_printed_line_is_read_as_the_same_command(name in select(&NAMES), words in prop::collection::vec(select(&WORDS), 0..6)) {
        let table = table();
        let typed = format!("{name} {}", words.join(" "));
        if let Some(command) = parsed(&table, &typed) {
            let again = parsed(&table, command.line());
            let again = again.ok_or_else(|| TestCaseError::fail(format!("{typed:?} is printed as {:?}", command.line())))?;
            let values = |command: &Command| -> Vec<(String, Value)> {
                command.arguments().map(|(parameter, value)| (parameter.name.clone(), value.clone())).collect()
            };
            prop_assert_eq!(values(&again), values(&command), "{:?} is printed as {:?}", typed, command.line());
            prop_assert_eq!(again.options(), command.options(), "{:?} is printed as {:?}", typed, command.line());
            prop_assert_eq!(again.line(), command.line());
        }
    }
}
