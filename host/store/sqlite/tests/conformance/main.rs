//! The conformance suite of [`wardroom::store::Store`], run against the in-memory store and the SQLite store.
//!
//! `opening`, `writer`, `process`, `tamper`, `hidden_rows` and `versions` test the SQLite store alone: files, batches,
//! crashes, a full disk, changed databases and migrations.

mod helpers;
mod rows;

mod jobs;
mod journal;
mod lists;
mod messages;
mod plugins;
mod releases;
mod retention;
mod rights;

mod authority;
mod hidden_rows;
mod opening;
mod process;
mod random;
mod tamper;
mod versions;
mod writer;

/// Makes two tests of each listed check function, one per store. A check that is not listed is dead code, which is a
/// compile error.
macro_rules! on_every_store {
    ($($module:ident { $($check:ident,)* })*) => {
        mod memory_store {
            $(mod $module {
                $(#[tokio::test]
                async fn $check() {
                    crate::$module::$check(&wardroom::store::MemoryStore::new()).await;
                })*
            })*
        }
        mod sqlite_store {
            $(mod $module {
                $(#[tokio::test]
                async fn $check() {
                    let folder = tempfile::tempdir().expect("a folder");
                    let file = folder.path().join("wardroom.db");
                    let store = wardroom_sqlite::SqliteStore::open(&file).await.expect("the store opens");
                    crate::$module::$check(&store).await;
                    store.close().await;
                })*
            })*
        }
    };
}

on_every_store! {
    messages {
        a_message_is_received_once,
        a_named_message_is_received_once_whatever_its_key,
        a_key_counts_as_new_after_its_window,
        a_message_waits_until_it_is_done,
        a_mark_moves_forward_only,
        the_newest_key_is_found_by_its_prefix,
        a_message_is_queued_once,
        a_reaction_is_queued_once,
        a_card_keeps_its_last_text,
        a_card_keeps_its_first_event_and_its_room,
        a_card_stays_unsent_until_its_last_text_is_sent,
        a_message_that_was_given_up_is_never_sent,
        a_closing_message_is_sent_even_if_its_card_was_given_up,
        a_sent_message_is_found_by_its_event,
        hostile_text_and_extreme_times_are_stored_unchanged,
    }
    lists {
        a_list_with_an_invalid_write_changes_nothing,
        a_list_sees_its_own_writes,
        a_note_comes_before_a_later_commit,
        an_invalid_note_fails_alone,
    }
    releases {
        a_run_has_one_release,
        releases_are_sorted_newest_first,
        releases_are_filtered,
        the_latest_release_is_chosen_after_the_other_filters,
        a_limit_returns_the_newest_releases,
    }
    rights {
        a_grant_is_kept_until_it_is_revoked,
        an_environment_has_one_freeze,
        an_account_is_replaced_by_a_later_row_of_the_same_account,
    }
    plugins {
        a_plugin_has_its_own_values,
        values_are_listed_by_the_bytes_of_a_prefix,
        usage_counts_jobs_and_queries,
    }
    jobs {
        a_job_is_open_until_it_is_closed,
        a_job_opens_once_and_closes_once,
        a_deployment_lock_has_one_holder,
        a_parked_job_is_due_at_its_wake_time,
        jobs_are_filtered,
    }
    journal {
        entries_are_sorted_and_chained,
        an_entry_must_be_the_next_one_of_an_open_job,
        a_blob_is_stored_once,
        every_job_line_and_refusal_has_a_link,
        an_invalid_list_adds_nothing_to_the_chain,
    }
    retention {
        ended_jobs_and_old_rows_are_removed,
        a_large_removal_is_split,
        a_removal_after_a_given_head_is_of_old_data,
    }
}
