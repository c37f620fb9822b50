//! Tests of rights: several ids of one person, groups, rooms, grants in chat.
//!
//! Not here: errors in the configuration (the stories of the `tests` package).

use std::{sync::Arc, time::Duration};

use super::*;
use crate::{
    adapter::{ChatFeatures, MemoryChat, MemoryDirectory, MemoryPipelines, MonotonicClock},
    base::Activity,
    command::{Asker, Target},
    config::Registry,
    messaging::{Account, Outbox},
    model::Person,
    store::{Grant, MemoryStore, Write},
};

const CONFIG: &str = r#"
[bot.marvin.memory]
[environment.staging]
[environment.production]
[app.cms.deploy.staging]
memory = true
[app.shop.deploy.staging]
memory = true
[people]
admins = ["alice"]
[person.alice]
ids = ["@alice:example.org", "alice2"]
[person.bob]
ids = ["@bob:example.org", "bob2"]
[group.web]
file = "web.txt"
[role.all]
members = ["everyone"]
commands = ["where"]
apps = ["cms"]
environments = ["staging"]
[role.deployer]
members = ["@bob:example.org", "group:web"]
commands = ["deploy"]
apps = ["cms"]
environments = ["*"]
grant_in_chat = true
[role.here]
members = ["room:crew"]
commands = ["restart"]
apps = ["*"]
environments = ["*"]
[role.only-there]
members = ["everyone"]
commands = ["drain"]
apps = ["*"]
environments = ["*"]
rooms = ["memory:crew"]
[role.fixed]
members = ["bob2"]
commands = ["scale"]
apps = ["*"]
environments = ["*"]
"#;

struct Scene {
    access: Arc<Access>,
    chat: Arc<MemoryChat>,
    directory: Arc<MemoryDirectory>,
    outbox: Outbox,
}

fn scene() -> Scene {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("plugins.toml");
    std::fs::write(&path, CONFIG).unwrap();
    let chat = MemoryChat::new(ChatFeatures::PLAIN);
    let registry = Registry {
        chats: vec![Arc::new(chat.clone())],
        pipelines: vec![Arc::new(MemoryPipelines::new(None))],
        ..Registry::default()
    };
    let config = crate::config::read(&path, &registry).unwrap_or_else(|problems| panic!("{problems:#?}"));
    let directory = Arc::new(MemoryDirectory::default());
    let access = Arc::new(Access::new(config.policy));
    access.use_directory(directory.clone());
    let accounts = vec![Account::of("marvin", chat.clone())];
    let outbox = Outbox::new(
        Arc::new(MemoryStore::new()),
        accounts,
        vec!["marvin".into()],
        MemoryChat::NETWORK.to_owned(),
        Vec::new(),
        Activity::default(),
    );
    Scene { access, chat, directory, outbox }
}

fn plugin() -> Target {
    Target::Plugin("plugin".into())
}

impl Scene {
    /// Returns the rule that allows a person to run a command on an app and an environment.
    fn rule<'a>(&self, who: impl Into<Asker<'a>>, command: &str, app: &str, environment: &str) -> Option<String> {
        self.access.rights(who, command, plugin()).rule(Some(app), Some(environment))
    }
}

fn grant(id: &str, person: &str, role: &str, app: &str, environment: Option<&str>) -> Grant {
    Grant {
        id: id.into(),
        person: Person::named_by_id(person),
        role: role.into(),
        app: app.into(),
        environment: environment.map(str::to_owned),
        by: Person::named_by_id("@alice:example.org"),
        bot: "marvin".into(),
        at: jiff::Timestamp::UNIX_EPOCH,
        until: None,
    }
}

#[test]
fn all_ids_of_a_person_have_the_same_rights() {
    let scene = scene();
    for id in ["@bob:example.org", "bob2"] {
        assert_eq!(scene.rule(id, "deploy", "cms", "production").as_deref(), Some("deployer"), "{id}");
        assert_eq!(scene.rule(id, "scale", "cms", "staging").as_deref(), Some("fixed"), "{id}");
        assert!(scene.access.same_person("@bob:example.org", id) && !scene.access.is_admin(id));
    }
    // Members and admins can be given by a person's name in the configuration. A sender cannot claim such a name.
    assert!(scene.access.is_admin("@alice:example.org") && scene.access.is_admin("alice2"));
    assert!(!scene.access.is_admin("alice") && scene.rule("bob", "deploy", "cms", "staging").is_none());
    assert_eq!(scene.access.admin_ids(), ["@alice:example.org", "alice2"]);
}

#[test]
fn a_group_has_the_directorys_members_and_is_empty_without_them() {
    let scene = scene();
    assert!(scene.rule("@carol:example.org", "deploy", "cms", "staging").is_none());
    scene.directory.set("web", &["@carol:example.org", "alice2"]);
    assert_eq!(scene.rule("@carol:example.org", "deploy", "cms", "staging").as_deref(), Some("deployer"));
    assert!(scene.access.holds_role("deployer", "@carol:example.org", Some("cms"), Some("production")));
    assert!(scene.access.holds_role("deployer", "@alice:example.org", None, None), "by another id of the same person");
    assert!(scene.access.knows_members(&["deployer".into()]));
    scene.directory.close("web");
    assert!(!scene.access.knows_members(&["deployer".into()]));
    assert!(scene.rule("@carol:example.org", "deploy", "cms", "staging").is_none());
    assert!(!scene.access.holds_role("deployer", "@carol:example.org", None, None));
}

