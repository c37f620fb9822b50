//! Formats grants in chat (a person's role on an app) as text for the room.

use wardroom_guest::access::Granted;
use wardroom_guest::moment;

/// Formats a new grant: `jbrueder (@jbrueder:example.org) may now deploy Content Management System to production (role
/// deployer)`.
pub(crate) fn granted(granted: &Granted) -> String {
    let now = if granted.added { "may now" } else { "may already" };
    format!("{} {now} {} ({})", person(granted), permission(granted), role(granted))
}

/// Formats a revoked grant: `jbrueder (@jbrueder:example.org) may no longer deploy Content Management System to
/// production (role deployer)`.
pub(crate) fn revoked(granted: &Granted) -> String {
    format!("{} may no longer {} (role {})", person(granted), permission(granted), granted.role)
}

/// Formats the person with the id, because several people can have the same handle on different servers.
fn person(granted: &Granted) -> String {
    match &granted.person {
        person if person.name == person.id => person.id.clone(),
        person => format!("{} ({})", person.name, person.id),
    }
}

/// Formats a line of `auth list`.
pub(crate) fn line(granted: &Granted) -> String {
    format!(
        "{} may {} ({}), granted by {} in job {}",
        person(granted),
        permission(granted),
        role(granted),
        granted.by.name,
        granted.job
    )
}

/// Returns true if `of` is the app of the grant, or the id or handle of the person who has the role.
pub(crate) fn is_about(granted: &Granted, of: &str) -> bool {
    granted.app.eq_ignore_ascii_case(of)
        || granted.person.id == of
        || granted.person.name == of.strip_prefix('@').unwrap_or(of)
}

/// Formats what the granted role permits: `deploy Content Management System to production`. If the role has the command
/// `deploy`, only `deploy` is named; otherwise all commands of the role are listed.
fn permission(granted: &Granted) -> String {
    // A role that was removed from the configuration has no commands.
    if granted.commands.is_empty() {
        return format!("act on {}", granted.title);
    }
    let environments = and(&granted.environments);
    if granted.commands.iter().any(|command| command == "deploy" || command == "*") {
        return format!("deploy {} to {environments}", granted.title);
    }
    let commands: Vec<String> = granted.commands.iter().map(|command| format!("`{command}`")).collect();
    format!("run {} on {} in {environments}", and(&commands), granted.title)
}

fn role(granted: &Granted) -> String {
    match granted.until {
        None => format!("role {}", granted.role),
        Some(until) => format!("role {}, until {}", granted.role, moment(until)),
    }
}

/// Joins words: `a`, `a and b`, `a, b and c`.
fn and(words: &[String]) -> String {
    match words {
        [] => "nothing".to_owned(),
        [one] => one.clone(),
        [most @ .., last] => format!("{} and {last}", most.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wardroom_guest::{Instant, Person};

    fn grant() -> Granted {
        let person = |name: &str| Person { id: format!("@{name}:example.org"), name: name.into() };
        Granted {
            person: person("jbrueder"),
            role: "deployer".into(),
            app: "cms".into(),
            title: "Content Management System".into(),
            environments: vec!["production".into()],
            commands: vec!["deploy".into(), "where".into()],
            until: None,
            by: person("alice"),
            job: "7f3ak".into(),
            added: true,
        }
    }

    #[test]
    fn a_grant_names_person_permission_and_role() {
        let text =
            "jbrueder (@jbrueder:example.org) may now deploy Content Management System to production (role deployer)";
        assert_eq!(granted(&grant()), text);
        let both = Granted { environments: vec!["staging".into(), "production".into()], added: false, ..grant() };
        let text = "jbrueder (@jbrueder:example.org) may already deploy Content Management System to staging and production (role deployer)";
        assert_eq!(granted(&both), text);
        let until = Granted { until: Some(Instant { unix_ms: 0 }), commands: vec!["scale".into()], ..grant() };
        assert!(granted(&until).starts_with(
            "jbrueder (@jbrueder:example.org) may now run `scale` on Content Management System in production (role deployer, until 1970-01-01"
        ));
        assert!(revoked(&grant()).starts_with("jbrueder (@jbrueder:example.org) may no longer deploy Content"));
    }

    #[test]
    fn a_grant_matches_by_app_id_or_handle() {
        for of in ["cms", "CMS", "@jbrueder:example.org", "jbrueder", "@jbrueder"] {
            assert!(is_about(&grant(), of), "{of}");
        }
        assert!(!is_about(&grant(), "shop") && !is_about(&grant(), "alice"));
    }
}
