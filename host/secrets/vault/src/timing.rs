//! The delays of a Vault server's task.

use std::time::Duration;

/// The delays of the task that fetches the secrets of a Vault server. [`Default`] has the delays of a host; tests use
/// shorter ones.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Timing {
    /// The first and the longest delay before the next attempt after an outage. The default is 1 second and 30 seconds.
    pub server_retry: (Duration, Duration),
    /// The first and the longest delay before the same login is sent again after the server has refused it. A server can
    /// lock a role after several wrong logins. Another secret id, token or certificate is tried at once. The default is
    /// 5 seconds and 5 minutes.
    pub login_retry: (Duration, Duration),
    /// The longest time until the task notices that a file of the login was replaced. The default is 10 seconds.
    pub login_poll: Duration,
    /// The first and the longest delay before a secret that cannot be read is read again. The default is 5 seconds and 2
    /// minutes.
    pub secret_retry: (Duration, Duration),
    /// The minimum time before a token or a lease is renewed, also if its lifetime is shorter. The default is 1 second.
    pub min_renewal: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            server_retry: (Duration::from_secs(1), Duration::from_secs(30)),
            // Vault locks a role after five refused logins within 15 minutes.
            login_retry: (Duration::from_secs(300), Duration::from_secs(900)),
            login_poll: Duration::from_secs(10),
            secret_retry: (Duration::from_secs(5), Duration::from_secs(120)),
            min_renewal: Duration::from_secs(1),
        }
    }
}
