//! Runs `can USER COMMAND...`, which answers whether a person may run a command.

use crate::{
    command::{Value, Vocabulary},
    engine::{host::Host, review::Explainer, verdict::Refusal},
    policy::Authorized,
};

impl Host {
    pub(crate) fn can(&self, authorized: &Authorized) -> Result<String, Refusal> {
        let text = |name: &str| {
            authorized.command().arguments().find_map(|(parameter, value)| match value {
                Value::Text(text) if parameter.name == name => Some(text.as_str()),
                _ => None,
            })
        };
        let (who, line) = (text("user").unwrap_or_default(), text("command").unwrap_or_default());
        let (asker, access) = (authorized.asker(), &*self.context.access);
        let explainer = Explainer {
            access,
            catalog: &self.context.catalog,
            plugins: &self.plugins,
            approvals: &self.context.approvals,
        };
        // An app that the person may not see is reported as unknown.
        let vocabulary = Vocabulary::of(&self.context.catalog, access, asker);
        let explained = explainer.line(asker.named(who), line, &vocabulary);
        explained.map(|explained| explained.to_string()).map_err(Refusal::Malformed)
    }
}
