//! The backfill of one channel: reads the channel back to its cursor in the background, then delivers or skips its
//! posts.
//!
//! Invariant: all authors are looked up before anything is delivered. If a lookup fails, the channel stays
//! queued with the posts that arrived in the meantime.
//! Not here: the decision which channel is backfilled, and when (`requests`); the requests for the pages of a channel
//! (`backfill`).

use std::{collections::BTreeMap, sync::Arc, time::Instant};

use wardroom::adapter::Inbox;
use wardroom_account::RoomMembership;

use super::{SyncLoop, newest_post_time, requests::Finished};
use crate::{
    backfill::{self, Backfill, CLOCK_SLACK, StoredMessages},
    client::{Channel, ChannelKind, Post, Reaction},
    convert, direct_messages,
    error::MattermostError,
    session::Session,
    state_file::ChannelState,
};

/// The result of reading a channel back to its cursor.
pub(super) struct ReadBack {
    backfill: Backfill,
    /// The time of the channel's cursor, in milliseconds since the Unix epoch (server clock); `i64::MIN` if the channel
    /// has no cursor. Posts after that time are new.
    cursor: i64,
    /// The sender in a direct channel, and whether the sender is a member of a configured channel; `None` if the
    /// membership was not looked up.
    membership: Option<(String, bool)>,
}

/// The input of a backfill.
struct ReadRequest {
    channel: String,
    /// Posts up to this time, in milliseconds since the Unix epoch (server clock), are never handled, for example
    /// because they were written before the bot joined the channel.
    since: i64,
    /// The stored reactions on the bot's messages.
    reactions: Vec<Reaction>,
    /// The ids of the authors of the posts that have arrived while the channel was queued.
    buffered_authors: Vec<String>,
    /// The sender in a direct channel, and the channels in which the sender is looked up; `None` if no lookup is
    /// needed.
    sender: Option<(String, Vec<String>)>,
}

impl ReadRequest {
    async fn run(self, session: &Session, inbox: &dyn Inbox) -> Result<ReadBack, MattermostError> {
        let Self { channel, since, reactions, buffered_authors, sender } = self;
        let cursor = inbox.cursor(&channel).await;
        let cursor = cursor
            .map_err(|error| MattermostError::unavailable(format!("the channel's cursor cannot be read: {error}")))?;
        let cursor_time = cursor.as_ref().map_or(i64::MIN, |cursor| cursor.at.as_millisecond());
        // Also read the posts from shortly before the cursor; the inbox deduplicates posts by id. This is not needed if
        // the cursor has no post, because its time is exact.
        let slack = if cursor.is_some_and(|cursor| cursor.event.is_some()) { CLOCK_SLACK } else { 0 };
        let handled_until = cursor_time.saturating_sub(slack);
        let bound = handled_until.max(since);
        let stored = StoredMessages {
            ids: reactions.iter().map(|reaction| reaction.post.clone()).collect(),
            // The changes between the cursor and the bound are not read, for example those from the time in which the
            // bot was not in the channel.
            read_all: since > handled_until,
        };
        let backfill = backfill::since(&session.client, session.me(), &channel, bound, &stored).await?;
        // Look up everybody who wrote, deleted, reacted or may have removed a reaction.
        let authors = backfill.posts.iter().map(|post| post.user.as_str());
        let deleters = backfill.deleted.iter().filter_map(|post| post.property("deleteBy"));
        let reactors = backfill.reactions.values().flatten().map(|reaction| reaction.user.as_str());
        let reactors = reactors.chain(reactions.iter().map(|reaction| reaction.user.as_str()));
        let people = authors.chain(deleters).chain(reactors).chain(buffered_authors.iter().map(String::as_str));
        let looked_up = session.users.look_up(&session.client, people.filter(|person| *person != session.me())).await;
        looked_up.map_err(|error| error.context("the authors of the channel's posts cannot be looked up"))?;
        let membership = match sender {
            Some((person, channels)) if !buffered_authors.is_empty() || has_events(&backfill, session.me()) => {
                let is_member = direct_messages::is_member_of_any(&session.client, &channels, &person).await?;
                Some((person, is_member))
            }
            _ => None,
        };
        Ok(ReadBack { backfill, cursor: cursor_time, membership })
    }
}

