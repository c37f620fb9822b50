//! The WebSocket: opened, kept alive, taken up where it broke, for ever.
//!
//! Architecture Invariant: nothing here waits for whoever handles what came. What is handed over is in the server's order and
//! without gaps since the last [`Signal::Began`]; where that cannot be had there is a new one.
//! Architecture Invariant: a connection is taken up again only from where we read it, and only by the header that
//! authenticates its first request: after a challenge it is always a new one.

mod line;
mod open;

use std::time::Duration;

use tokio::sync::mpsc;
use wardroom_account::{Backoff, Outage};

use crate::{api::Api, event::Event, trouble::Trouble};

use line::{Broken, Line};

/// What the socket tells.
#[derive(Debug)]
pub(crate) enum Signal {
    /// A connection stands, and events flow from here on: something may be missing before it.
    Began,
    /// The connection from before stands again, and nothing is missing.
    Resumed,
    /// Something happened.
    Event(Event),
    /// There is no connection, and why.
    Lost(String),
}

/// Keeps a connection until our token is no longer known; gives that then.
pub(crate) async fn keep(
    api: &Api,
    me: &str,
    beat: Duration,
    signals: &mpsc::UnboundedSender<Signal>,
    typing: &mut mpsc::UnboundedReceiver<String>,
    outage: &mut Outage,
) -> Trouble {
    let mut line = Line::new(me, beat);
    let mut backoff = Backoff::default();
    loop {
        let trouble = match line.run(api, signals, typing, outage).await {
            Broken::Closed { reason, lived } => {
                if lived {
                    backoff.reset();
                }
                Trouble::later(reason)
            }
            // The socket need not say so where it is the server that has trouble: the API does.
            Broken::Unknown { reason } => match api.me().await {
                Err(over @ Trouble::LoggedOut { .. }) => return over,
                _ => Trouble::later(reason),
            },
            Broken::NotOpened(over @ Trouble::LoggedOut { .. }) => return over,
            Broken::NotOpened(trouble) => trouble,
        };
        outage.failed(trouble.reason());
        // Nobody listens only when the account is at its end.
        let _ = signals.send(Signal::Lost(trouble.reason().to_owned()));
        backoff.pause(trouble.after()).await;
    }
}
