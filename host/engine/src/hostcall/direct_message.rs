//! Actions from a direct message, as the room of their app sees them: a line when they begin, and their closing line.
//!
//! Invariant: the room is kept in a job's entry 0, so that both lines come to the same one whatever the configuration becomes.
//! Each is in the transaction that opens or closes the job. What is typed in the app's own room is not shown there again.

use super::context::Context;
use crate::{
    job::ShownIn,
    messaging::Destination,
    model::{App, DirectPolicy},
    policy::Request,
    store::InboxRow,
};

/// So long is a network asked which room a name is: an effect may wait for the answer, and a freeze for the effect.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(2);

/// The room of what was typed, if it is to be shown: the app's, for an action from a direct message elsewhere.
pub(crate) async fn shown_in(context: &Context, request: &Request) -> Option<ShownIn> {
    let app = context.catalog.app(request.command().app()?)?;
    shown_in_room_of(context, request.message(), app).await
}

/// The room of an app that a direct message from elsewhere touches.
pub(crate) async fn shown_in_room_of(context: &Context, message: &InboxRow, app: &App) -> Option<ShownIn> {
    if !message.direct || is_at_home(context, message, app).await {
        return None;
    }
    let Destination { bot, network, room } = context.outbox.destination(&message.bot, app.room.as_ref()?)?;
    Some(ShownIn { bot, network, room })
}

/// Why an app takes no action from a message, if it does not: it is a direct one, and not in the app's own room.
pub(crate) async fn refuses(context: &Context, message: &InboxRow, app: &str) -> Option<String> {
    let app = context.catalog.app(app)?;
    if app.direct != DirectPolicy::Refuse || !message.direct || is_at_home(context, message, app).await {
        return None;
    }
    let place =
        app.room.as_ref().map_or_else(|| "a room with others".to_owned(), |room| crate::base::clean(&room.to_string()));
    Some(format!("{} takes no actions from a direct message: type it in {place}", app.name))
}

/// Whether a message stands in an app's own room.
async fn is_at_home(context: &Context, message: &InboxRow, app: &App) -> bool {
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
    // Where that cannot be told now it counts as another room: said twice is better than not at all.
    let id = tokio::time::timeout(PATIENCE, chat.room(&destination.room)).await;
    matches!(id, Ok(Ok(Some(id))) if id == message.key.room)
}
