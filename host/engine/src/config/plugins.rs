//! Reads `[plugin.*]`: the files, grants, limits and settings of the plugins.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use super::rules::{self, ALLOW_KEYS};
use crate::{
    base::{Key, KeyKind, Located, Table, TableKeys},
    model::{CallTable, Catalog, Limits},
    plugin::PluginConfig,
    policy::Grants,
};

pub(crate) static PLUGIN_KEYS: TableKeys = TableKeys {
    path: "plugin.NAME",
    about: "A plugin with its grants, limits and settings. A name has up to 32 lower-case letters, digits and dashes.",
    keys: &[
        Key::string("module", "The file of the WebAssembly component. The path is relative to the main file.")
            .required(),
        Key::strings(
            "commands",
            "The commands that belong to this plugin, even if another plugin has a command with the same name. A command \
             that several plugins have belongs to none of them, unless this key says whose it is.",
        ),
        Key::array(
            "allow",
            &ALLOW_KEYS,
            "The grants. A plugin does not load if it imports a host call without a grant.",
        ),
        Key::table(
            "limits",
            &LIMIT_KEYS,
            "The limits of one run of the plugin. Without the table, the defaults apply.",
        ),
        Key::table("config", &SETTING_KEYS, "The plugin's settings."),
    ],
};

static LIMIT_KEYS: TableKeys = TableKeys {
    path: "plugin.NAME.limits",
    about: "The limits of one run of a plugin. A run ends with the command, or earlier when the command waits. If \
            a run exceeds `acts`, the host refuses the host call. If it exceeds another limit, the host stops the run.",
    keys: &[
        Key::integer("memory_mib", 1, Limits::MAX_MEMORY_MIB as i64, "The memory, in MiB.").default("32"),
        Key::duration("cpu", "The CPU time.").between(Duration::from_millis(10), Duration::from_secs(60)).default("1s"),
        Key::duration("wall", "The time from the start of the run to its end.")
            .between(Duration::from_millis(100), Duration::from_secs(3600))
            .default("30s"),
        Key::integer("calls", 1, 1_000_000, "The number of host calls.").default("1000"),
        Key::integer("acts", 0, 1_000, "The number of effects: allowed host calls that change something.")
            .default("16"),
        Key::integer("bytes_out_kib", 1, 1 << 20, "The size of all data that the plugin passes to the host, in KiB.")
            .default("1024"),
        Key::integer("bytes_in_kib", 1, 1 << 20, "The size of all data that the host passes to the plugin, in KiB.")
            .default("16384"),
    ],
};

static SETTING_KEYS: TableKeys = TableKeys {
    path: "plugin.NAME.config",
    about: "The settings of a plugin. The plugin declares its settings, and the host checks them when it loads the \
            plugin.",
    keys: &[Key::any("SETTING", KeyKind::Strings, "The value or values of the setting.")],
};

pub(crate) fn read(root: &mut Table, calls: &CallTable, catalog: &Catalog, roles: &[&str]) -> Vec<PluginConfig> {
    let (mut plugins, mut owners) = (Vec::new(), BTreeMap::new());
    for (name, mut table) in root.tables("plugin") {
        let at = table.at().clone();
        if !is_name(&name.value) {
            let fix = "a name of up to 32 lower-case letters, digits and dashes".to_owned();
            table.problem(&name.at, format!("`{}` is not a valid name for a plugin", name.value), fix);
        }
        let module = table.required_string("module", &format!("\"guests/{}.wasm\"", name.value));
        let commands = table.strings("commands").map(|commands| commands.value).unwrap_or_default();
        for command in &commands {
            if let Some(other) = owners.insert(command.value.clone(), name.value.clone()) {
                let message = format!("`{}` is already a command of [plugin.{other}]", command.value);
                table.problem(&command.at, message, None);
            }
        }
        let rules = table.array("allow");
        let rules =
            rules.into_iter().filter_map(|rule| rules::allow(rule, &name.value, calls, catalog, roles)).collect();
        let limits = read_limits(table.table_or_empty("limits"));
        let settings_at = table.at_key("config");
        let settings = table.table("config").map(read_settings).unwrap_or_default();
        let folder = table.folder().to_owned();
        table.finish();
        let Some(module) = module else { continue };
        plugins.push(PluginConfig {
            name: name.value,
            at,
            commands: commands.into_iter().map(|command| command.value).collect(),
            module: folder.join(&module.value),
            grants: Arc::new(Grants::new(rules, calls)),
            limits,
            settings,
            settings_at,
        });
    }
    plugins
}

fn is_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 32
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

fn read_limits(mut table: Table) -> Limits {
    let size = |value: i64, shift: u32| usize::try_from(value).unwrap_or(1) << shift;
    let count = |value: i64| u32::try_from(value).unwrap_or(u32::MAX);
    let limits = Limits {
        memory: size(table.integer_or_default("memory_mib"), 20),
        cpu: table.duration_or_default("cpu"),
        wall: table.duration_or_default("wall"),
        calls: count(table.integer_or_default("calls")),
        bytes_out: size(table.integer_or_default("bytes_out_kib"), 10),
        bytes_in: size(table.integer_or_default("bytes_in_kib"), 10),
        acts: count(table.integer_or_default("acts")),
    };
    table.finish();
    limits
}

fn read_settings(mut table: Table) -> Vec<(Located<String>, Vec<Located<String>>)> {
    let mut settings = Vec::new();
    for key in table.keys() {
        if let Some(values) = table.strings(&key.value) {
            settings.push((key, values.value));
        }
    }
    table.finish();
    settings
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::base::{At, Node, Problems, Value};

    #[test]
    fn a_table_without_limits_has_the_default_limits() {
        let at = At { file: "plugins.toml".into(), line: 1 };
        let node = Node { at, value: Value::Table(BTreeMap::new()) };
        let problems = Problems::default();
        let table = Table::new("plugin.x.limits", node, &LIMIT_KEYS, &problems, Arc::new(PathBuf::new()));
        assert_eq!(read_limits(table), Limits::default());
        assert_eq!(problems.count(), 0);
    }
}
