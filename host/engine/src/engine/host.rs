//! The type `Host`: the state that all tasks of an engine share.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use parking_lot::Mutex;
use tokio::sync::Semaphore;

use super::{
    Redeliveries,
    builtin::{OpenLogins, ReactionQueue},
};
use crate::{
    adapter::{IdentityProvider, LinkState},
    base::Activity,
    hostcall::Context,
    messaging::{AccountInbox, ReplyLimiter, UnknownCommand},
    metrics::Commands,
    runner::Jobs,
    trigger::Triggers,
};

pub(crate) struct Host {
    pub(crate) context: Arc<Context>,
    pub(crate) jobs: Arc<Jobs>,
    pub(crate) activity: Activity,
    // One inbox for each account of the outbox, in the same order.
    pub(crate) inboxes: Vec<Arc<AccountInbox>>,
    pub(crate) triggers: Arc<Triggers>,
    pub(crate) bot_settings: HashMap<String, BotSettings>,
    pub(crate) reply_limiter: ReplyLimiter,
    pub(crate) votes: ReactionQueue,
    pub(crate) commands: Commands,
    pub(crate) redeliveries: Redeliveries,
    // The identity providers by their names, and the people who log in there now.
    pub(crate) identities: BTreeMap<String, Arc<dyn IdentityProvider>>,
    pub(crate) logins: OpenLogins,
    // The connection states of the accounts whose chat adapters ended with a permanent error, by bot and network.
    pub(crate) ended_adapters: Mutex<HashMap<(String, &'static str), LinkState>>,
    // Queries use at most half of the pool of plugin instances, and jobs the other half, so that a query never waits
    // for a job.
    pub(crate) query_turns: Semaphore,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct BotSettings {
    /// The answer to an unknown command.
    pub(crate) unknown: UnknownCommand,
    pub(crate) max_age: Duration,
}
