//! Tests of the numbers, on small example crates.

use super::*;
use crate::fixture::fixture;

fn structure(files: &[(&str, &str)]) -> Structure {
    let folder = fixture(files);
    Structure::read(folder.path()).unwrap()
}

#[test]
fn folder_pairs_are_counted_when_both_import_the_other() {
    let structure = structure(&[
        ("lib.rs", "mod a;\nmod b;\nmod c;\n"),
        ("a.rs", "use crate::b::B;\npub struct A(B);\nfn f() -> crate::c::C { crate::c::C }\n"),
        ("b.rs", "pub struct B;\nfn f(_: crate::a::A, _: super::a::A) {}\nfn g(_: crate::a::A) {}\n"),
        ("c.rs", "pub struct C;\n"),
    ]);
    assert_eq!(structure.mutual(), [("a".to_owned(), "b".to_owned(), 1, 2)]);
}

#[test]
fn a_cycle_is_found_through_re_exports() {
    let structure = structure(&[
        ("lib.rs", "pub mod a;\npub mod b;\npub use a::one::One;\n"),
        ("a/mod.rs", "pub mod one;\npub mod two;\npub use one::*;\npub(crate) use two::Two;\n"),
        ("a/one.rs", "use crate::b::Three;\npub struct One;\n"),
        ("a/two.rs", "pub struct Two(crate::One);\n"),
        ("b/mod.rs", "mod three;\npub use three::Three as Renamed;\npub use self::three::Three;\n"),
        ("b/three.rs", "use crate::a;\npub struct Three;\nfn f(_: a::Two) {}\n"),
    ]);
    // `a/mod.rs` and `b/mod.rs` only re-export items; they define none that another file imports.
    assert_eq!(structure.cycle(), ["a/one.rs", "a/two.rs", "b/three.rs"]);
}

#[test]
fn a_module_file_that_defines_items_is_part_of_a_cycle() {
    let structure = structure(&[
        ("lib.rs", "mod a;\n"),
        ("a/mod.rs", "mod one;\npub use one::One;\npub struct Own;\nfn helper() {}\n"),
        ("a/one.rs", "use super::*;\npub struct One(Own);\nfn f() { helper() }\n"),
    ]);
    assert_eq!(structure.cycle(), ["a/mod.rs", "a/one.rs"]);
}

#[test]
fn a_function_with_the_name_of_its_module_is_told_apart() {
    let structure = structure(&[
        ("lib.rs", "mod a;\nmod b;\n"),
        ("a/mod.rs", "mod show;\npub use show::show;\npub use show::Other;\nfn own() {}\n"),
        ("a/show.rs", "pub fn show() {}\npub struct Other;\nfn f() { super::own() }\n"),
        ("b.rs", "fn f(_: crate::a::Other) { crate::a::show() }\n"),
    ]);
    let items = structure.imports().into_iter().map(|import| import.item).collect::<Vec<_>>();
    assert_eq!(items, ["a::show::Other", "a::show::show"]);
    assert_eq!(structure.cycle(), ["a/mod.rs", "a/show.rs"]);
}

#[test]
fn globs_and_imports_that_form_a_loop_end() {
    let structure = structure(&[
        ("lib.rs", "mod a;\nmod b;\nmod c;\npub use a::*;\npub use b::*;\n"),
        ("a.rs", "pub use crate::b::*;\npub use crate::c::*;\npub use crate::b::X as Y;\nfn f(_: Nothing) {}\n"),
        ("b.rs", "pub use crate::a::*;\npub use crate::*;\npub use crate::a::Y as X;\n"),
        ("c.rs", "pub use super::*;\npub struct C;\nfn f(_: X) {}\n"),
    ]);
    assert!(structure.imports().iter().any(|import| import.item == "b::X"), "{:?}", structure.imports());
}

#[test]
fn lines_of_tests_are_not_counted() {
    let structure = structure(&[
        ("lib.rs", "mod a;\n#[cfg(test)]\nmod tests;\n"),
        ("tests.rs", "fn f() {}\n"),
        ("a.rs", "//! A.\n\nfn f() {}\n\n#[cfg(test)]\nmod tests {\n    #[test]\n    fn t() {}\n}\n"),
    ]);
    let expected = [("a".to_owned(), (1, 4)), ("lib.rs".to_owned(), (1, 1))];
    assert_eq!(structure.sizes().into_iter().collect::<Vec<_>>(), expected);
}

#[test]
fn module_files_are_found_where_the_compiler_finds_them() {
    let structure = structure(&[
        ("lib.rs", "mod a;\nmod inline { mod deep; }\n#[path = \"elsewhere/b.rs\"]\nmod b;\n"),
        ("a.rs", "mod child;\n"),
        ("a/child.rs", "mod grandchild;\n"),
        ("a/child/grandchild.rs", ""),
        ("inline/deep.rs", ""),
        ("elsewhere/b.rs", ""),
    ]);
    let paths = structure.tree.files.iter().map(|file| file.path.to_str().unwrap()).collect::<Vec<_>>();
    let expected = ["lib.rs", "a.rs", "a/child.rs", "a/child/grandchild.rs", "inline/deep.rs", "elsewhere/b.rs"];
    assert_eq!(paths, expected);
}

#[test]
fn a_missing_module_file_is_an_error() {
    let folder = fixture(&[("lib.rs", "mod gone;\n")]);
    let error = Structure::read(folder.path()).err().map(|error| error.to_string()).unwrap_or_default();
    assert!(error.ends_with("the file of `mod gone;` is missing"), "{error}");
}
