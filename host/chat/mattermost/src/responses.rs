//! The table of the server's error responses: how the account reacts to each.
//!
//! Invariant: each error response is classified here, once. The first matching rule of [`RULES`] applies.
//! Sources: Mattermost's `server/channels/api4/post.go` and `file.go`, `app/post.go`, `app/file.go`, `model/post.go`
//! and `web/handlers.go` (versions 9 to 11), its OpenAPI description (`api/v4/source/posts.yaml`, `files.yaml`), and
//! nginx's `client_max_body_size` (a 413 without an error id).
//! Not here: the parsing of a response, and errors without a response (`error`).

use wardroom_account::{
    Codes::{Any, Missing, Present, With},
    ResponseRule,
};

/// The kind of a request, as far as the reaction to its error depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Request {
    /// A new post.
    Post,
    /// The change of a post.
    Edit,
    /// The upload of a file.
    Upload,
    /// Any other request.
    Other,
}

/// The reaction to an error response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reaction {
    /// Send the request again later.
    Retry,
    /// Wait for another token, and then send the request again.
    EndSession,
    /// The account has no permission in the channel. A message waits for the permission.
    AwaitPermission,
    /// Send a shorter message instead.
    Shorten,
    /// Send the message to the channel instead of the thread.
    LeaveThread,
    /// Never send the request again. A file is replaced by an excerpt of its text.
    Reject,
}

use Reaction::{AwaitPermission, EndSession, LeaveThread, Reject, Retry, Shorten};
use Request::{Edit, Other, Post, Upload};

const ALL: &[Request] = &[Post, Edit, Upload, Other];

const RULES: &[ResponseRule<Request, Reaction>] = &[
    // The session. A 401 of a proxy says nothing about the token.
    ResponseRule::new(ALL, 401..=401, Present, EndSession),
    ResponseRule::new(ALL, 401..=401, Missing, Retry),
    // Limits of the rate.
    ResponseRule::new(ALL, 408..=408, Any, Retry),
    ResponseRule::new(ALL, 425..=425, Any, Retry),
    ResponseRule::new(ALL, 429..=429, Any, Retry),
    // A file that the server does not accept: attachments are off (501 or 403), the file is too large, or its store is
    // full. A proxy rejects a large body without an error id.
    ResponseRule::new(&[Upload], 413..=413, Any, Reject),
    ResponseRule::new(&[Upload], 501..=501, Any, Reject),
    ResponseRule::new(&[Upload], 507..=507, Any, Reject),
    // A message that is too long for the server or for a proxy.
    ResponseRule::new(&[Post, Edit], 400..=499, With(&["message_length"]), Shorten),
    ResponseRule::new(&[Post, Edit], 413..=413, Any, Shorten),
    ResponseRule::new(&[Other], 413..=413, Any, Reject),
    // A thread whose first message does not exist, or is in another channel.
    ResponseRule::new(
        &[Post],
        400..=499,
        With(&["root_id", "parent_id", "can_not_post_to_deleted_root", "root_post"]),
        LeaveThread,
    ),
    // A channel to which the account may not post: without the permission, read-only, archived, or a direct message to
    // a person with whom it shares no team.
    ResponseRule::new(
        &[Post],
        400..=499,
        With(&["can_not_post_to_deleted", "can_not_post_in_restricted_dm"]),
        AwaitPermission,
    ),
    ResponseRule::new(&[Post], 400..=499, With(&["town_square_read_only"]), AwaitPermission),
    ResponseRule::new(&[Post], 403..=403, With(&["api.context.permissions"]), AwaitPermission),
    // A feature that the server does not have.
    ResponseRule::new(&[Post, Edit], 501..=501, Present, Reject),
    // Outages of the server, and whatever a proxy answers in its place.
    ResponseRule::new(ALL, 500..=599, Any, Retry),
    ResponseRule::new(ALL, 0..=999, Missing, Retry),
    // Any other error of Mattermost, for example the rejection of one post by a plugin.
    ResponseRule::new(ALL, 0..=999, Any, Reject),
];

/// Returns the reaction to an error response. `id` is Mattermost's error id; `None` for a response of a proxy.
pub(crate) fn reaction(request: Request, status: u16, id: Option<&str>) -> Reaction {
    ResponseRule::first(RULES, request, status, id).unwrap_or(Reject)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_response_has_one_reaction() {
        for (status, id, post, edit, upload, other) in [
            (401, "api.context.session_expired.app_error", EndSession, EndSession, EndSession, EndSession),
            (403, "api.context.permissions.app_error", AwaitPermission, Reject, Reject, Reject),
            (403, "api.file.upload_file.disabled.app_error", Reject, Reject, Reject, Reject),
            (400, "api.post.create_post.can_not_post_to_deleted.error", AwaitPermission, Reject, Reject, Reject),
            (400, "api.post.create_post.can_not_post_in_restricted_dm.error", AwaitPermission, Reject, Reject, Reject),
            (403, "api.post.create_post.town_square_read_only", AwaitPermission, Reject, Reject, Reject),
            (400, "api.post.create_post.root_id.app_error", LeaveThread, Reject, Reject, Reject),
            (400, "api.post.create_post.channel_root_id.app_error", LeaveThread, Reject, Reject, Reject),
            (400, "model.post.is_valid.message_length.app_error", Shorten, Shorten, Reject, Reject),
            (400, "api.post.update_post.permissions_time_limit.app_error", Reject, Reject, Reject, Reject),
            (400, "Post rejected by plugin. Nein.", Reject, Reject, Reject, Reject),
            (404, "app.channel.get.existing.app_error", Reject, Reject, Reject, Reject),
            (413, "api.file.upload_file.too_large_detailed.app_error", Shorten, Shorten, Reject, Reject),
            (429, "x", Retry, Retry, Retry, Retry),
            (500, "app.post.save.app_error", Retry, Retry, Retry, Retry),
            (501, "api.file.attachments.disabled.app_error", Reject, Reject, Reject, Retry),
            (502, "x", Retry, Retry, Retry, Retry),
        ] {
            let reactions = ALL.iter().map(|request| reaction(*request, status, Some(id))).collect::<Vec<_>>();
            assert_eq!(reactions, [post, edit, upload, other], "{status} {id}");
        }
        // The responses of a proxy.
        for (status, post, upload, other) in [
            (301, Retry, Retry, Retry),
            (401, Retry, Retry, Retry),
            (403, Retry, Retry, Retry),
            (404, Retry, Retry, Retry),
            (413, Shorten, Reject, Reject),
            (501, Retry, Reject, Retry),
            (502, Retry, Retry, Retry),
        ] {
            let reactions = [Post, Upload, Other].map(|request| reaction(request, status, None));
            assert_eq!(reactions, [post, upload, other], "{status}");
        }
    }
}
