//! Reads `[store]`: the URL of the database, and the retention period of jobs.

use std::time::Duration;

use super::read::Config;
use crate::base::{Key, Located, Table, TableKeys};

pub(crate) use crate::journal::MIN_KEEP;

pub(crate) static STORE_KEYS: TableKeys = TableKeys {
    path: "store",
    about: "The database. The table is allowed only in the main file.",
    keys: &[
        Key::string(
            "url",
            "The SQLite database, as `sqlite:PATH`. The path is relative to the main file. The folder of the database \
             is the state folder.",
        )
        .default(Config::DEFAULT_STORE),
        Key::duration("keep", "How long finished jobs and their journals are kept. Releases are kept for ever.")
            .between(MIN_KEEP, Duration::MAX)
            .default("90d"),
    ],
};

pub(crate) struct StoreConfig {
    /// The URL of the database, for example `sqlite:state/wardroom.db`.
    pub url: Located<String>,
    /// The retention period of finished jobs.
    pub keep: Duration,
}

pub(crate) fn read(root: &mut Table) -> StoreConfig {
    let at = root.at_key("store");
    let mut table = root.table_or_empty("store");
    let url = table.string("url").unwrap_or(Located { value: Config::DEFAULT_STORE.to_owned(), at });
    let keep = table.duration_or_default("keep");
    table.finish();
    StoreConfig { url, keep }
}
