//! The trait that makes a type a plugin, and the macro that gives it to the host.
//!
//! Invariant: what [`describe`] tells is the very table that [`run`] looks up.

use crate::bindings::exports::wardroom::plugin::commands::{Description, Failure, Invocation, Reply};
use crate::{Arguments, Command, Setting};

/// A plugin: a table of commands. Give it to the host with [`crate::export!`].
pub trait Plugin {
    /// The commands that it has.
    const COMMANDS: &'static [Command];

    /// The settings that its operator may give.
    const SETTINGS: &'static [Setting] = &[];
}

/// All that the host needs to know of a plugin before anybody types.
pub fn describe<P: Plugin>() -> Description {
    Description {
        commands: P::COMMANDS.iter().map(Command::describe).collect(),
        settings: P::SETTINGS.iter().map(Setting::describe).collect(),
    }
}

/// Does one command of a plugin.
///
/// # Errors
/// What the command's handler answers; `invalid` where there is no such command.
pub fn run<P: Plugin>(invocation: Invocation) -> Result<Reply, Failure> {
    let mut commands = P::COMMANDS.iter();
    match commands.find(|command| command.is_named(&invocation.command)) {
        Some(command) => command.run(&Arguments::from(invocation)),
        None => Err(Failure::invalid(format!("there is no command `{}` here", invocation.command))),
    }
}

/// Makes a type that implements [`Plugin`](crate::Plugin) the plugin of this crate. Once per crate,
/// which must be a `cdylib`.
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
                .parameters(&[Parameter::rest("words", "What to say.").optional()])];
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
    fn the_description_is_the_table() {
        let description = describe::<Echo>();
        assert_eq!(description.commands.len(), 1);
        assert_eq!(description.commands[0].aliases, ["say"]);
        assert!(!description.commands[0].parameters[0].required);
        assert_eq!(description.settings[0].pattern, "[0-9]+");
    }

    #[test]
    fn a_command_is_run_by_its_own_name_only() {
        let missing = run::<Echo>(typed("echo")).unwrap_err();
        assert_eq!(missing.message, "`words` is missing");
        let unknown = run::<Echo>(typed("say")).unwrap_err();
        assert_eq!(unknown.message, "there is no command `say` here");
    }
}
