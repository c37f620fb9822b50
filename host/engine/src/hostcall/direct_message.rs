//! Announces actions from direct messages in the room of their app: one line at the start and one at the end.
//!
//! Invariant: the room is stored in the job's entry 0, so that both lines go to the same room even if the configuration
//! changes. Each line is in the transaction that opens or closes the job. A command that was typed in the app's own
//! room is not announced.

use super::context::Context;
use crate::{
    job::ShownIn,
    messaging::Destination,
    model::{App, DirectPolicy},
    policy::Request,
    store::InboxRow,
};

/// The timeout for resolving a room's name at its network. It is short because an effect may wait for the answer, and a
/// freeze for the effect.
const ROOM_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(2);

/// The room in which a typed action is announced: that of its app. `None` unless it was typed in a direct message that
/// is not the app's own room.
pub(crate) async fn shown_in(context: &Context, request: &Request) -> Option<ShownIn> {
    let app = context.catalog.app(request.command().app()?)?;
    shown_in_room_of(context, request.message(), app).await
}

/// The room of an app in which an action on it is announced. `None` as in [`shown_in`], and if the bot cannot post
/// there.
pub(crate) async fn shown_in_room_of(context: &Context, message: &InboxRow, app: &App) -> Option<ShownIn> {
    if !message.direct || is_in_app_room(context, message, app).await {
        return None;
    }
    let Destination { bot, network, room } = context.outbox.destination(&message.bot, app.room.as_ref()?)?;
    Some(ShownIn { bot, network, room })
}

/// The reason if an app refuses actions from this message. An app with `direct = "refuse"` accepts no direct messages,
/// except in its own room.
pub(crate) async fn refuses(context: &Context, message: &InboxRow, app: &str) -> Option<String> {
    let app = context.catalog.app(app)?;
    if app.direct != DirectPolicy::Refuse || !message.direct || is_in_app_room(context, message, app).await {
        return None;
    }
    let place =
        app.room.as_ref().map_or_else(|| "a room with others".to_owned(), |room| crate::base::clean(&room.to_string()));
    Some(format!("{} takes no actions from a direct message: type it in {place}", app.name))
}

/// Whether a message was posted in the app's own room. A room name or alias is resolved at the network.
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
    // A failed lookup counts as another room: a duplicate announcement is better than a missing one.
    let id = tokio::time::timeout(ROOM_TIMEOUT, chat.room(&destination.room)).await;
    matches!(id, Ok(Ok(Some(id))) if id == message.key.room)
}
