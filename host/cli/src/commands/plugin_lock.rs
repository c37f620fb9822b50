//! `wardroom plugin lock`: writes `plugins.lock`, which pins each plugin file. With `--check`, only reports whether
//! `plugins.lock` would change.

use wardroom::plugin::Lock;

use crate::{Exit, report, wiring::Wiring};

pub(crate) async fn lock(wiring: &Wiring<'_>, check: bool, accept_old: bool) -> anyhow::Result<Exit> {
    let Some(mut wired) = wiring.read_or_report() else { return Ok(Exit::Invalid) };
    // Load the plugins without the current `plugins.lock`, because with it the host refuses changed plugin files.
    let old = wired.lock.take();
    let (review, _) = wired.review().await?;
    let problems = review.problems();
    if !problems.is_empty() {
        report::problems(&problems);
        return Ok(Exit::Invalid);
    }
    let mut new = review.lock();
    let file = Lock::path(wiring.path);
    let known = old.clone().unwrap_or_default();
    new.inherit(&known, accept_old).map_err(anyhow::Error::msg)?;
    let changes = known.changes(&new);
    let mut lines = changes.clone();
    let same = changes.is_empty() && old.is_some();
    match (same, check) {
        (true, _) => lines.push(format!("{}: not changed", file.display())),
        (false, true) => lines.push(format!("{}: would change", file.display())),
        (false, false) => {
            let temporary = file.with_extension("lock.tmp");
            std::fs::write(&temporary, new.text())?;
            std::fs::rename(&temporary, &file)?;
            lines.push(format!("{}: written with {} plugins; commit the file", file.display(), new.0.len()));
        }
    }
    report::out(&lines.join("\n"))?;
    Ok(if check && !same { Exit::Failed } else { Exit::Done })
}
