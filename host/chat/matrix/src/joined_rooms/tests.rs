//! Tests of the rooms that are served, also after a restart.

use matrix_sdk::ruma::{owned_room_id, room_id, user_id};

use super::*;
use crate::config::tests::config_in;

fn alice() -> &'static UserId {
    user_id!("@alice:x")
}

fn config(folder: &tempfile::TempDir, rooms: &[&str]) -> Config {
    let rooms = rooms.iter().map(|room| room.parse().expect("a room")).collect();
    Config { rooms, ..config_in(folder.path()) }
}

fn alias(text: &str) -> OwnedRoomOrAliasId {
    text.parse().expect("an alias")
}

fn alice_is_admin(person: &str) -> bool {
    person == alice().as_str()
}

#[test]
fn only_configured_rooms_and_rooms_of_an_admins_invitation_are_served() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut rooms = JoinedRooms::load(&config(&folder, &["!ops:x"]));
    rooms.admit(room_id!("!chat:x"), alice());
    for (room, membership) in [
        ("!ops:x", RoomMembership::Served),
        ("!chat:x", RoomMembership::Served),
        ("!by-hand:x", RoomMembership::Ignored),
    ] {
        let room = RoomId::parse(room).expect("an id");
        assert_eq!(rooms.membership(&room, alice_is_admin), membership, "{room}");
    }
    assert_eq!(
        rooms.membership(room_id!("!chat:x"), |_| false),
        RoomMembership::Ignored,
        "the inviter is no longer an admin"
    );
}

#[test]
fn a_room_is_undecided_until_each_alias_is_looked_up() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut rooms = JoinedRooms::load(&config(&folder, &["#ops:x"]));
    let ops = room_id!("!ops:x");
    assert_eq!(rooms.membership(ops, alice_is_admin), RoomMembership::Undecided);
    rooms.set_configured(alias("#ops:x"), Some(ops.to_owned()));
    assert_eq!(rooms.membership(ops, alice_is_admin), RoomMembership::Served);
    assert_eq!(rooms.membership(room_id!("!other:x"), alice_is_admin), RoomMembership::Ignored);
    rooms.set_configured(alias("#ops:x"), None);
    assert_eq!(rooms.membership(ops, alice_is_admin), RoomMembership::Ignored, "the homeserver knows no such alias");
}

#[test]
fn invitations_and_aliases_survive_a_restart_and_a_room_removed_from_the_configuration_does_not() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut rooms = JoinedRooms::load(&config(&folder, &["#ops:x"]));
    rooms.set_configured(alias("#ops:x"), Some(owned_room_id!("!ops:x")));
    rooms.admit(room_id!("!chat:x"), alice());
    // An invitation to a configured room is not stored.
    rooms.admit(room_id!("!ops:x"), alice());
    rooms.save();

    let rooms = JoinedRooms::load(&config(&folder, &["#ops:x"]));
    assert_eq!(rooms.membership(room_id!("!ops:x"), alice_is_admin), RoomMembership::Served, "before any lookup");
    assert_eq!(rooms.membership(room_id!("!chat:x"), alice_is_admin), RoomMembership::Served);

    let mut rooms = JoinedRooms::load(&config(&folder, &[]));
    assert_eq!(rooms.membership(room_id!("!ops:x"), alice_is_admin), RoomMembership::Ignored);
    rooms.remove(room_id!("!chat:x"));
    rooms.save();
    let rooms = JoinedRooms::load(&config(&folder, &[]));
    assert_eq!(rooms.membership(room_id!("!chat:x"), alice_is_admin), RoomMembership::Ignored, "the bot left it");
}

#[test]
fn the_file_of_another_account_and_a_damaged_file_are_ignored() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut rooms = JoinedRooms::load(&config(&folder, &[]));
    rooms.admit(room_id!("!chat:x"), alice());
    rooms.save();
    let mut other = config(&folder, &[]);
    other.user = user_id!("@hal:x").to_owned();
    assert_eq!(JoinedRooms::load(&other).membership(room_id!("!chat:x"), alice_is_admin), RoomMembership::Ignored);
    std::fs::write(folder.path().join("rooms.json"), "{").expect("written");
    let rooms = JoinedRooms::load(&config(&folder, &[]));
    assert_eq!(rooms.membership(room_id!("!chat:x"), alice_is_admin), RoomMembership::Ignored);
}

#[test]
fn a_confirmed_successor_is_served_like_its_predecessor() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut rooms = JoinedRooms::load(&config(&folder, &["!ops:x"]));
    let (ops, next, last, chat) = (room_id!("!ops:x"), room_id!("!ops2:x"), room_id!("!ops3:x"), room_id!("!chat:x"));
    rooms.expect_successor(next);
    assert_eq!(
        rooms.membership(next, alice_is_admin),
        RoomMembership::Undecided,
        "no event of it is skipped meanwhile"
    );
    rooms.record_upgrade(ops, next, true);
    rooms.record_upgrade(next, last, true);
    rooms.admit(chat, alice());
    rooms.record_upgrade(chat, room_id!("!chat2:x"), true);
    rooms.remove(chat);
    rooms.expect_successor(room_id!("!liar:x"));
    rooms.record_upgrade(ops, room_id!("!liar:x"), false);
    assert!(rooms.is_upgrade_checked(ops, room_id!("!liar:x")), "and is not checked again");
    rooms.save();
    let mut rooms = JoinedRooms::load(&config(&folder, &["!ops:x"]));
    assert!(rooms.is_upgrade_checked(next, last) && !rooms.is_upgrade_checked(ops, last));
    for room in [ops, next, last, room_id!("!chat2:x")] {
        assert_eq!(rooms.membership(room, alice_is_admin), RoomMembership::Served, "{room}");
    }
    assert_eq!(rooms.membership(room_id!("!liar:x"), alice_is_admin), RoomMembership::Ignored);
    // After a room is removed from the configuration, its successors are not served either.
    let without = JoinedRooms::load(&config(&folder, &[]));
    assert_eq!(without.membership(last, alice_is_admin), RoomMembership::Ignored);
    rooms.remove(last);
    assert_eq!(rooms.membership(last, alice_is_admin), RoomMembership::Ignored);
}
