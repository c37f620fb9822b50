//! The delays of a backend.

use std::time::Duration;

/// The delays of a backend. [`Default`] has the delays of a host; tests use shorter ones.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Timing {
    /// The interval between two polls of the runs that are followed. The default is 2 seconds.
    pub poll: Duration,
    /// The minimum time between two reads of output, over all runs of the backend. The default is 2 seconds.
    pub log: Duration,
    /// The minimum time between a trigger without an answer and the statement that Jenkins did not receive it. It is at
    /// least twice the timeout of a request. The default is 10 minutes, because a proxy or a busy server can hold a
    /// request back.
    pub settle: Duration,
    /// The time between the two searches that must both find no run before this statement. The default is 3 seconds.
    pub second_look: Duration,
    /// How long the server must answer that it has no such run before the run counts as lost. The default is 60 seconds.
    pub gone: Duration,
    /// The time between two requests to stop a run that does not end, each with more force. The default is 2 minutes,
    /// so that a pipeline can run the steps that follow an abort.
    pub escalate: Duration,
    /// The first pause of an open breaker. The pause doubles with each failed probe, up to a minute. The default is 5
    /// seconds.
    pub pause: Duration,
    /// How long the definition of a pipeline is used again for other triggers. The default is 5 seconds.
    pub definition: Duration,
    /// How long the host waits until the server has used an answer to a gate, so that it can say if the answer was not
    /// accepted. The default is 40 seconds, because Spinnaker looks every 15 seconds.
    pub answer: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            poll: Duration::from_secs(2),
            log: Duration::from_secs(2),
            settle: Duration::from_secs(600),
            second_look: Duration::from_secs(3),
            gone: Duration::from_secs(60),
            escalate: Duration::from_secs(120),
            pause: Duration::from_secs(5),
            definition: Duration::from_secs(5),
            answer: Duration::from_secs(40),
        }
    }
}
