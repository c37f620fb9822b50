//! The plugin `tickets`: an example of a plugin that calls a WIT package of a capability.
//!
//! The WIT package `acme:tickets` is in `wit/`. The host must have a capability with the same package, and the operator
//! must grant the package's calls to the plugin.
//! Invariant: the package uses the contract's type `error`, so `?` works on the package's calls.

mod bindings;

use wardroom_guest::{Arguments, Command, Failure, Parameter, Plugin, Reply};

use crate::bindings::acme::tickets::tickets::{self, CloseRequest, Ticket};

struct Tickets;

impl Plugin for Tickets {
    const COMMANDS: &'static [Command] = &[
        Command::query("tickets", "Lists the tickets of the tracker.", list)
            .examples(&["tickets", "tickets disk full"])
            .parameters(&[
                Parameter::rest("query", "words in the ticket's id or title; default: all tickets").optional()
            ]),
        Command::action("close-ticket", "Closes a ticket.", close)
            .examples(&["close-ticket cms staging OPS-17", "close-ticket cms staging OPS-17 fixed in 1.0.2"])
            .parameters(&[
                Parameter::app("app", "the app that the ticket is about"),
                Parameter::environment("environment", "the environment that the ticket is about"),
                Parameter::text("id", "the ticket's id"),
                Parameter::rest("reason", "the reason for closing the ticket").optional(),
            ]),
    ];
}

wardroom_guest::export!(Tickets);

fn list(arguments: &Arguments) -> Result<Reply, Failure> {
    let query = arguments.optional("query").unwrap_or_default();
    let found: Vec<String> = tickets::find(query)?.iter().map(line).collect();
    Ok(Reply::new(if found.is_empty() { "No tickets found.".to_owned() } else { found.join("\n") }))
}

fn close(arguments: &Arguments) -> Result<Reply, Failure> {
    let request = CloseRequest {
        app: arguments.text("app")?.to_owned(),
        environment: arguments.text("environment")?.to_owned(),
        id: arguments.text("id")?.to_owned(),
        reason: arguments.optional("reason").unwrap_or_default().to_owned(),
    };
    Ok(Reply::new(line(&tickets::close(&request)?)))
}

fn line(ticket: &Ticket) -> String {
    format!("{} ({}): {}", ticket.id, ticket.state, ticket.title)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_is_one_line_with_its_state() {
        let ticket = Ticket { id: "OPS-17".into(), title: "Disk full".into(), state: "open".into() };
        assert_eq!(line(&ticket), "OPS-17 (open): Disk full");
    }
}
