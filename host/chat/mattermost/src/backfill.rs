//! Backfill: reads a channel from its newest post back to a lower bound in time. Also finds the post that reports that
//! the bot joined the channel.
//!
//! Invariant: the result holds no post at or before the lower bound. The server returns at most 1000
//! changes since a time; if there are more, it returns an arbitrary 1000 of them. In this case the channel is read page
//! by page, newest first. A page is addressed by the id of a post, because page numbers shift when somebody writes a
//! post.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    client::{ApiClient, Post, Reaction},
    convert,
    error::MattermostError,
};

/// Maximum number of pages that a backfill reads. A page has 200 posts. If there are more new posts, the oldest ones
/// are not handled.
const MAX_PAGES: usize = 500;
/// Maximum size of the posts that a backfill reads, in bytes of memory. If there are more new posts, the oldest ones
/// are not handled.
const MAX_SIZE: usize = 256 * 1024 * 1024;
/// Maximum number of pages that are searched for the post that reports that the bot joined the channel. If the post is
/// older, it is not found.
const MAX_JOIN_PAGES: usize = 10;
/// Assumed maximum delay, in milliseconds, between a post's timestamp and the moment at which the post can be read. The
/// delay has two causes: the clocks of the server's nodes differ, and a node needs time to write a post. To get all
/// changes since a time T, the bot requests the changes since T minus this value.
pub(crate) const CLOCK_SLACK: i64 = 5_000;

/// The result of a backfill: the posts and changes of a channel after the lower bound.
#[derive(Debug, Default)]
pub(crate) struct Backfill {
    /// The posts after the lower bound, in no particular order, including posts of the bot and of the server.
    pub(crate) posts: Vec<Post>,
    /// Deleted posts of other accounts.
    pub(crate) deleted: Vec<Post>,
    /// The current reactions on those messages of the bot whose reactions may have changed, by post id.
    pub(crate) reactions: BTreeMap<String, Vec<Reaction>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ChannelJoin {
    /// The person who added the bot; `None` if the bot joined by itself.
    pub(crate) added_by: Option<String>,
    /// The time of the join, in milliseconds since the Unix epoch (server clock).
    pub(crate) at: i64,
}

/// The bot's messages in a channel that have reactions in the state file.
#[derive(Debug, Default)]
pub(crate) struct StoredMessages {
    pub(crate) ids: BTreeSet<String>,
    /// Whether the reactions on all of these messages are read, and not only on those that have changed since the lower
    /// bound.
    pub(crate) read_all: bool,
}

/// Reads the posts of a channel after the time `bound`, in milliseconds since the Unix epoch (server clock), and the
/// changed reactions on the bot's messages. `me` is the id of the bot's account.
///
/// # Errors
/// A request to the server fails.
pub(crate) async fn since(
    client: &ApiClient,
    me: &str,
    channel: &str,
    bound: i64,
    stored: &StoredMessages,
) -> Result<Backfill, MattermostError> {
    let (page, is_complete) = client.posts_since(channel, bound.saturating_sub(CLOCK_SLACK).max(1)).await?;
    let mut backfill = Backfill::default();
    let mut own: BTreeMap<String, Option<Post>> = BTreeMap::new();
    if !is_complete || stored.read_all {
        // The incomplete answer can lack a message whose reactions changed, so read the reactions on all of them.
        own.extend(stored.ids.iter().map(|post| (post.clone(), None)));
    }
    let mut posts: BTreeMap<String, Post> = BTreeMap::new();
    if !is_complete {
        tracing::warn!(
            room = channel,
            "the channel has more changes than the server returns; removals of messages before the newest are not noticed; hint: cancel jobs whose command was deleted"
        );
    }
    let paged = if is_complete { Vec::new() } else { read_pages(client, channel, bound).await? };
    // Sort the posts into messages of the bot, deleted posts and new posts.
    for post in page.posts.into_iter().chain(paged) {
        let is_earlier_version = !post.original.is_empty();
        if is_earlier_version {
            continue;
        }
        if post.user == me && post.delete_at == 0 {
            let has_stored = stored.ids.contains(&post.id);
            if has_stored || post.has_reactions || !post.reactions.is_empty() {
                own.insert(post.id.clone(), Some(post.clone()));
            }
        } else if post.delete_at > 0 && post.user != me && post.kind.is_empty() {
            backfill.deleted.push(post);
            continue;
        }
        if post.delete_at == 0 && post.create_at > bound {
            posts.insert(post.id.clone(), post);
        }
    }
    backfill.posts = posts.into_values().collect();
    // Request the reactions that the answers left out.
    for (id, post) in own {
        let present = match post {
            Some(post) if !post.reactions.is_empty() => post.reactions,
            Some(post) if !post.has_reactions => Vec::new(),
            _ => match client.reactions(&id).await {
                Ok(reactions) => reactions,
                Err(MattermostError::Rejected { .. }) => Vec::new(),
                Err(error) => return Err(error),
            },
        };
        backfill.reactions.insert(id, present);
    }
    Ok(backfill)
}

/// Returns when the bot last joined a channel, and who added it; `None` if the newest [`MAX_JOIN_PAGES`] pages of posts
/// do not report a join. `me` is the id of the bot's account.
///
/// # Errors
/// A request to the server fails.
pub(crate) async fn find_join(
    client: &ApiClient,
    me: &str,
    channel: &str,
) -> Result<Option<ChannelJoin>, MattermostError> {
    let mut pager = PostPager::default();
    for _ in 0..MAX_JOIN_PAGES {
        let Some(mut posts) = pager.next(client, channel).await? else { break };
        posts.sort_by_key(|post| std::cmp::Reverse(post.create_at));
        let join = posts.iter().find_map(|post| Some((convert::join(post, me)?, post.create_at)));
        if let Some((added_by, at)) = join {
            return Ok(Some(ChannelJoin { added_by: added_by.map(str::to_owned), at }));
        }
    }
    Ok(None)
}

/// Reads the posts of a channel page by page, newest first, until a page holds a post at or before the time `bound`, or
/// until [`MAX_PAGES`] pages or [`MAX_SIZE`] bytes of posts were read.
async fn read_pages(client: &ApiClient, channel: &str, bound: i64) -> Result<Vec<Post>, MattermostError> {
    let mut all = Vec::new();
    let mut pager = PostPager::default();
    for _ in 0..MAX_PAGES {
        let Some(posts) = pager.next(client, channel).await? else { return Ok(all) };
        let reaches_bound = posts.iter().any(|post| post.create_at <= bound);
        all.extend(posts);
        if reaches_bound {
            return Ok(all);
        }
        if pager.size > MAX_SIZE {
            break;
        }
    }
    tracing::warn!(
        room = channel,
        posts = all.len(),
        bytes = pager.size,
        "the channel has more new posts than a backfill reads; the oldest new posts are skipped; hint: ask people in the channel to send unanswered commands again"
    );
    Ok(all)
}

/// Reads the posts of a channel page by page, newest first.
#[derive(Debug, Default)]
pub(crate) struct PostPager {
    /// The next page holds posts that are older than the post with this id; `None` if the next page is the channel's
    /// newest page.
    before: Option<String>,
    /// The time of the oldest post on the page that was read last.
    oldest: Option<i64>,
    is_finished: bool,
    /// The size of the posts that were read, in bytes of memory.
    size: usize,
}

impl PostPager {
    /// Returns the next page; `None` after the oldest post of the channel was read. A post can be on two pages.
    ///
    /// # Errors
    /// The request to the server fails.
    pub(crate) async fn next(
        &mut self,
        client: &ApiClient,
        channel: &str,
    ) -> Result<Option<Vec<Post>>, MattermostError> {
        if self.is_finished {
            return Ok(None);
        }
        let (page, more) = client.posts_before(channel, self.before.as_deref()).await?;
        self.size = self.size.saturating_add(page.size());
        self.is_finished = !more || !self.advance(&page.posts);
        Ok((!page.posts.is_empty()).then_some(page.posts))
    }

