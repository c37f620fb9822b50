//! Announcements of actions that people send in direct messages. The room of the action's app gets one message when the
//! job starts and one when the job ends.
//!
//! Invariant: the job's first journal entry contains the room, so that both messages go to the same room even if the
//! configuration changes. Each message is stored in the transaction that creates or closes the job. If the
//! configuration names the direct message itself as the app's room, the action is not announced.

use super::context::Context;
use crate::{
    job::ShownIn,
    messaging::Destination,
    model::{App, DirectPolicy},
    policy::Request,
    store::InboxRow,
};

/// The timeout of the request to the chat network that resolves a room's name. The timeout is short, because an effect
/// may wait for this request, and a `freeze` command may wait for the effect.
const ROOM_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(2);

/// Returns the room in which an action from a direct message is announced: the room of the command's app. Returns
/// `None` in these cases:
/// - The command was not sent in a direct message.
/// - The command names no app, or the app has no room.
/// - The direct message itself is the app's room.
/// - No bot has an account on the room's network.
pub(crate) async fn shown_in(context: &Context, request: &Request) -> Option<ShownIn> {
    let app = context.catalog.app(request.command().app()?)?;
    shown_in_room_of(context, request.message(), app).await
}

/// Returns the room in which an action on `app` from a direct message is announced: the room of `app`. Returns `None`
/// in the same cases as [`shown_in`].
pub(crate) async fn shown_in_room_of(context: &Context, message: &InboxRow, app: &App) -> Option<ShownIn> {
    if !message.direct || is_in_app_room(context, message, app).await {
        return None;
    }
    let Destination { bot, network, room } = context.outbox.destination(&message.bot, app.room.as_ref()?)?;
    Some(ShownIn { bot, network, room })
}

/// Returns an error message if `app` does not accept an action from this message. An app with `direct = "refuse"`
/// accepts an action from a direct message only if the direct message itself is the app's room.
pub(crate) async fn refuses(context: &Context, message: &InboxRow, app: &str) -> Option<String> {
    let app = context.catalog.app(app)?;
    if app.direct != DirectPolicy::Refuse || !message.direct || is_in_app_room(context, message, app).await {
        return None;
    }
    let place =
        app.room.as_ref().map_or_else(|| "a shared room".to_owned(), |room| crate::base::clean(&room.to_string()));
    Some(format!("the app `{}` does not accept actions from direct messages: send the command in {place}", app.name))
}

/// Returns whether a message was posted in the room of `app`. If the configuration has a name or an alias of the room,
/// resolves it with a request to the chat network. Returns `false` if this request fails.
async fn is_in_app_room(context: &Context, message: &InboxRow, app: &App) -> bool {
    let Some(destination) = app.room.as_ref().and_then(|room| context.outbox.destination(&message.bot, room)) else {
        return false;
    };
    if destination.network != message.key.network {
        return false;
    }
    if destination.room == message.key.room {
        return true;
    }
    let Some(chat) = context.outbox.chat(&destination.bot, &destination.network) else { return false };
    // After a failed request, assume another room: a superfluous announcement is better than a missing one.
    let id = tokio::time::timeout(ROOM_TIMEOUT, chat.room(&destination.room)).await;
    matches!(id, Ok(Ok(Some(id))) if id == message.key.room)
}
