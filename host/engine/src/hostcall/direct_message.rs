//! Announces actions from direct messages in the room of their app: one message when the job starts and one when it
//! ends.
//!
//! Invariant: entry 0 of the job stores the room, so that both messages go to the same room even if the configuration
//! changes. Each message is stored in the transaction that opens or closes the job. A command from the app's own room
//! is not announced.

use super::context::Context;
use crate::{
    job::ShownIn,
    messaging::Destination,
    model::{App, DirectPolicy},
    policy::Request,
    store::InboxRow,
};

/// The timeout of the request that resolves a room's name. It is short because an effect may wait for this request, and
/// a freeze command for the effect.
const ROOM_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(2);

/// Returns the room in which an action is announced: the room of its app. `None` if the command was not sent in a
/// direct message, or if this direct message is the app's own room.
pub(crate) async fn shown_in(context: &Context, request: &Request) -> Option<ShownIn> {
    let app = context.catalog.app(request.command().app()?)?;
    shown_in_room_of(context, request.message(), app).await
}

/// Returns the room in which an action on `app` is announced: the room of this app. `None` in the cases of
/// [`shown_in`], and if the bot has no account on the room's network.
pub(crate) async fn shown_in_room_of(context: &Context, message: &InboxRow, app: &App) -> Option<ShownIn> {
    if !message.direct || is_in_app_room(context, message, app).await {
        return None;
    }
    let Destination { bot, network, room } = context.outbox.destination(&message.bot, app.room.as_ref()?)?;
    Some(ShownIn { bot, network, room })
}

/// Returns the error message if an app does not accept an action from this message. An app with `direct = "refuse"`
/// accepts direct messages only in its own room.
pub(crate) async fn refuses(context: &Context, message: &InboxRow, app: &str) -> Option<String> {
    let app = context.catalog.app(app)?;
    if app.direct != DirectPolicy::Refuse || !message.direct || is_in_app_room(context, message, app).await {
        return None;
    }
    let place =
        app.room.as_ref().map_or_else(|| "a shared room".to_owned(), |room| crate::base::clean(&room.to_string()));
    Some(format!("`{}` does not accept actions from direct messages: send the command in {place}", app.name))
}

/// Returns whether a message was posted in the app's own room. Resolves a room name or alias with a request to the
/// network.
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
