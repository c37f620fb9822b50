//! The data of a review: the configuration, its rights and the loaded plugins.

use super::explain::Explainer;
use crate::{command::Vocabulary, config::Config, hostcall::Plugins, policy::Access};

pub(super) struct Reviewed {
    pub(super) config: Config,
    pub(super) access: Access,
    pub(super) plugins: Plugins,
}

impl Reviewed {
    pub(super) fn explainer(&self) -> Explainer<'_> {
        Explainer {
            access: &self.access,
            catalog: &self.config.catalog,
            plugins: &self.plugins,
            approvals: &self.config.approvals,
        }
    }

    pub(super) fn vocabulary(&self) -> Vocabulary<'_> {
        Vocabulary::all_with_roles(&self.config.catalog, &self.access)
    }
}

/// Returns the last part of a path, for example `apps.toml` for `conf/apps.toml`.
pub(super) fn file_name(file: &str) -> &str {
    file.rsplit('/').next().unwrap_or(file)
}
