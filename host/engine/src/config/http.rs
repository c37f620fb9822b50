//! Reads `[http]`: the HTTP listener for webhooks, health and metrics.

use std::net::SocketAddr;

use crate::{
    base::{At, Key, Table, TableKeys},
    trigger::Triggers,
};

/// The settings of the HTTP listener, from the table `[http]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpConfig {
    /// The address and port on which the host listens, for example `127.0.0.1:8788`.
    pub listen: SocketAddr,
    /// The position of `[http]` in the configuration files.
    pub at: At,
}

pub(crate) static HTTP_KEYS: TableKeys = TableKeys {
    path: "http",
    about: "The HTTP listener for webhooks, health and metrics. Without the table, the host opens no port. The build \
            must include the cargo feature `http`.",
    keys: &[Key::string("listen", "The address and the port, for example `127.0.0.1:8788`.").required()],
};

const LISTEN: &str = "\"127.0.0.1:8788\"";

/// Reads `[http]`. `left_out` is `true` if this build has no HTTP listener. Reports a configuration problem if a
/// `[[hook]]` exists without `[http]`, or if `[http]` exists in a build without the listener.
pub(crate) fn read(root: &mut Table, triggers: &Triggers, left_out: bool) -> Option<HttpConfig> {
    let Some(mut table) = root.table("http") else {
        if let Some(hook) = triggers.hooks.first() {
            let message = "a [[hook]] requires the table [http], which the configuration does not have";
            root.problem(&hook.at, message, format!("[http]\nlisten = {LISTEN}"));
        }
        return None;
    };
    let at = table.at().clone();
    if left_out {
        let fix = "cargo build -p wardroom-cli --features http".to_owned();
        table.problem(&at, "this build does not include the HTTP listener", fix);
    }
    let text = table.required_string("listen", LISTEN);
    let listen = text.and_then(|text| {
        let listen = text.value.parse::<SocketAddr>().ok();
        if listen.is_none() {
            let message = format!("`{}` is not an IP address with a port", crate::base::clean(&text.value));
            table.problem(&text.at, message, format!("listen = {LISTEN}"));
        }
        listen
    });
    table.finish();
    Some(HttpConfig { listen: listen?, at })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use crate::adapter::{ChatFeatures, MemoryChat};
    use crate::config::read::Registry;

    #[test]
    fn http_in_a_build_without_the_listener_is_a_problem_with_the_cargo_feature() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("plugins.toml");
        std::fs::write(&file, "[bot.hal.memory]\n\n[http]\nlisten = \"127.0.0.1:8788\"\n").unwrap();
        let chat = || Arc::new(MemoryChat::new(ChatFeatures::PLAIN));
        let registry = Registry { chats: vec![chat()], ..Registry::default() };
        assert_eq!(
            crate::config::read(&file, &registry).ok().and_then(|config| config.http).unwrap().listen.port(),
            8788
        );
        let problems = crate::config::read(&file, &Registry { no_http: true, ..registry }).err().unwrap();
        let [problem] = problems.as_slice() else { panic!("{problems:?}") };
        assert_eq!((problem.at.line, problem.message.as_str()), (3, "this build does not include the HTTP listener"));
        assert_eq!(problem.fix.as_deref(), Some("cargo build -p wardroom-cli --features http"));
    }
}
