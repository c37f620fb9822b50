//! Reads a channel back to where it was left, and finds who brought us there.
//!
//! Architecture Invariant: nothing at or before the bound comes out. Up to a thousand changes the server tells all; above that it
//! tells any thousand of them, and the channel is read page by page, from its end, by posts and never by page numbers, which
//! shift while others write.

use std::collections::BTreeMap;

use crate::{
    api::{Api, Post, Reaction},
    convert,
    trouble::Trouble,
};

/// The furthest that a channel is read back, in pages of two hundred posts.
const PAGES: usize = 500;
/// The furthest that is looked for who brought us.
const ARRIVAL_PAGES: usize = 10;
/// How far the clocks of a server's nodes may be apart, and how long a post may take to be written, in milliseconds.
pub(crate) const SLACK: i64 = 5_000;

/// What was found.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// The posts behind the bound, oldest first, also ours and the server's.
    pub(crate) posts: Vec<Post>,
    /// Those of others that were removed.
    pub(crate) removed: Vec<Post>,
    /// Messages of ours, with the reactions that are on them now.
    pub(crate) reactions: BTreeMap<String, Vec<Reaction>>,
}

/// When we came into a channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Arrival {
    /// Who added us; `None` where we came by ourselves.
    pub(crate) by: Option<String>,
    /// When, in milliseconds of the server's clock.
    pub(crate) at: i64,
}

/// Everything in a channel behind `bound`, and what changed since on messages of ours, `reacted` among them.
pub(crate) async fn since(
    api: &Api,
    me: &str,
    channel: &str,
    bound: i64,
    reacted: &[String],
) -> Result<Found, Trouble> {
    let (page, all) = api.posts_since(channel, (bound - SLACK).max(1)).await?;
    let mut found = Found::default();
    let mut ours: BTreeMap<String, Option<Post>> = BTreeMap::new();
    if !all {
        // Which of them changed is not known.
        ours.extend(reacted.iter().map(|post| (post.clone(), None)));
    }
    let mut posts: BTreeMap<String, Post> = BTreeMap::new();
    let walked = if all { Vec::new() } else { walk(api, channel, bound).await? };
    for post in page.posts.into_iter().chain(walked) {
        let earlier_text = !post.original.is_empty();
        if earlier_text {
            continue;
        }
        if post.user == me && post.delete_at == 0 {
            let known = reacted.contains(&post.id);
            if known || post.has_reactions || !post.reactions.is_empty() {
                ours.insert(post.id.clone(), Some(post.clone()));
            }
        } else if post.delete_at > 0 && post.user != me && post.kind.is_empty() {
            found.removed.push(post);
            continue;
        }
        if post.delete_at == 0 && post.create_at > bound {
            posts.insert(post.id.clone(), post);
        }
    }
    found.posts = posts.into_values().collect();
    found.posts.sort_by(|one, other| (one.create_at, &one.id).cmp(&(other.create_at, &other.id)));
    for (id, post) in ours {
        let now = match post {
            Some(post) if !post.reactions.is_empty() => post.reactions,
            Some(post) if !post.has_reactions => Vec::new(),
            _ => match api.reactions(&id).await {
                Ok(reactions) => reactions,
                Err(Trouble::Refused { .. }) => Vec::new(),
                Err(trouble) => return Err(trouble),
            },
        };
        found.reactions.insert(id, now);
    }
    Ok(found)
}

/// Who brought us into a channel last, and when; `None` where that cannot be told.
pub(crate) async fn arrival(api: &Api, me: &str, channel: &str) -> Result<Option<Arrival>, Trouble> {
    let mut walk = Walk::default();
    for _ in 0..ARRIVAL_PAGES {
        let Some(mut posts) = walk.next(api, channel).await? else { break };
        posts.sort_by_key(|post| std::cmp::Reverse(post.create_at));
        let came = posts.iter().find_map(|post| Some((convert::arrival(post, me)?, post.create_at)));
        if let Some((by, at)) = came {
            return Ok(Some(Arrival { by: by.map(str::to_owned), at }));
        }
    }
    Ok(None)
}