    /// Sets `before` for the next page. `posts` is the page that was read last. Returns `false` if the next page would
    /// hold no older posts; the caller then stops.
    fn advance(&mut self, posts: &[Post]) -> bool {
        let Some(oldest) = posts.iter().min_by_key(|post| post.create_at) else { return false };
        // The posts of one millisecond can be split over two pages. So the next page repeats the posts that have the
        // same time as the oldest post.
        let above = posts.iter().filter(|post| post.create_at > oldest.create_at).min_by_key(|post| post.create_at);
        let next = above.filter(|post| Some(&post.id) != self.before.as_ref()).unwrap_or(oldest);
        let is_further = self.oldest.is_none_or(|reached| oldest.create_at < reached) || next.id == oldest.id;
        let is_repeated = self.before.as_ref() == Some(&next.id);
        self.oldest = Some(oldest.create_at);
        self.before = Some(next.id.clone());
        is_further && !is_repeated
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn posts(all: &[(&str, i64)]) -> Vec<Post> {
        all.iter()
            .map(|(id, at)| Post::read(&json!({ "id": id, "create_at": at }).to_string()).expect("a post"))
            .collect()
    }

    /// Reads all pages of a fake server. A page of this server holds only posts with an earlier time than the post in
    /// `before`.
    fn read_all(channel: &[(&str, i64)], per_page: usize) -> Vec<String> {
        let mut pager = PostPager::default();
        let mut seen: Vec<String> = Vec::new();
        for _ in 0..100 {
            let before =
                pager.before.as_ref().and_then(|id| channel.iter().find(|(known, _)| known == id)).map(|(_, at)| *at);
            let mut older: Vec<(&str, i64)> =
                channel.iter().copied().filter(|(_, at)| before.is_none_or(|before| *at < before)).collect();
            older.sort_by_key(|(_, at)| std::cmp::Reverse(*at));
            older.truncate(per_page);
            for (id, _) in &older {
                if !seen.iter().any(|known| known == id) {
                    seen.push((*id).to_owned());
                }
            }
            if older.is_empty() || !pager.advance(&posts(&older)) {
                return seen;
            }
        }
        panic!("the paging does not end: {seen:?}")
    }

    #[test]
    fn every_post_is_read_also_those_of_one_millisecond() {
        assert_eq!(read_all(&[("a", 1), ("b", 2), ("c", 3), ("d", 4), ("e", 5)], 2).len(), 5);
        assert_eq!(read_all(&[("a", 1), ("b", 2), ("c", 2), ("d", 3), ("e", 4)], 3).len(), 5);
        assert_eq!(read_all(&[("a", 1), ("b", 2), ("c", 2), ("d", 2), ("e", 4)], 4).len(), 5);
        assert_eq!(read_all(&[("a", 1)], 2), ["a"]);
        assert!(read_all(&[], 2).is_empty());
    }

    #[test]
    fn a_server_that_repeats_one_page_ends_the_paging() {
        let mut pager = PostPager::default();
        let page = posts(&[("a", 1), ("b", 2)]);
        let steps = (0..10).take_while(|_| pager.advance(&page)).count();
        assert!(steps < 4, "{steps}");
    }
}
