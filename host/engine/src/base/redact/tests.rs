//! Tests of redaction: every form, every cut over two chunks, and text that must stay as it is.

use std::process::Command;

use proptest::prelude::*;
use serde_json::json;

use super::*;

const SECRET: &str = "pa$s w0rd/'\"+&\u{e9}\\end";

fn redactor(secrets: &[&str]) -> Redactor {
    let secrets: Vec<Secret> = secrets.iter().map(|secret| Secret::new(*secret)).collect();
    Redactor::new(&secrets)
}

/// Passes a text through a stream in chunks that end at the positions `cuts`.
fn streamed(redactor: &Redactor, text: &[u8], cuts: &[usize]) -> String {
    let (mut stream, mut out, mut from) = (redactor.stream(), Vec::new(), 0);
    for cut in cuts.iter().copied().chain([text.len()]) {
        out.extend(stream.push(&text[from..cut]));
        from = cut;
    }
    out.extend(stream.finish());
    String::from_utf8_lossy(&out).into_owned()
}

#[test]
fn programs_that_encode_a_secret_do_not_reveal_it() {
    let redactor = redactor(&[SECRET]);
    let print = |program: &str, arguments: &[&str]| {
        let printed = Command::new(program).args(arguments).env("S", SECRET).output().expect("the program runs");
        assert!(printed.status.success(), "{program} {arguments:?}");
        String::from_utf8([printed.stdout, printed.stderr].concat()).expect("UTF-8")
    };
    let python = |expression: &str| {
        let code =
            "import os, json, base64, html, shlex; from urllib import parse; s = os.environ['S']; b = s.encode()";
        print("python3", &["-c", &format!("{code}\nprint('<', {expression}, '>')")])
    };
    for expression in [
        "s",
        "parse.quote(s)",
        "parse.quote(s, safe='')",
        "parse.quote_plus(s)",
        "parse.quote(s).lower()",
        "parse.quote(s, safe=\"-_.!~*'()\")",
        "parse.urlencode({'s': s})",
        "json.dumps(s)",
        "json.dumps(s, ensure_ascii=False)",
        "json.dumps(json.dumps(s, ensure_ascii=False), ensure_ascii=False)",
        "html.escape(s)",
        "shlex.quote(s).replace('\"\\'\"', '\\\\\\'')",
        "base64.b64encode(b).decode()",
        "base64.b64encode(b'u:' + b).decode()",
        "base64.b64encode(b'us:' + b).decode()",
        "base64.b64encode(b'usr:' + b + b'@host').decode()",
        "base64.urlsafe_b64encode(b'x' + b + b'yz').decode()",
        "parse.quote(base64.b64encode(b'x' + b).decode(), safe='')",
        // Wrapped after 76 columns.
        "base64.encodebytes(b'x' * 50 + b + b'y' * 50).decode()",
    ] {
        let printed = python(expression);
        let redacted = redactor.redact(&printed);
        assert!(redacted.contains(MARKER), "{expression}: {printed} became {redacted}");
        for part in ["w0rd", "cGEkcyB3", "AkcyB3MH", "hJHMgdzBy", "%20w0", "+w0"] {
            assert!(!redacted.contains(part), "{expression}: {printed} became {redacted}");
        }
    }
    for script in ["set -x; : \"$S\"", "printf '%q\\n' \"$S\"", "printf %s \"$S\" | base64 -w 12"] {
        let printed = print("bash", &["-c", script]);
        let redacted = redactor.redact(&printed);
        assert!(redacted.contains(MARKER) && !redacted.contains("w0rd"), "{script}: {printed} became {redacted}");
    }
}

#[test]
fn a_secret_cut_at_any_position_is_found() {
    let redactor = redactor(&["hunter2", "correct horse battery"]);
    let basic = "Authorization: Basic bWFydmluOmh1bnRlcjI= end";
    let texts = [
        "a hunter2 b correct horse battery c hunter2",
        basic,
        "correct%20horse%20battery\n\nhunt",
        "a \x1b[1;31mhun\x1b[mter2 b",
    ];
    for text in texts {
        let whole = redactor.redact(text).into_owned();
        for cut in 0..=text.len() {
            assert_eq!(streamed(&redactor, text.as_bytes(), &[cut]), whole, "cut at {cut}");
        }
        let every: Vec<usize> = (0..text.len()).collect();
        assert_eq!(streamed(&redactor, text.as_bytes(), &every), whole);
    }
}

