//! The plugin `auth`: grants, revokes and lists roles in chat.
//!
//! Invariant: the plugin passes no arguments to the host calls. The host reads person, app, environment, role and
//! duration from the typed command.

mod format;

use wardroom_guest::{Arguments, Command, Failure, Parameter, Plugin, Reply, access};

const USER: Parameter = Parameter::person("user", "the person: an id, a handle or an unambiguous display name");
const APP: Parameter = Parameter::app("app", "the app");
const ENVIRONMENT: Parameter =
    Parameter::environment("environment", "the environment; default: all environments of the bot").optional();

struct Auth;

impl Plugin for Auth {
    const COMMANDS: &'static [Command] = &[
        Command::action("auth", "Grants a person a role on an app.", grant)
            .examples(&["auth jbrueder cms", "auth @bob cms production deployer --for 2h"])
            .parameters(&[
                USER,
                APP,
                ENVIRONMENT,
                Parameter::role("role", "the role; default: the only role that can be granted").optional(),
                Parameter::duration("for", "the duration of the grant; default: until the grant is revoked")
                    .optional()
                    .named(),
            ]),
        Command::action("auth revoke", "Revokes roles that were granted in chat.", revoke)
            .examples(&["auth revoke jbrueder cms", "auth revoke @bob cms production"])
            .parameters(&[
                USER,
                APP,
                Parameter::environment("environment", "the environment; default: all environments").optional(),
                Parameter::role("role", "the role; default: all roles").optional(),
            ]),
        Command::query("auth list", "Lists roles that were granted in chat.", list)
            .examples(&["auth list", "auth list cms", "auth list @bob:example.org"])
            .parameters(&[Parameter::text("user-or-app", "the person or the app; default: all").optional()]),
    ];
}

wardroom_guest::export!(Auth);

fn grant(_: &Arguments) -> Result<Reply, Failure> {
    Ok(Reply::new(format::granted(&access::grant()?)))
}

fn revoke(_: &Arguments) -> Result<Reply, Failure> {
    let revoked: Vec<String> = access::revoke()?.iter().map(format::revoked).collect();
    Ok(Reply::new(revoked.join("\n")))
}

fn list(arguments: &Arguments) -> Result<Reply, Failure> {
    let of = arguments.optional("user-or-app");
    let lines: Vec<String> = access::list()?
        .iter()
        .filter(|granted| of.is_none_or(|of| format::is_about(granted, of)))
        .map(format::line)
        .collect();
    Ok(Reply::new(match (lines.is_empty(), of) {
        (false, _) => lines.join("\n"),
        (true, None) => "There are no roles granted in chat that you may see.".to_owned(),
        (true, Some(of)) => format!("There are no roles granted in chat for `{of}` that you may see."),
    }))
}
