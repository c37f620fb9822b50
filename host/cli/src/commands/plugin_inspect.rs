//! `wardroom plugin inspect`: describes a plugin file without running one of its commands.

use std::path::Path;

use serde_json::json;

use crate::{Exit, arguments::Format, report, wiring::Wiring};

pub(crate) async fn inspect(wiring: &Wiring<'_>, file: &Path, format: Format) -> anyhow::Result<Exit> {
    match wiring.builder_alone().inspect(file).await {
        Ok(plugin) => {
            report::print(format, || json!(plugin), || plugin.to_string())?;
            Ok(Exit::Done)
        }
        Err(reason) => Ok(report::failed(&format!("{}: {reason}", file.display()))),
    }
}
