//! The trait that makes a type a plugin, and the macro that exports it.
//!
//! Invariant: [`describe`] and [`run`] use the same table of commands, so a described command can be run.

use crate::bindings::exports::wardroom::plugin::commands::{Description, Failure, Invocation, Reply};
use crate::{Arguments, Command, Setting};

/// A plugin: a table of commands. [`crate::export!`] exports it to the host.
pub trait Plugin {
    /// The commands, 1 to 64. `help` lists them in this order.
    const COMMANDS: &'static [Command];

    /// The settings that an operator can write under `[plugin.NAME.config]`.
    const SETTINGS: &'static [Setting] = &[];
}

/// Describes the commands and settings of a plugin.
pub fn describe<P: Plugin>() -> Description {
    Description {
        commands: P::COMMANDS.iter().map(Command::describe).collect(),
        settings: P::SETTINGS.iter().map(Setting::describe).collect(),
    }
}

/// Runs one command of a plugin.
///
/// # Errors
/// The failure of the handler; `invalid` if the plugin does not have the command.
pub fn run<P: Plugin>(invocation: Invocation) -> Result<Reply, Failure> {
    let mut commands = P::COMMANDS.iter();
    match commands.find(|command| command.is_named(&invocation.command)) {
        Some(command) => command.run(&Arguments::from(invocation)),
        None => Err(Failure::invalid(format!("this plugin has no command `{}`", invocation.command))),
    }
}

/// Exports a type that implements [`Plugin`](crate::Plugin) as the plugin of the calling crate. Call the macro once per
/// crate. The crate must be a `cdylib`.
#[macro_export]
macro_rules! export {
    ($plugin:ty) => {
        #[doc(hidden)]
        struct WardroomExport;

        impl $crate::bindings::exports::wardroom::plugin::commands::Guest for WardroomExport {
            fn describe() -> $crate::bindings::exports::wardroom::plugin::commands::Description {
                $crate::describe::<$plugin>()
            }

            fn run(invocation: $crate::Invocation) -> ::core::result::Result<$crate::Reply, $crate::Failure> {
                $crate::run::<$plugin>(invocation)
            }
        }

        $crate::bindings::export_world!(WardroomExport with_types_in $crate::bindings);
    };
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Parameter, Person};

    struct Echo;

    impl Plugin for Echo {
        const COMMANDS: &'static [Command] =
            &[Command::query("echo", "Says it again.", |arguments| Ok(Reply::new(arguments.text("words")?)))
                .aliases(&["say"])
                .parameters(&[Parameter::rest("words", "what to say").optional()])];
        const SETTINGS: &'static [Setting] = &[Setting::new("volume", "How loud.").pattern("[0-9]+")];
    }

    fn typed(command: &str) -> Invocation {
        Invocation {
            job: "j1".into(),
            command: command.into(),
            arguments: Vec::new(),
            caller: Person { id: "operator".into(), name: "operator".into() },
        }
    }

    #[test]
    fn the_description_has_the_commands_of_the_table() {
        let description = describe::<Echo>();
        assert_eq!(description.commands.len(), 1);
        assert_eq!(description.commands[0].aliases, ["say"]);
        assert!(!description.commands[0].parameters[0].required);
        assert_eq!(description.settings[0].pattern, "[0-9]+");
    }

    #[test]
    fn a_command_runs_by_its_name_and_not_by_an_alias() {
        let missing = run::<Echo>(typed("echo")).unwrap_err();
        assert_eq!(missing.message, "the argument `words` is missing");
        let unknown = run::<Echo>(typed("say")).unwrap_err();
        assert_eq!(unknown.message, "this plugin has no command `say`");
    }
}