#[test]
fn a_secret_with_several_lines_is_redacted_as_a_whole_and_by_line() {
    let redactor = redactor(&["-----BEGIN KEY-----\nMIIEvQIBADANBgkq\nabc\nkqhkiG9w0BAQ==\n-----END KEY-----\n"]);
    let whole = "key: -----BEGIN KEY-----\r\nMIIEvQIBADANBgkq\r\nabc\r\nkqhkiG9w0BAQ==\r\n-----END KEY-----\r\nend";
    assert_eq!(redactor.redact(whole), "key: [redacted]\n\r\nend");
    assert_eq!(redactor.redact("x MIIEvQIBADANBgkq y\nabc"), "x [redacted] y\nabc");
    let escaped = r#"{"key":"-----BEGIN KEY-----\nMIIEvQIBADANBgkq\nabc\nkqhkiG9w0BAQ==\n-----END KEY-----\n"}"#;
    assert!(!redactor.redact(escaped).contains("kqhkiG9w0BAQ"), "{}", redactor.redact(escaped));
}

#[test]
fn the_values_of_long_lines_are_redacted_and_short_lines_are_not() {
    let redactor = redactor(&[
        "[default]\nregion = eu\nkey=AKIAIOSFODNN7EXAMPLE\nsecret: \"wJalrXUtnFEMI/K7MDENG\"\nurl=x: a=bPxRfiCYEXAMPLE",
    ]);
    let text = "[default] region = eu key";
    assert_eq!(redactor.redact(text), text);
    for (text, redacted) in [
        ("id AKIAIOSFODNN7EXAMPLE!", "id [redacted]!"),
        ("'wJalrXUtnFEMI/K7MDENG'", "'[redacted]'"),
        ("secret: \"wJalrXUtnFEMI/K7MDENG\"", "[redacted]"),
        ("x: a=bPxRfiCYEXAMPLE", "[redacted]"),
    ] {
        assert_eq!(redactor.redact(text), redacted);
    }
}

#[test]
fn a_json_secret_is_redacted_by_line_and_by_text() {
    let key = "-----BEGIN KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQ\n-----END KEY-----\n";
    let json = json!({ "type": "service_account", "private_key": key, "id": [{ "client": "1022344493351440000" }] });
    let redactor = redactor(&[&serde_json::to_string_pretty(&json).expect("JSON")]);
    // As `jq -r .private_key` prints it, and as an unquoted `echo` prints the whole secret.
    assert_eq!(redactor.redact("a MIIEvQIBADANBgkqhkiG9w0BAQ b 1022344493351440000"), "a [redacted] b [redacted]");
    let words = serde_json::to_string_pretty(&json).expect("JSON");
    let words: Vec<&str> = words.split_whitespace().collect();
    let echoed = redactor.redact(&words.join(" ")).into_owned();
    assert!(!echoed.contains("MIIE") && !echoed.contains("10223"), "{echoed}");
    // Its short lines are not redacted: they would make all text unreadable.
    assert_eq!(redactor.redact("{ } ], service"), "{ } ], service");
}

#[test]
fn other_text_stays_as_it_is_and_is_not_delayed() {
    let none = redactor(&["", "abc", "12345"]);
    assert!(none.is_empty() && none.longest() == 0);
    assert_eq!(none.stream().push(b"abc 12345"), b"abc 12345");
    let redactor = redactor(&["hunter2", "redacted"]);
    assert_eq!(redactor.redact("hunter hunte r2 [redacted]"), "hunter hunte r2 [redacted]");
    let mut stream = redactor.stream();
    assert_eq!(stream.push(b"step: build\n"), b"step: build\n");
    assert_eq!(stream.push(b"step: fetch\n"), b"step: fetch\n", "a line that ends with the first letter of a secret");
    assert_eq!(stream.push(b"a huntin"), b"a huntin");
    assert_eq!(stream.push(b"a hunt"), b"a ");
    assert_eq!(stream.push(b"er1"), b"hunter1");
    assert_eq!(stream.push(b"hun\nter2"), b"[redacted]\n");
    assert_eq!(stream.push(b"hun\n"), b"hun\n");
    assert_eq!(stream.push(b"ter2."), b"[redacted].", "the written start of a secret is not forgotten");
}

