//! Reads the identity providers, `[identity.*]`.

use std::{collections::BTreeMap, sync::Arc};

use super::read::Registry;
use crate::{
    adapter::IdentityProvider,
    base::{Key, Table, TableKeys},
};

/// The identity providers by their names. A provider whose table has problems is `None`: its problems are reported once,
/// and not again for each group.
pub(crate) type Identities = BTreeMap<String, Option<Arc<dyn IdentityProvider>>>;

pub(super) fn read(root: &mut Table, registry: &Registry) -> Identities {
    if let Some(factory) = &registry.identities {
        let keys = factory.keys();
        let mut part = root.split(keys);
        let identities = factory.read(&mut part);
        part.finish();
        root.add_keys(keys);
        return identities;
    }
    let mut identities = Identities::new();
    if root.has("identity") {
        let message = "this build does not include identity providers";
        root.problem(&root.at_key("identity"), message, "cargo build -p wardroom-cli --features oidc".to_owned());
        root.add_keys(&[Key::tables("identity", &TableKeys::NONE, "")]);
        identities.extend(root.tables("identity").into_iter().map(|(name, _)| (name.value, None)));
    }
    identities
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::prelude::*;

    #[test]
    fn a_build_without_identity_providers_names_the_feature() {
        let builder = Engine::builder().chat(MemoryChat::new(ChatFeatures::PLAIN));
        let text = "[bot.marvin.memory]\n[identity.corp]\nissuer = 'https://id.example.org'\n\
                    [group.sre]\nidentity = 'corp'\nclaim = 'team-sre'\n";
        let problems = builder.read_text(text, Path::new("/")).err().map(|error| error.0).unwrap_or_default();
        let [problem] = problems.as_slice() else { panic!("{problems:?}") };
        assert_eq!(problem.message, "this build does not include identity providers");
        assert_eq!(problem.fix.as_deref(), Some("cargo build -p wardroom-cli --features oidc"));
    }
}
