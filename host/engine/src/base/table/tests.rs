//! Tests of reading a table by its keys.

use std::path::Path;

use super::*;
use crate::base::parse;

static CHILD: TableKeys = TableKeys { path: "t.NAME", about: "", keys: &[Key::strings("list", "")] };
static ANY: TableKeys = TableKeys { path: "t.any", about: "", keys: &[Key::any("NAME", KeyKind::StringOrSecret, "")] };
static KEYS: TableKeys = TableKeys {
    path: "t",
    about: "",
    keys: &[
        Key::integer("count", 1, 20, "").default("3"),
        Key::duration("keep", "").between(Duration::from_secs(60), Duration::MAX).default("1d"),
        Key::choice("mode", &["show", "refuse"], "").default("show"),
        Key::boolean("open", "").default("true"),
        Key::tables("child", &CHILD, ""),
        Key::table("any", &ANY, ""),
    ],
};

fn table(text: &str) -> (Table, Problems) {
    let problems = Problems::default();
    let node = parse(Path::new("t.toml"), text, &problems);
    (Table::new("t", node, &KEYS, &problems, Arc::new(PathBuf::new())), problems)
}

fn shown(problems: &Problems) -> Vec<String> {
    problems.sorted().iter().map(ToString::to_string).collect()
}

#[test]
fn bounds_come_from_the_keys() {
    let (mut table, problems) = table("count = 21\nkeep = '1s'\nmode = 'shw'\n");
    assert_eq!(table.integer("count"), None);
    assert_eq!(table.duration("keep"), None);
    assert_eq!(table.choice("mode"), None);
    table.finish();
    assert_eq!(
        shown(&problems),
        [
            "t.toml:1: `t.count` is 21, and must be from 1 to 20\n    write: count = 20",
            "t.toml:2: `t.keep` is `1s`, and must be at least 1m\n    write: keep = \"1m\"",
            "t.toml:3: `t.mode` is `shw`, and must be `show` or `refuse`\n    write: mode = \"show\"",
        ]
    );
}

#[test]
fn defaults_come_from_the_keys() {
    let (mut table, problems) = table("");
    assert_eq!(table.integer_or_default("count"), 3);
    assert_eq!(table.duration_or_default("keep"), Duration::from_secs(86_400));
    assert!(table.boolean_or_default("open"));
    table.finish();
    assert_eq!(problems.count(), 0);
}

#[test]
fn a_table_below_takes_the_keys_that_its_key_names() {
    let (mut table, problems) = table("[child.x]\nlist = 'a'\nlst = 'b'\n[any]\nX = 'x'\nY = { env = 'Y' }\n");
    for (_, mut child) in table.tables("child") {
        assert_eq!(child.strings("list").unwrap().value.len(), 1);
        child.finish();
    }
    let mut any = table.table("any").unwrap();
    assert_eq!(any.string("X").unwrap().value, "x");
    assert!(any.secret("Y").is_some());
    any.finish();
    table.finish();
    assert_eq!(
        shown(&problems),
        ["t.toml:3: [t.child.x] takes no key `lst`\n    write: list = ...   (instead of `lst`)"]
    );
}

#[test]
fn a_split_table_takes_its_own_keys_only() {
    let (mut table, problems) = table("count = 2\nopen = false\n");
    let mut part = table.split(&[Key::boolean("open", "")]);
    assert!(!part.boolean("open").unwrap().value);
    part.finish();
    assert_eq!(table.integer_or_default("count"), 2);
    table.finish();
    assert_eq!(problems.count(), 0);
}

#[test]
#[cfg(debug_assertions)]
fn a_key_that_the_keys_do_not_list_fails_in_a_debug_build() {
    let read = |read: fn(&mut Table)| {
        std::panic::catch_unwind(|| read(&mut table("count = 1\n").0)).expect_err("the assertion holds")
    };
    drop(read(|table| drop(table.string("unlisted"))));
    // A key that is read as another kind fails too.
    drop(read(|table| drop(table.string("count"))));
}