/// Returns whether a backfill found a post of another account, a deleted post or changed reactions.
fn has_events(backfill: &Backfill, me: &str) -> bool {
    backfill.posts.iter().any(|post| post.user != me) || !backfill.deleted.is_empty() || !backfill.reactions.is_empty()
}

impl SyncLoop<'_> {
    /// Starts a backfill of a channel in the background. If the channel was ignored at the last check, the posts that
    /// are in it now are skipped.
    pub(super) fn start_backfill(&mut self, channel: Channel, mut state: ChannelState) {
        if state.was_ignored {
            // Skip the posts that are in the channel now, because they were written while the channel was ignored.
            let since = state.since.max(newest_post_time(&channel));
            state = ChannelState { was_ignored: false, since, ..state };
            self.state.set_channel(&channel.id, state.clone());
        }
        let request = ReadRequest {
            channel: channel.id.clone(),
            since: state.since,
            reactions: self.state.reactions_in(&channel.id),
            buffered_authors: self.backfill.buffered(&channel.id).iter().map(|post| post.user.clone()).collect(),
            sender: self.sender_to_look_up(&channel),
        };
        self.backfill.begin(&channel.id);
        let (session, inbox): (Arc<Session>, Arc<dyn Inbox>) = (self.session.clone(), self.delivery.inbox());
        self.tasks.spawn(async move {
            let read = request.run(&session, &*inbox).await;
            Finished::Backfill(channel, read)
        });
    }

    /// Returns the sender in a direct channel whose membership is undecided, and the configured channels in which the
    /// sender is looked up; `None` if no lookup is needed.
    fn sender_to_look_up(&self, channel: &Channel) -> Option<(String, Vec<String>)> {
        if channel.kind != ChannelKind::Direct || self.membership(channel) != RoomMembership::Undecided {
            return None;
        }
        let person = self.senders.other_person(channel)?.to_owned();
        let channels = self.session.with_channels(|channels| {
            let configured = self.config.rooms.iter().filter_map(|room| channels.named(room));
            configured.map(|channel| channel.id.clone()).collect()
        });
        Some((person, channels?))
    }

    /// Delivers the changes and the posts that a backfill found, and the posts that arrived during the backfill. If the
    /// author of a post is unknown, or if it is undecided whether the bot handles the channel, starts another backfill
    /// instead. If the bot ignores the channel, skips the posts. If posts that arrived during the backfill were
    /// dropped, delivers only the posts that the backfill found; another backfill follows.
    pub(super) async fn handle_backfill(&mut self, channel: Channel, read: ReadBack) {
        let ReadBack { backfill, cursor, membership } = read;
        let id = channel.id.as_str();
        if let Some((person, is_member)) = membership {
            self.senders.record_lookup(&person, is_member, Instant::now());
        }
        // Start again if an author was not looked up, for example the author of a post that arrived in the meantime, or
        // if it is undecided whether the bot handles the channel's events.
        let buffered = self.backfill.buffered(id);
        let are_authors_known = backfill.posts.iter().chain(buffered).all(|post| self.delivery.is_author_known(post));
        let is_empty = buffered.is_empty() && !has_events(&backfill, self.session.me());
        let mut membership = self.membership(&channel);
        if !are_authors_known || (!is_empty && membership == RoomMembership::Undecided) {
            return self.backfill.restart(id);
        }
        // Merge the posts, without those that were deleted in the meantime.
        let is_withdrawn = |event: &str| self.backfill.is_withdrawn(id, event);
        let mut found = backfill.posts;
        found.retain(|post| !is_withdrawn(&post.id));
        let mut reactions = backfill.reactions;
        for present in reactions.values_mut() {
            present.retain(|reaction| !is_withdrawn(&reaction.key()));
        }
        // If buffered posts were dropped, deliver none of them, because the cursor would move past the dropped ones.
        let has_dropped = self.backfill.has_dropped(id);
        let mut arrived: BTreeMap<String, Post> =
            self.backfill.finish(id).into_iter().map(|post| (post.id.clone(), post)).collect();
        for post in &backfill.deleted {
            arrived.remove(&post.id);
        }
        // A post that also arrived live is not late. Its author may have edited it since then, and the original counts.
        let mut posts: Vec<(Post, bool)> = found
            .into_iter()
            .map(|post| match arrived.remove(&post.id) {
                Some(original) => (original, false),
                None => (post, true),
            })
            .collect();
        if !has_dropped {
            posts.extend(arrived.into_values().map(|post| (post, false)));
        }
        posts.sort_by(|(one, _), (other, _)| (one.create_at, &one.id).cmp(&(other.create_at, &other.id)));
        // After a join, decide again whether the channel is served.
        let me = self.session.me();
        let join = posts.iter().rev().find_map(|(post, _)| Some((convert::join(post, me)?, post.create_at)));
        if let Some((added_by, at)) = join {
            let added_by = added_by.map(str::to_owned);
            let state = ChannelState { added_by, is_looked_up: true, since: at.saturating_sub(1), was_ignored: false };
            self.state.set_channel(id, state);
            // Drop posts from before the join.
            posts.retain(|(post, _)| post.create_at >= at);
            membership = self.membership(&channel);
        }
        if membership == RoomMembership::Ignored && channel.kind == ChannelKind::Direct {
            let posts: Vec<&Post> = posts.iter().map(|(post, _)| post).collect();
            return self.refuse_direct_messages(&channel, &posts, cursor).await;
        }
        if membership == RoomMembership::Ignored {
            return self.ignore(&channel);
        }
        // Store deletions and reactions before the cursor moves past them, so that a crash loses none.
        let mut delivered = Ok(());
        for post in &backfill.deleted {
            delivered = delivered.and(self.delivery.deliver_deletion(id, &post.id, post.property("deleteBy")).await);
        }
        for (post, present) in &reactions {
            let changed = self.delivery.deliver_changed_reactions(id, &mut self.state, post, present).await;
            delivered = delivered.and(changed);
        }
        // Write the state before the cursor moves, so that no older post is handled after a crash.
        self.state.save();
        if delivered.is_err() {
            return self.backfill.add(channel.id);
        }
        if let Some(state) = self.state.channel(id) {
            self.delivery.skip_until(id, state.since).await;
        }
        self.delivery.deliver(id, channel.kind, &posts).await;
    }

    /// Skips the posts of a direct channel, and moves the channel's cursor past them. Called if the key `direct` does
    /// not allow the author. If a person wrote one of the posts after `cursor` (milliseconds since the Unix epoch),
    /// sends the person a refusal, once per channel. The caller must have looked up the authors.
    pub(super) async fn refuse_direct_messages(&mut self, channel: &Channel, posts: &[&Post], cursor: i64) {
        let of_others = || posts.iter().filter(|post| post.user != self.session.me());
        let newest = of_others().map(|post| post.create_at).max();
        let is_new = |post: &Post| post.create_at > cursor && self.delivery.is_from_person(post, channel.kind);
        let has_new_message = of_others().any(|post| is_new(post));
        if let Some((newest, state)) = newest.zip(self.state.channel(&channel.id).cloned()) {
            // Move the lower bound, so that the posts are not handled later if their author becomes a member.
            self.state.set_channel(&channel.id, ChannelState { since: state.since.max(newest), ..state });
            self.delivery.skip_until(&channel.id, newest).await;
        }
        if has_new_message && !self.senders.refused.contains(&channel.id) {
            tracing::info!(
                room = channel.id,
                "ignored a direct message, because `direct` of [bot.{}.mattermost] does not allow its author; replying with the reason",
                self.config.bot
            );
            if self.delivery.send_refusal(&channel.id, self.config.direct.refusal()).await {
                self.senders.refused.insert(channel.id.clone());
            }
        }
    }

    /// Removes an ignored channel from the backfill queue, and records that its posts up to now are skipped. Logs once
    /// that the bot ignores the channel.
    pub(super) fn ignore(&mut self, channel: &Channel) {
        self.reported.report_ignored(self.config, channel);
        self.backfill.remove(&channel.id);
        if let Some(state) = self.state.channel(&channel.id).cloned()
            && !state.was_ignored
        {
            self.state.set_channel(&channel.id, ChannelState { was_ignored: true, ..state });
        }
    }
}
