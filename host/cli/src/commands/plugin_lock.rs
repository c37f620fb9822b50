//! `wardroom plugin lock`: writes plugins.lock, which pins the bytes of each plugin.

use std::{collections::BTreeMap, path::Path};

use wardroom::plugin::Lock;

use crate::{Exit, report, wiring};

pub(crate) async fn lock(path: &Path, check: bool) -> anyhow::Result<Exit> {
    let Some(wired) = wiring::wire_or_report(path) else { return Ok(Exit::Wrong) };
    // Loaded without the present lock, because changed bytes are to be locked.
    let plugins = wired.plugins(None).await?;
    let problems = plugins.problems(&wired.config);
    if !problems.is_empty() {
        report::problems(&problems);
        return Ok(Exit::Wrong);
    }
    let locked: BTreeMap<_, _> =
        plugins.loaded().iter().map(|plugin| (plugin.name.to_string(), plugin.locked())).collect();
    let new = Lock(locked);
    let file = wardroom::plugin::path(path);
    let changes = wired.lock.clone().unwrap_or_default().changes(&new);
    let mut lines = changes.clone();
    let same = changes.is_empty() && wired.lock.is_some();
    match (same, check) {
        (true, _) => lines.push(format!("{}: nothing changed", file.display())),
        (false, true) => lines.push(format!("{}: would change", file.display())),
        (false, false) => {
            let temporary = file.with_extension("lock.tmp");
            std::fs::write(&temporary, new.text())?;
            std::fs::rename(&temporary, &file)?;
            lines.push(format!("{}: written, {} plugins; commit it", file.display(), new.0.len()));
        }
    }
    report::out(&lines.join("\n"))?;
    Ok(if check && !same { Exit::Failed } else { Exit::Done })
}
