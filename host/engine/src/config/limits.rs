//! Reads `[limits]`: the limits of the whole host.

use crate::base::{Key, Table, TableKeys};

pub(crate) static LIMITS_KEYS: TableKeys = TableKeys {
    path: "limits",
    about: "The limits of the whole host. `[plugin.NAME.limits]` has the limits of one run of a plugin.",
    keys: &[Key::integer(
        "memory_mib",
        128,
        1 << 20,
        "The memory that all running plugins together may use, in MiB: half for jobs and half for queries. A command \
         waits until there is room for the memory limit of its plugin.",
    )
    .default("1024")],
};

/// Returns the memory that all guests together may use, in MiB.
pub(crate) fn read(root: &mut Table) -> usize {
    let mut table = root.table_or_empty("limits");
    let memory = table.integer_or_default("memory_mib");
    table.finish();
    usize::try_from(memory).unwrap_or_default()
}
