//! The type `Host`: the state that all tasks of an engine share.

use std::{collections::HashMap, sync::Arc, time::Duration};

use tokio::sync::Semaphore;

use super::{builtin::ReactionQueue, health::EndedAdapters};
use crate::{
    base::Activity,
    hostcall::{Context, Plugins},
    messaging::{AccountInbox, ReplyLimiter},
    metrics::Commands,
    runner::Jobs,
    trigger::Triggers,
};

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
    pub(crate) ended_adapters: EndedAdapters,
    // Queries use at most half of the pool of plugin instances, and jobs the other half, so that a query never waits
    // for a job.
    pub(crate) query_turns: Semaphore,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct BotSettings {
    pub(crate) prefix: String,
    pub(crate) max_age: Duration,
}
