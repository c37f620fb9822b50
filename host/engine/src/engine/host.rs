//! What handling a message needs: the shared state of the engine's last layer.

use std::{collections::HashMap, sync::Arc, time::Duration};

use tokio::sync::Semaphore;

use super::{builtin::ReactionQueue, health::Gone};
use crate::{
    base::Activity,
    hostcall::{Context, Plugins},
    messaging::{AccountInbox, ReplyLimiter},
    metrics::Commands,
    runner::Jobs,
    trigger::Triggers,
};

/// What handling a message needs.
pub(crate) struct Host {
    pub(crate) context: Arc<Context>,
    pub(crate) plugins: Arc<Plugins>,
    pub(crate) jobs: Arc<Jobs>,
    pub(crate) activity: Activity,
    pub(crate) inboxes: Vec<Arc<AccountInbox>>,
    pub(crate) triggers: Arc<Triggers>,
    pub(crate) bot_settings: HashMap<String, BotSettings>,
    pub(crate) reply_limiter: ReplyLimiter,
    pub(crate) votes: ReactionQueue,
    pub(crate) commands: Commands,
    pub(crate) gone: Gone,
    // Half of the pool; the other half is for jobs, so that neither keeps the other from its turn.
    pub(crate) query_turns: Semaphore,
}

/// How one identity is spoken to.
#[derive(Debug, Clone, Default)]
pub(crate) struct BotSettings {
    pub(crate) prefix: String,
    pub(crate) max_age: Duration,
}
