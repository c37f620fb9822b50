//! The calls that read the posts of a channel.
//!
//! Invariant: a response that is too large is requested again in smaller parts, so that a few large posts do not hide
//! the others.

use super::{ApiClient, Page};
use crate::error::MattermostError;

/// Sizes of the parts in which a page of posts is read, in posts. The first is the whole page: the maximum that the
/// server allows. Each size divides the one before it, because a part is addressed by its number.
const PART_SIZES: [usize; 5] = [200, 50, 10, 2, 1];
/// Maximum number of posts of one page that are skipped because each of them is too large for a response. If there are
/// more, the page fails: then probably a proxy answers, and not the server.
const MAX_SKIPPED: usize = 10;
/// Maximum number of posts that the server returns for a `since` request. A response of this size may be incomplete.
const SINCE_LIMIT: usize = 1000;
/// Without this parameter, the server adds all replies of each thread of which it returns a post. Older servers ignore
/// it.
const WITHOUT_THREADS: (&str, &str) = ("skipFetchThreads", "true");

/// The position of a page: before the post with this id, or the newest posts if it is `None`.
type Before<'b> = Option<&'b str>;

impl ApiClient {
    /// Returns the posts of a channel that were created, changed or deleted since a time, and whether the list is
    /// complete. `since` is in milliseconds since the Unix epoch (server clock). If the response is too large, returns
    /// an empty and incomplete list.
    pub(crate) async fn posts_since(&self, channel: &str, since: i64) -> Result<(Page, bool), MattermostError> {
        let query = [("since", &*since.to_string()), WITHOUT_THREADS];
        let answer = match self.get(&["channels", channel, "posts"], &query).await {
            Ok(answer) => answer,
            Err(MattermostError::Unavailable { is_too_large: true, .. }) => return Ok((Page::default(), false)),
            Err(error) => return Err(error),
        };
        let page = Page::read(&answer);
        let is_complete = page.listed < SINCE_LIMIT;
        Ok((page, is_complete))
    }

    /// Returns a page of up to 200 posts of a channel, and whether there can be older posts than those on the page. The
    /// page holds the posts before the post with the id `before`, or the newest posts if `before` is `None`. If the
    /// response is too large, reads the page in parts. A post that is too large by itself is logged and skipped.
    ///
    /// # Errors
    /// A request to the server fails, or more than [`MAX_SKIPPED`] posts of the page are too large.
    pub(crate) async fn posts_before(
        &self,
        channel: &str,
        before: Before<'_>,
    ) -> Result<(Page, bool), MattermostError> {
        let (mut page, mut skipped) = (Page::default(), Vec::new());
        let [whole, ..] = PART_SIZES;
        // The number of posts of the page that were read or skipped, and the index of the present size.
        let (mut done, mut at) = (0, 0);
        while done < whole {
            match self.part(channel, before, done, PART_SIZES[at]).await {
                // The server's page size can be smaller, so only an empty part proves the end.
                Ok(part) if part.listed == 0 => break,
                Ok(part) => {
                    page.append(part);
                    done += PART_SIZES[at];
                    let is_aligned = at > 0 && done.is_multiple_of(PART_SIZES[at - 1]);
                    at -= usize::from(is_aligned);
                }
                Err(error @ MattermostError::Unavailable { is_too_large: true, .. }) => {
                    if at + 1 < PART_SIZES.len() {
                        at += 1;
                    } else if skipped.len() < MAX_SKIPPED {
                        skipped.push(done);
                        done += 1;
                    } else {
                        return Err(error);
                    }
                }
                Err(error) => return Err(error),
            }
        }
        // Request the skipped posts once more: a proxy may have answered for a moment.
        for at in skipped {
            match self.part(channel, before, at, 1).await {
                Ok(part) => page.append(part),
                Err(error @ MattermostError::Unavailable { is_too_large: true, .. }) if page.listed == 0 => {
                    return Err(error);
                }
                Err(error @ MattermostError::Unavailable { is_too_large: true, .. }) => {
                    tracing::warn!(room = channel, before, at, %error, "skipped a post, because the response with this post alone is too large; the post is not handled");
                }
                Err(error) => return Err(error),
            }
        }
        let more = page.listed > 0;
        Ok((page, more))
    }