/// Every post behind the bound, page by page.
async fn walk(api: &Api, channel: &str, bound: i64) -> Result<Vec<Post>, Trouble> {
    let mut all = Vec::new();
    let mut walk = Walk::default();
    for _ in 0..PAGES {
        let Some(posts) = walk.next(api, channel).await? else { return Ok(all) };
        let at_bound = posts.iter().any(|post| post.create_at <= bound);
        all.extend(posts);
        if at_bound {
            return Ok(all);
        }
    }
    tracing::warn!(channel, "the channel has more new posts than are read back; the oldest of them are not handled");
    Ok(all)
}

/// A walk from a channel's end to its beginning.
#[derive(Debug, Default)]
pub(crate) struct Walk {
    before: Option<String>,
    /// When the last page ended.
    reached: Option<i64>,
    over: bool,
}

impl Walk {
    /// The next page; `None` at the channel's beginning. A post may be on two pages.
    pub(crate) async fn next(&mut self, api: &Api, channel: &str) -> Result<Option<Vec<Post>>, Trouble> {
        if self.over {
            return Ok(None);
        }
        let (page, more) = api.posts_before(channel, self.before.as_deref()).await?;
        self.over = !more || !self.step(&page.posts);
        Ok((!page.posts.is_empty()).then_some(page.posts))
    }

    /// Where the next page begins; gives whether it goes further back than this one.
    fn step(&mut self, posts: &[Post]) -> bool {
        let Some(oldest) = posts.iter().min_by_key(|post| post.create_at) else { return false };
        // Several may be of one millisecond, on both sides of the page's end: the next page has them all once more.
        let above = posts.iter().filter(|post| post.create_at > oldest.create_at).min_by_key(|post| post.create_at);
        let next = above.filter(|post| Some(&post.id) != self.before.as_ref()).unwrap_or(oldest);
        let further = self.reached.is_none_or(|reached| oldest.create_at < reached) || next.id == oldest.id;
        let again = self.before.as_ref() == Some(&next.id);
        self.reached = Some(oldest.create_at);
        self.before = Some(next.id.clone());
        further && !again
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn posts(all: &[(&str, i64)]) -> Vec<Post> {
        all.iter().map(|(id, at)| Post::read(&json!({ "id": id, "create_at": at })).expect("a post")).collect()
    }

    /// All pages that a walk sees over a channel, where a server lists what is strictly older than the post that it is given.
    fn walked(channel: &[(&str, i64)], per_page: usize) -> Vec<String> {
        let mut walk = Walk::default();
        let mut seen: Vec<String> = Vec::new();
        for _ in 0..100 {
            let before =
                walk.before.as_ref().and_then(|id| channel.iter().find(|(known, _)| known == id)).map(|(_, at)| *at);
            let mut older: Vec<(&str, i64)> =
                channel.iter().copied().filter(|(_, at)| before.is_none_or(|before| *at < before)).collect();
            older.sort_by_key(|(_, at)| std::cmp::Reverse(*at));
            older.truncate(per_page);
            for (id, _) in &older {
                if !seen.iter().any(|known| known == id) {
                    seen.push((*id).to_owned());
                }
            }
            if older.is_empty() || !walk.step(&posts(&older)) {
                return seen;
            }
        }
        panic!("the walk does not end: {seen:?}")
    }

    #[test]
    fn a_walk_sees_every_post_also_those_of_one_millisecond() {
        assert_eq!(walked(&[("a", 1), ("b", 2), ("c", 3), ("d", 4), ("e", 5)], 2).len(), 5);
        assert_eq!(walked(&[("a", 1), ("b", 2), ("c", 2), ("d", 3), ("e", 4)], 3).len(), 5);
        assert_eq!(walked(&[("a", 1), ("b", 2), ("c", 2), ("d", 2), ("e", 4)], 4).len(), 5);
        assert_eq!(walked(&[("a", 1)], 2), ["a"]);
        assert!(walked(&[], 2).is_empty());
    }

    #[test]
    fn a_server_that_gives_the_same_page_for_ever_ends_the_walk() {
        let mut walk = Walk::default();
        let page = posts(&[("a", 1), ("b", 2)]);
        let steps = (0..10).take_while(|_| walk.step(&page)).count();
        assert!(steps < 4, "{steps}");
    }
}
