//! The plugin `auth`: rights that are given and taken back in chat.
//!
//! Invariant: it cannot name anybody. The host takes person, app, environment, role and time from what was typed; all that
//! is here is which command asks for what, and the words for what came of it.

mod say;

use wardroom_guest::{Arguments, Command, Failure, Parameter, Plugin, Reply, access};

const USER: Parameter = Parameter::person("user", "Who: an id, a handle, or a name that only one person here has.");
const APP: Parameter = Parameter::app("app", "On which app.");
const ENVIRONMENT: Parameter =
    Parameter::environment("environment", "Where; everywhere that this bot may touch if left out.").optional();

struct Auth;

impl Plugin for Auth {
    const COMMANDS: &'static [Command] = &[
        Command::action("auth", "Adds somebody to a role on an app.", grant)
            .examples(&["auth jbrueder cms", "auth @bob cms production deployer --for 2h"])
            .parameters(&[
                USER,
                APP,
                ENVIRONMENT,
                Parameter::role("role", "In which role; can be left out where only one fits.").optional(),
                Parameter::duration("for", "For how long; until it is taken back if left out.").optional().named(),
            ]),
        Command::action("auth revoke", "Takes back what was granted in chat.", revoke)
            .examples(&["auth revoke jbrueder cms", "auth revoke @bob cms production"])
            .parameters(&[
                USER,
                APP,
                Parameter::environment("environment", "Where; everywhere if left out.").optional(),
                Parameter::role("role", "Which role; all if left out.").optional(),
            ]),
        Command::query("auth list", "Shows what was granted in chat.", list)
            .examples(&["auth list", "auth list cms", "auth list @bob:example.org"])
            .parameters(&[Parameter::text("user-or-app", "Whose, or on what; all if left out.").optional()]),
    ];
}

wardroom_guest::export!(Auth);

fn grant(_: &Arguments) -> Result<Reply, Failure> {
    Ok(Reply::new(say::granted(&access::grant()?)))
}

fn revoke(_: &Arguments) -> Result<Reply, Failure> {
    let taken: Vec<String> = access::revoke()?.iter().map(say::revoked).collect();
    Ok(Reply::new(taken.join("\n")))
}

fn list(arguments: &Arguments) -> Result<Reply, Failure> {
    let of = arguments.optional("user-or-app");
    let lines: Vec<String> = access::list()?
        .iter()
        .filter(|granted| of.is_none_or(|of| say::is_about(granted, of)))
        .map(say::line)
        .collect();
    Ok(Reply::new(match (lines.is_empty(), of) {
        (false, _) => lines.join("\n"),
        (true, None) => "Nothing was granted in chat that you may see.".to_owned(),
        (true, Some(of)) => format!("Nothing was granted in chat to or on `{of}` that you may see."),
    }))
}
