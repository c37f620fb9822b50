//! Checks the relative links of a page.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use super::page::{Link, Page};

/// Returns the violations of one page. Paths are relative to the checkout.
pub(super) fn violations(root: &Path, name: &Path, page: &Page, pages: &BTreeMap<PathBuf, Page>) -> Vec<String> {
    let name_of = name.display();
    let mut violations = Vec::new();
    for link in &page.links {
        violations.extend(
            violation(root, name, link, pages).map(|why| (link.line, format!("the link `{}` {why}", link.target))),
        );
    }
    for (line, label) in &page.undefined {
        violations.push((*line, format!("the reference `{label}` is not defined")));
    }
    violations.sort_by_key(|(line, _)| *line);
    violations.into_iter().map(|(line, what)| format!("{name_of}:{line}: {what}")).collect()
}

fn violation(root: &Path, name: &Path, link: &Link, pages: &BTreeMap<PathBuf, Page>) -> Option<String> {
    if is_elsewhere(&link.target) {
        return None;
    }
    if link.target.starts_with('/') {
        return Some("begins with `/`; write it relative to the page".to_owned());
    }
    let Some(file) = normal(name, &link.target) else {
        return Some("leads out of the checkout".to_owned());
    };
    if !root.join(&file).exists() {
        return Some("leads to a missing file".to_owned());
    }
    let (_, anchor) = link.target.split_once('#')?;
    let exists = match pages.get(&file) {
        Some(page) => page.anchors.contains(anchor),
        // The page is not checked itself, but its headings can be link targets.
        None if file.extension().is_some_and(|extension| extension == "md") => {
            Page::read(&root.join(&file)).is_ok_and(|page| page.anchors.contains(anchor))
        }
        // The anchor is a line of a source file, for example `#L2`.
        None => anchor.strip_prefix('L').is_some_and(|line| line.parse::<usize>().is_ok()),
    };
    (!exists).then(|| format!("names a missing heading of {}", file.display()))
}

/// Returns true if a link has a scheme, for example `https:` or `mailto:`.
fn is_elsewhere(target: &str) -> bool {
    let scheme = |scheme: &str| {
        scheme.starts_with(|letter: char| letter.is_ascii_alphabetic())
            && scheme.chars().all(|letter| letter.is_ascii_alphanumeric() || "+-.".contains(letter))
    };
    target.starts_with("//") || target.split_once(':').is_some_and(|(before, _)| scheme(before))
}

/// Returns the file that a link of a page names, relative to the checkout; `None` if the file is outside of the
/// checkout.
pub(super) fn normal(page: &Path, target: &str) -> Option<PathBuf> {
    let path = target.split(['#', '?']).next().unwrap_or_default().replace("%20", " ");
    if path.is_empty() {
        return Some(page.to_owned());
    }
    let mut normal = PathBuf::new();
    for part in page.parent().unwrap_or(Path::new("")).join(path).components() {
        match part {
            Component::ParentDir if !normal.pop() => return None,
            Component::ParentDir | Component::CurDir => {}
            part => normal.push(part),
        }
    }
    Some(normal)
}