    /// Returns `size` posts of a page, without the first `done` posts, which is a multiple of `size`.
    async fn part(&self, channel: &str, before: Before<'_>, done: usize, size: usize) -> Result<Page, MattermostError> {
        let (number, size) = ((done / size).to_string(), size.to_string());
        let mut query = vec![("page", &*number), ("per_page", &*size), WITHOUT_THREADS];
        query.extend(before.map(|before| ("before", before)));
        Ok(Page::read(&self.get(&["channels", channel, "posts"], &query).await?))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use wardroom_fake_mattermost::Server;

    use crate::client::tests::client_with_max_body;

    /// The maximum size of a response in these tests, in bytes.
    const MAX_BODY: usize = 1024 * 1024;

    #[tokio::test]
    async fn a_list_of_changes_that_is_too_large_counts_as_incomplete() {
        let server = Server::start().await.expect("a server");
        let client = client_with_max_body(&server, MAX_BODY);
        let channel = server.channel("eng", "ops");
        let bot = server.person_of(&client.me().await.expect("an account").id);
        server.put(&channel, &bot);
        server.post_with(&channel, &bot, &json!({ "message": "x", "create_at": 1_000 }));
        let changes = async || client.posts_since(&channel, 1).await.expect("an answer");
        assert_eq!(changes().await.0.posts.len(), 1);
        server.faults(|faults| (faults.padded, faults.padding) = ("/channels".into(), MAX_BODY));
        let (page, is_complete) = changes().await;
        assert!(page.posts.is_empty() && !is_complete, "{page:?}");
    }

    #[tokio::test]
    async fn a_page_that_is_too_large_is_read_in_parts_and_a_post_that_is_too_large_is_skipped() {
        let server = Server::start().await.expect("a server");
        let client = client_with_max_body(&server, MAX_BODY);
        let channel = server.channel("eng", "ops");
        let bot = server.person_of(&client.me().await.expect("an account").id);
        server.put(&channel, &bot);
        let add = |number: i64, props: usize| {
            let props = json!({ "x": "y".repeat(props) });
            server.post_with(&channel, &bot, &json!({ "message": "m", "create_at": 1_000 + number, "props": props }))
        };
        let large = MAX_BODY / 8;
        let ids: Vec<String> = (0..30).map(|number| add(number, if number < 10 { large } else { 0 })).collect();
        let page = async |before: Option<&str>| {
            let (page, more) = client.posts_before(&channel, before).await.expect("a page");
            let mut read: Vec<String> = page.posts.into_iter().map(|post| post.id).collect();
            read.sort();
            (read, more)
        };
        let sorted = |ids: &[String]| {
            let mut ids = ids.to_vec();
            ids.sort();
            ids
        };
        assert_eq!(page(None).await, (sorted(&ids), true));
        assert_eq!(page(Some(&ids[20])).await, (sorted(&ids[..20]), true));
        // One post is larger than a response.
        add(30, MAX_BODY);
        assert_eq!(page(None).await, (sorted(&ids), true));
    }

    #[tokio::test]
    async fn a_server_whose_every_response_is_too_large_is_an_outage() {
        let server = Server::start().await.expect("a server");
        let client = client_with_max_body(&server, MAX_BODY);
        let channel = server.channel("eng", "ops");
        let bot = server.person_of(&client.me().await.expect("an account").id);
        server.put(&channel, &bot);
        server.post_with(&channel, &bot, &json!({ "message": "x" }));
        server.faults(|faults| (faults.padded, faults.padding) = ("/channels".into(), MAX_BODY));
        let error = client.posts_before(&channel, None).await.expect_err("nothing can be read");
        assert!(error.reason().contains("larger than 1 MiB"), "{error}");
    }
}