#[test]
fn a_stream_has_limited_memory() {
    let redactor = redactor(&["aaaaaaab", "hunter2"]);
    let mut stream = redactor.stream();
    for _ in 0..1_000 {
        stream.push(&[b'a'; 1_000]);
        stream.push(&[b'\n'; 1_000]);
        assert!(stream.held.len() < MAX_HELD, "{}", stream.held.len());
    }
}

const MAX_HELD: usize = 8 << 10;

#[test]
fn a_json_value_is_redacted_in_its_texts_and_numbers() {
    let mut value = json!({ "hunter2": ["x hunter2", 7, 9_012_345_678_u64, { "a": "hunter2" }], "b": null });
    let (redactor, mut texts) = (redactor(&["hunter2", "12345678"]), BTreeSet::new());
    redactor.secret_texts(&value, &mut texts);
    assert_eq!(texts.iter().map(String::as_str).collect::<Vec<_>>(), ["9012345678", "hunter2", "x hunter2"]);
    redactor.redact_json(&mut value, &texts);
    assert_eq!(value, json!({ "hunter2": ["x [redacted]", 7, 0, { "a": "[redacted]" }], "b": null }));
}

#[test]
fn a_resolved_secret_is_redacted_in_this_process() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("token");
    std::fs::write(&file, "value-of-the-resolved-test-secret\n").expect("written");
    let reference = crate::base::SecretRef::File(file.clone());
    assert_eq!(super::redactor().redact("value-of-the-resolved-test-secret"), "value-of-the-resolved-test-secret");
    reference.resolve().expect("resolved");
    assert_eq!(super::redactor().redact("x value-of-the-resolved-test-secret"), "x [redacted]");
    std::fs::write(&file, "another-value-of-the-test-secret\n").expect("written");
    reference.resolve().expect("resolved");
    let text = "value-of-the-resolved-test-secret another-value-of-the-test-secret";
    assert_eq!(super::redactor().redact(text), "[redacted] [redacted]", "the replaced value is redacted too");
}

/// Returns every form of `text` that contains no line end, computed by the same function as in the redactor.
fn printed(text: &str) -> Vec<String> {
    forms::forms(text).into_iter().map(|form| String::from_utf8(form).expect("a form is text")).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn base64_around_a_secret_is_redacted(
        before in proptest::collection::vec(any::<u8>(), 0..80),
        secret in "[ -~]{6,40}",
        after in proptest::collection::vec(any::<u8>(), 0..80),
        columns in 1_usize..80,
    ) {
        prop_assume!(secret.trim() == secret);
        let encode = |bytes: &[u8]| {
            let digits = |chunk: &[u8]| {
                let mut group = [0; 3];
                group[..chunk.len()].copy_from_slice(chunk);
                let value = group.iter().fold(0_usize, |value, byte| value << 8 | usize::from(*byte));
                let all = [18, 12, 6, 0].map(|shift| BASE64[value >> shift & 63]);
                all[..=chunk.len()].to_vec()
            };
            bytes.chunks(3).flat_map(digits).collect::<Vec<u8>>()
        };
        let encoded = encode(&[&before, secret.as_bytes(), &after].concat());
        let lines: Vec<u8> = encoded.chunks(columns).flat_map(|line| [line, b"\n"].concat()).collect();
        let redactor = redactor(&[&secret]);
        let redacted = redactor.redact(std::str::from_utf8(&lines).expect("ASCII")).into_owned();
        prop_assert!(redacted.contains(MARKER), "{redacted}");
    }

    #[test]
    fn a_stream_reveals_no_form_however_it_is_cut(
        secret in "[a-c /+%]{6,9}",
        noise in "[a-c /+%\n]{0,30}",
        cuts in proptest::collection::vec(0_usize..400, 0..6),
    ) {
        let redactor = redactor(&[&secret]);
        for form in printed(&secret) {
            let text = format!("{noise}{form}{noise}");
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (text.len() + 1)).collect();
            cuts.sort_unstable();
            let out = streamed(&redactor, text.as_bytes(), &cuts);
            prop_assert!(!out.contains(&form), "{text:?} became {out:?}");
            prop_assert!(out.contains(MARKER));
        }
    }
}

const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
