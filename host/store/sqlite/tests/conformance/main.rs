//! What every store must do, run against the one in memory and the one in SQLite, and what SQLite alone can show:
//! that it outlives its process, and that a full disk costs nothing but time.

mod checks;
mod jobs;
mod process;
mod random;
mod rows;
mod sqlite;
mod tamper;
mod versions;

/// Makes two tests of each check of a module. A check that is not listed is dead code and does not build.
macro_rules! on_every_store {
    ($memory:ident, $sqlite:ident, $module:ident: $($check:ident,)*) => {
        mod $memory {
            $(#[tokio::test]
            async fn $check() {
                crate::$module::$check(&wardroom::port::memory::MemoryStore::new()).await;
            })*
        }
        mod $sqlite {
            $(#[tokio::test]
            async fn $check() {
                let folder = tempfile::tempdir().expect("a folder");
                let store = wardroom_sqlite::SqliteStore::open(&folder.path().join("wardroom.db")).await.expect("opens");
                crate::$module::$check(&store).await;
                store.close().await;
            })*
        }
    };
}

on_every_store![
    memory_store, sqlite_store, checks:
    a_message_is_received_once,
    what_has_a_name_comes_once_whatever_its_key,
    a_message_waits_until_it_is_done,
    a_mark_moves_forward_only,
    a_message_is_said_once,
    a_reaction_is_said_once,
    a_card_keeps_its_newest_text,
    a_card_keeps_its_first_event_and_its_place,
    a_sent_text_that_is_not_the_newest_leaves_the_card_unsent,
    what_cannot_be_sent_is_given_up_for_good,
    a_list_with_one_bad_write_changes_nothing,
    a_list_sees_its_own_writes,
    a_run_is_released_once,
    releases_come_newest_first,
    releases_are_filtered,
    the_latest_release_is_chosen_after_the_other_filters,
    what_was_granted_stands_until_it_is_taken_back,
    an_environment_has_one_freeze,
    what_was_sent_is_known_by_its_event,
    a_plugin_has_its_own_values,
    values_are_found_by_the_bytes_of_a_prefix,
    usage_counts_jobs_and_lines,
    a_note_comes_before_a_later_commit,
    a_bad_note_fails_alone,
    every_text_comes_back_as_it_was,
];

on_every_store![
    memory_jobs, sqlite_jobs, jobs:
    a_job_is_open_until_it_is_closed,
    a_job_opens_once_and_closes_once,
    entries_stand_in_the_order_of_their_numbers,
    an_entry_is_the_next_one_of_an_open_job,
    a_place_has_one_job,
    a_parked_job_is_due_when_its_time_has_come,
    jobs_are_found_by_what_they_are,
    what_stands_beside_is_kept_once,
    everything_is_a_link_of_the_chain,
    a_bad_list_leaves_no_trace_in_the_chain,
    what_is_over_is_removed,
    much_is_removed_in_parts,
];