#[tokio::test]
async fn a_room_has_its_current_members() {
    let scene = scene();
    scene.chat.set_members("crew", vec![Person::named_by_id("bob2")]);
    assert!(
        scene.rule("@bob:example.org", "restart", "cms", "staging").is_none(),
        "the members were not requested yet"
    );
    assert!(!scene.access.knows_members(&["here".into()]));
    scene.access.refresh(&scene.outbox).await;
    assert!(scene.access.knows_members(&["here".into()]));
    assert_eq!(scene.rule("@bob:example.org", "restart", "cms", "staging").as_deref(), Some("here"));
    assert!(scene.rule("@carol:example.org", "restart", "cms", "staging").is_none());
}

#[tokio::test]
async fn a_role_with_rooms_counts_only_in_these_rooms() {
    let scene = scene();
    let asker = |room| Asker { room, ..Asker::from("@carol:example.org") };
    let rule = |room| scene.rule(asker(room), "drain", "cms", "staging");
    assert_eq!(rule(Some(("memory", "crew"))).as_deref(), Some("only-there"));
    assert!(rule(Some(("memory", "lobby"))).is_none());
    assert!(rule(Some(("matrix", "crew"))).is_none(), "a room of this name on another network is another room");
    assert!(rule(None).is_none());
}

#[test]
fn everyone_does_not_count_for_approvals() {
    let scene = scene();
    assert_eq!(scene.rule("@carol:example.org", "where", "cms", "staging").as_deref(), Some("all"));
    assert!(!scene.access.holds_role("all", "@carol:example.org", Some("cms"), Some("staging")));
}

#[test]
fn a_grant_gives_a_role_on_one_app() {
    let scene = scene();
    let who = "@carol:example.org";
    scene.access.changed(&[Write::Grant(grant("7f3ak/3", who, "deployer", "cms", Some("staging")))]);
    let rule = "deployer, granted by @alice:example.org in job 7f3ak";
    assert_eq!(scene.rule(who, "deploy", "cms", "staging").as_deref(), Some(rule));
    assert!(scene.rule(who, "deploy", "cms", "production").is_none());
    assert!(scene.access.sees(who, Some("cms"), Some("staging")) && !scene.access.sees(who, Some("shop"), None));
    assert!(scene.access.holds_role("deployer", who, Some("cms"), Some("staging")));
    assert!(!scene.access.holds_role("deployer", who, Some("cms"), Some("production")));
    scene.access.changed(&[Write::Revoke("7f3ak/3".into())]);
    assert!(scene.rule(who, "deploy", "cms", "staging").is_none());
}

#[test]
fn the_configuration_limits_grants() {
    let scene = scene();
    let who = "@carol:example.org";
    let other = |grant: Grant| Grant { bot: "other".into(), ..grant };
    let warnings = scene.access.restore(vec![
        grant("a/1", who, "fixed", "cms", None),
        grant("b/1", who, "gone", "cms", None),
        grant("c/1", who, "deployer", "gone", None),
        grant("d/1", who, "deployer", "shop", None),
        other(grant("e/1", who, "deployer", "cms", None)),
    ]);
    assert_eq!(warnings.len(), 5, "{warnings:#?}");
    assert!(warnings[0].ends_with("role `fixed` has no `grant_in_chat = true`"), "{}", warnings[0]);
    assert!(scene.access.rights(who, "deploy", plugin()).rule(None, None).is_none());
    assert!(scene.rule(who, "scale", "cms", "staging").is_none() && scene.access.grants().is_empty());
    assert!(scene.access.restore(vec![grant("f/1", who, "deployer", "cms", None)]).is_empty());
    assert!(scene.rule(who, "deploy", "cms", "production").is_some());
}

#[test]
fn a_grant_expires() {
    let scene = scene();
    let clock = MonotonicClock::starting_at(jiff::Timestamp::now());
    let wall = Arc::new(WallClock(clock.now().into()));
    scene.access.set_clocks(clock, wall.clone());
    let until = |span: Duration| Some(clock.now().checked_add(span).unwrap());
    let soon = Grant { until: until(Duration::from_millis(60)), ..grant("a/1", "eve", "deployer", "cms", None) };
    scene.access.changed(&[Write::Grant(soon)]);
    assert!(scene.rule("eve", "deploy", "cms", "staging").is_some());
    std::thread::sleep(Duration::from_millis(80));
    assert!(scene.rule("eve", "deploy", "cms", "staging").is_none() && scene.access.grants().is_empty());
    // The wall clock was behind when the process started, and was set since.
    let later = Grant { until: until(Duration::from_secs(3600)), ..grant("b/1", "eve", "deployer", "cms", None) };
    scene.access.changed(&[Write::Grant(later)]);
    assert!(scene.rule("eve", "deploy", "cms", "staging").is_some());
    *wall.0.lock() = until(Duration::from_secs(3601)).unwrap();
    assert!(scene.rule("eve", "deploy", "cms", "staging").is_none());
}

struct WallClock(parking_lot::Mutex<jiff::Timestamp>);

impl crate::adapter::Clock for WallClock {
    fn now(&self) -> jiff::Timestamp {
        *self.0.lock()
    }
}
