//! `[http]`: the HTTP listener for webhooks, health and metrics.

use std::net::SocketAddr;

use crate::{
    base::{At, Key, Table, TableKeys},
    trigger::Triggers,
};

/// The settings of the HTTP listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpConfig {
    /// The address and port.
    pub listen: SocketAddr,
    /// The position of the table.
    pub at: At,
}

/// The keys of `[http]`.
pub(crate) static HTTP_KEYS: TableKeys = TableKeys {
    path: "http",
    about: "The listener for webhooks, health and metrics. Without the table the host opens no port. It needs a build with `http`.",
    keys: &[Key::string("listen", "The address and the port, for example `127.0.0.1:8788`.").required()],
};

const LISTEN: &str = "\"127.0.0.1:8788\"";

/// Reads `[http]`. Hooks without the table are reported. `left_out` means that this build has no listener, which is
/// reported too.
pub(crate) fn read(root: &mut Table, triggers: &Triggers, left_out: bool) -> Option<HttpConfig> {
    let Some(mut table) = root.table("http") else {
        if let Some(hook) = triggers.hooks.first() {
            root.problem(&hook.at, "hooks need [http], and there is none", format!("[http]\nlisten = {LISTEN}"));
        }
        return None;
    };
    let at = table.at().clone();
    if left_out {
        table.problem(&at, "this build has no http", "cargo build -p wardroom-cli --features http".to_owned());
    }
    let text = table.required_string("listen", LISTEN);
    let listen = text.and_then(|text| match text.value.parse() {
        Ok(listen) => Some(listen),
        Err(_) => {
            let message = format!("`{}` is no address with a port", crate::base::clean(&text.value));
            table.problem(&text.at, message, format!("listen = {LISTEN}"));
            None
        }
    });
    table.finish();
    Some(HttpConfig { listen: listen?, at })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use crate::adapter::{ChatFeatures, MemoryChat, ReadyChat};
    use crate::config::read::Registry;

    #[test]
    fn a_build_without_it_says_where_it_is_asked_for_and_how_to_get_it() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("plugins.toml");
        std::fs::write(&file, "[bot.hal.memory]\n\n[http]\nlisten = \"127.0.0.1:8788\"\n").unwrap();
        let chat = || Arc::new(ReadyChat(MemoryChat::new(ChatFeatures::PLAIN)));
        let registry = Registry { chats: vec![chat()], ..Registry::default() };
        assert_eq!(
            crate::config::read(&file, &registry).ok().and_then(|config| config.http).unwrap().listen.port(),
            8788
        );
        let problems = crate::config::read(&file, &Registry { no_http: true, ..registry }).err().unwrap();
        let [problem] = problems.as_slice() else { panic!("{problems:?}") };
        assert_eq!((problem.at.line, problem.message.as_str()), (3, "this build has no http"));
        assert_eq!(problem.fix.as_deref(), Some("cargo build -p wardroom-cli --features http"));
    }
}
