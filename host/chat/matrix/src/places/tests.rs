//! Which rooms are ours, over restarts too.

use matrix_sdk::ruma::{owned_room_id, room_id, user_id};
use wardroom::port::SecretRef;

use super::*;
use crate::Login;

fn alice() -> &'static UserId {
    user_id!("@alice:x")
}

fn config(folder: &tempfile::TempDir, rooms: &[&str]) -> Config {
    Config {
        bot: "marvin".into(),
        homeserver: "https://x".parse().expect("a URL"),
        user: user_id!("@marvin:x").to_owned(),
        login: Login::Password(SecretRef::Env("P".into())),
        rooms: rooms.iter().map(|room| room.parse().expect("a room")).collect(),
        recovery_key: None,
        devices: crate::config::Devices::CrossSigned,
        identities: std::collections::BTreeMap::new(),
        reactions: true,
        ca: None,
        folder: folder.path().to_owned(),
    }
}

fn alias(text: &str) -> OwnedRoomOrAliasId {
    text.parse().expect("an alias")
}

fn alice_is_admin(person: &str) -> bool {
    person == alice().as_str()
}

#[test]
fn only_configured_rooms_and_an_admins_are_ours() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut places = Places::load(&config(&folder, &["!ops:x"]));
    places.admit(room_id!("!chat:x"), alice());
    for (room, standing) in [("!ops:x", Standing::Ours), ("!chat:x", Standing::Ours), ("!by-hand:x", Standing::Foreign)]
    {
        let room = RoomId::parse(room).expect("an id");
        assert_eq!(places.standing(&room, alice_is_admin), standing, "{room}");
    }
    assert_eq!(places.standing(room_id!("!chat:x"), |_| false), Standing::Foreign, "no admin any more");
}

#[test]
fn an_alias_that_is_not_looked_up_decides_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut places = Places::load(&config(&folder, &["#ops:x"]));
    let ops = room_id!("!ops:x");
    assert_eq!(places.standing(ops, alice_is_admin), Standing::Unknown);
    places.learn(alias("#ops:x"), Some(ops.to_owned()));
    assert_eq!(places.standing(ops, alice_is_admin), Standing::Ours);
    assert_eq!(places.standing(room_id!("!other:x"), alice_is_admin), Standing::Foreign);
    places.learn(alias("#ops:x"), None);
    assert_eq!(places.standing(ops, alice_is_admin), Standing::Foreign, "the homeserver knows no such alias");
}

#[test]
fn invitations_and_aliases_outlive_the_process_and_a_room_taken_out_does_not() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut places = Places::load(&config(&folder, &["#ops:x"]));
    places.learn(alias("#ops:x"), Some(owned_room_id!("!ops:x")));
    places.admit(room_id!("!chat:x"), alice());
    // An invitation to a room of the configuration does not make it ours for ever.
    places.admit(room_id!("!ops:x"), alice());
    places.save();

    let places = Places::load(&config(&folder, &["#ops:x"]));
    assert_eq!(places.standing(room_id!("!ops:x"), alice_is_admin), Standing::Ours, "before any look up");
    assert_eq!(places.standing(room_id!("!chat:x"), alice_is_admin), Standing::Ours);

    let mut places = Places::load(&config(&folder, &[]));
    assert_eq!(places.standing(room_id!("!ops:x"), alice_is_admin), Standing::Foreign);
    places.left(room_id!("!chat:x"));
    places.save();
    let places = Places::load(&config(&folder, &[]));
    assert_eq!(places.standing(room_id!("!chat:x"), alice_is_admin), Standing::Foreign, "it was left");
}

#[test]
fn another_accounts_file_and_a_broken_one_count_for_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut places = Places::load(&config(&folder, &[]));
    places.admit(room_id!("!chat:x"), alice());
    places.save();
    let mut other = config(&folder, &[]);
    other.user = user_id!("@hal:x").to_owned();
    assert_eq!(Places::load(&other).standing(room_id!("!chat:x"), alice_is_admin), Standing::Foreign);
    std::fs::write(folder.path().join("rooms.json"), "{").expect("written");
    let places = Places::load(&config(&folder, &[]));
    assert_eq!(places.standing(room_id!("!chat:x"), alice_is_admin), Standing::Foreign);
}

#[test]
fn a_room_that_took_anothers_place_is_what_that_was() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut places = Places::load(&config(&folder, &["!ops:x"]));
    let (ops, next, last, chat) = (room_id!("!ops:x"), room_id!("!ops2:x"), room_id!("!ops3:x"), room_id!("!chat:x"));
    places.expect(next);
    assert_eq!(places.standing(next, alice_is_admin), Standing::Unknown, "nothing of it is passed over meanwhile");
    places.moved(ops, next, true);
    places.moved(next, last, true);
    places.admit(chat, alice());
    places.moved(chat, room_id!("!chat2:x"), true);
    places.left(chat);
    places.expect(room_id!("!liar:x"));
    places.moved(ops, room_id!("!liar:x"), false);
    assert!(places.knows_move(ops, room_id!("!liar:x")), "and is not looked into again");
    places.save();
    let mut places = Places::load(&config(&folder, &["!ops:x"]));
    assert!(places.knows_move(next, last) && !places.knows_move(ops, last));
    for room in [ops, next, last, room_id!("!chat2:x")] {
        assert_eq!(places.standing(room, alice_is_admin), Standing::Ours, "{room}");
    }
    assert_eq!(places.standing(room_id!("!liar:x"), alice_is_admin), Standing::Foreign);
    // Out of the configuration, and with it what took its place.
    let places_without = Places::load(&config(&folder, &[]));
    assert_eq!(places_without.standing(last, alice_is_admin), Standing::Foreign);
    places.left(last);
    assert_eq!(places.standing(last, alice_is_admin), Standing::Foreign);
}
