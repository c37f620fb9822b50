//! Implements the engine's [`Chat`] for one Matrix account: logs in, syncs, reconnects after an outage, and sends
//! messages.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use matrix_sdk::{
    Client, Room, RoomState,
    ruma::{OwnedRoomId, OwnedRoomOrAliasId, RoomId, RoomOrAliasId},
};
use parking_lot::RwLock;
use tokio_util::sync::CancellationToken;
use wardroom::{
    adapter::{Body, Chat, ChatFeatures, Inbox, Link, Outgoing, RateLimit, SendError, SendPermissions},
    base::Backoff,
    model::Person,
};
use wardroom_account::{LimitRecord, Outage};

use crate::{
    Config, Login, NETWORK, device_notice,
    error::MatrixError,
    probe,
    room_encryption::RoomEncryption,
    room_upgrades::latest_successor,
    rooms, send, session,
    slow_sends::{self, SlowSends},
    sync::SyncLoop,
};

/// Minimum time between two logins that replace an ended session. If the new session ends sooner, the account stops,
/// because the next session would most likely end in the same way.
const MIN_SESSION_AGE: Duration = Duration::from_secs(600);

pub(crate) struct MatrixAccount {
    config: Config,
    encryption: RoomEncryption,
    /// The client for sends and lookups; `None` until the first sync of a session has succeeded.
    client: RwLock<Option<Client>>,
    aliases: ConfiguredAliases,
    slow_sends: SlowSends,
    limit_record: LimitRecord,
    link: Link,
    /// The rooms to which the account may not send. The sync loop and rejected messages change the list.
    permissions: Arc<SendPermissions>,
}

/// The configured aliases whose rooms were looked up, each with its room.
pub(crate) type ConfiguredAliases = RwLock<BTreeMap<OwnedRoomOrAliasId, OwnedRoomId>>;

impl MatrixAccount {
    /// Creates the account. Makes no request.
    pub(crate) fn new(config: Config) -> Self {
        let encryption = RoomEncryption::new(&config);
        let limit_record = LimitRecord::new(&config.folder);
        Self {
            config,
            encryption,
            client: RwLock::new(None),
            aliases: ConfiguredAliases::default(),
            slow_sends: SlowSends::default(),
            limit_record,
            link: Link::default(),
            permissions: Arc::default(),
        }
    }

    fn client(&self) -> Result<Client, SendError> {
        let client = self.client.read().clone();
        client.ok_or_else(|| SendError::Later { after: None, reason: "the Matrix account is not logged in yet".into() })
    }

    fn set_client(&self, client: Option<Client>) {
        *self.client.write() = client;
    }

    /// Returns the id of a room; `None` for an alias that is not configured or was not looked up yet. `name` is the
    /// room's id or alias.
    fn room_id(&self, name: &str) -> Option<OwnedRoomId> {
        let name = OwnedRoomOrAliasId::try_from(name).ok()?;
        let room: &RoomOrAliasId = &name;
        match <&RoomId>::try_from(room) {
            Ok(id) => Some(id.to_owned()),
            Err(_) => self.aliases.read().get(&name).cloned(),
        }
    }

    fn known_room(&self, name: &str) -> Option<Room> {
        self.client().ok()?.get_room(&self.room_id(name)?)
    }

    /// Returns whether a room is not encrypted; `None` if that is unknown. `name` is the room's id or alias.
    fn is_plain(&self, name: &str) -> Option<bool> {
        match self.known_room(name) {
            Some(room) => Some(self.encryption.is_plain(&room)),
            None => self.encryption.is_recorded(&self.room_id(name)?).then_some(false),
        }
    }

    /// Records whether the account may send to a room, by the result of an attempt. A reaction and the unencrypted
    /// notice need other permissions than the bot's messages, so their results are not recorded.
    fn record_permission(&self, message: &Outgoing, sent: &Result<String, SendError>) {
        let is_notice = device_notice::owner(message, &self.config.bot).is_some();
        if is_notice || matches!(message.body, Body::React { .. }) {
            return;
        }
        let Some(room) = self.known_room(&message.room) else { return };
        // A message that an upgraded room rejects is sent to its successor.
        let successor = latest_successor(&room.client(), room.room_id());
        match (sent, successor) {
            (Err(SendError::Forbidden { reason }), successor) => {
                let room = successor.unwrap_or(room);
                if room.state() == RoomState::Joined {
                    self.permissions.block(room.room_id().as_str(), reason);
                }
            }
            (Ok(_), None) => drop(self.permissions.allow(room.room_id().as_str())),
            _ => {}
        }
    }

    /// Opens the account's session. Retries after temporary errors, for example while the homeserver is unavailable.
    ///
    /// # Errors
    /// A retry cannot succeed before the operator corrects the configuration, for example a wrong password.
    async fn connect(&self, outage: &mut Outage) -> anyhow::Result<Client> {
        let mut backoff = Backoff::default();
        loop {
            match session::open(&self.config).await {
                Ok(client) => return Ok(client),
                Err(error) if error.is_transient() => {
                    outage.record_failure(error.reason());
                    self.link.down(error.reason());
                    backoff.wait(error.retry_after()).await;
                }
                Err(error) => anyhow::bail!("{error}"),
            }
        }
    }

    /// Runs one session after the other. Logs in again when a session ends.
    ///
    /// # Errors
    /// An operator must act, for example because the homeserver no longer accepts the access token or the password.
    async fn run(&self, inbox: Arc<dyn Inbox>) -> anyhow::Result<()> {
        let mut outage = Outage::new("the homeserver", self.config.homeserver.to_string());
        let mut last_login: Option<Instant> = None;
        loop {
            // Run one session until it ends.
            let client = self.connect(&mut outage).await?;
            let ready = || self.set_client(Some(client.clone()));
            let (encryption, permissions) = (&self.encryption, &self.permissions);
            let mut sync =
                SyncLoop::new(&self.config, encryption, permissions, &self.aliases, client.clone(), inbox.clone());
            let end = sync.run(&mut outage, &self.link, ready).await;
            self.set_client(None);
            self.link.down(end.reason());
            self.check_can_log_in_again(&end, last_login)?;
            // Prepare the next login. The preparation depends on the reason why the session ended.
            let user = &self.config.user;
            let prepared = match &end {
                MatrixError::SessionEnded { soft_logout: true, .. } => {
                    tracing::warn!(%user, error = %end, "the homeserver requires a new login; logging in as the same device");
                    session::request_login(&self.config)
                }
                MatrixError::DeviceKeysLost { .. } => {
                    tracing::warn!(%user, error = %end, "the keys of this device on the homeserver do not match the key store; logging in as a new device");
                    session::abandon(&self.config).await
                }
                _ => {
                    tracing::warn!(%user, error = %end, "the homeserver ended the session; logging in again as a new device");
                    session::discard(&self.config)
                }
            };
            prepared.map_err(|error| anyhow::anyhow!("{error}"))?;
            last_login = Some(Instant::now());
        }
    }

    /// Returns an error for the operator if the account must not log in again after its session ended. `end` is the
    /// reason why the session ended. `last_login` is the time of the last login that replaced an ended session.
    fn check_can_log_in_again(&self, end: &MatrixError, last_login: Option<Instant>) -> anyhow::Result<()> {
        let user = &self.config.user;
        match (&self.config.login, end) {
            (Login::Token { token, .. }, MatrixError::DeviceKeysLost { reason }) => anyhow::bail!(
                "the access token of `{user}` can no longer be used for encryption: {reason}; hint: log in as `{user}` with another client, put the new access token in {token}, and log the old device out"
            ),
            (Login::Token { token, .. }, end) => anyhow::bail!(
                "the homeserver no longer accepts the access token of `{user}` ({end}); hint: create a new token and put it in {token}"
            ),
            (Login::Password(_), end) if last_login.is_some_and(|at| at.elapsed() < MIN_SESSION_AGE) => anyhow::bail!(
                "the homeserver ended the session of `{user}` again, less than {} minutes after a new login: {end}; hint: check whether an administrator or another client logs out the devices of `{user}`",
                MIN_SESSION_AGE.as_secs() / 60
            ),
            (Login::Password(_), _) => Ok(()),
        }
    }
}

#[async_trait]
impl Chat for MatrixAccount {
    fn network(&self) -> &'static str {
        NETWORK
    }

    fn features(&self) -> ChatFeatures {
        ChatFeatures { threads: true, edits: true, reactions: true, files: true, direct: false }
    }

    fn account_id(&self) -> Option<String> {
        Some(self.config.user.to_string())
    }

    /// Returns the default of `rc_message` in Synapse.
    fn rate_limit(&self) -> Option<RateLimit> {
        Some(RateLimit { burst: 10.0, per_second: 0.2 })
    }

    fn trusts_relations(&self, room: &str) -> bool {
        let (in_plain, in_encrypted) = (!self.config.requires_encryption, self.config.reactions);
        // Relations (reactions and threads) are not encrypted, so the homeserver could forge them in an encrypted room.
        match self.is_plain(room) {
            Some(true) => in_plain,
            Some(false) => in_encrypted,
            None => in_plain && in_encrypted,
        }
    }

    fn link(&self) -> Option<&Link> {
        Some(&self.link)
    }

    fn send_permissions(&self) -> Option<&SendPermissions> {
        Some(&self.permissions)
    }

    async fn send_refusal(&self, room: &str) -> Option<String> {
        let reason = |room: &str| self.permissions.reason(room);
        let Some(id) = self.room_id(room) else { return reason(room) };
        // The bot sends to the successor of an upgraded room.
        match self.client().ok().and_then(|client| latest_successor(&client, &id)) {
            Some(successor) => reason(successor.room_id().as_str()),
            None => reason(id.as_str()).or_else(|| reason(room)),
        }
    }

    fn rooms(&self) -> Vec<String> {
        self.config.rooms.iter().map(ToString::to_string).collect()
    }

    async fn typing(&self, room: &str) {
        let (Ok(client), Ok(id)) = (self.client(), RoomId::parse(room)) else { return };
        if let Some(room) = client.get_room(&id).filter(|room| room.state() == RoomState::Joined) {
            // A failed typing notice has no consequence.
            let _ = room.typing_notice(true).await;
        }
    }

    async fn serve(&self, inbox: Arc<dyn Inbox>, stop: CancellationToken) -> anyhow::Result<()> {
        // Cancellation is safe at every await: events that the inbox does not have are read again when the host starts.
        let end = stop.run_until_cancelled(self.run(inbox)).await.unwrap_or(Ok(()));
        self.link.down(end.as_ref().map_or_else(ToString::to_string, |()| "stopped".to_owned()));
        end
    }

    async fn send(&self, message: &Outgoing) -> Result<String, SendError> {
        let (client, began) = (self.client()?, Instant::now());
        let sent = match device_notice::owner(message, &self.config.bot) {
            Some(owner) => device_notice::send(&client, message, &owner).await,
            None => send::send(&client, &self.encryption, message).await,
        };
        self.limit_record.note(&sent);
        self.record_permission(message, &sent);
        let duration = began.elapsed();
        // Reactions are not encrypted. A send that fails at once gives no information about other servers, and none
        // succeeds while the homeserver is down.
        let is_message = !matches!(message.body, Body::React { .. });
        let is_measured = is_message && self.link.state().is_up() && (sent.is_ok() || slow_sends::is_slow(duration));
        let room = self.known_room(&message.room).filter(|room| !self.encryption.is_plain(room));
        if is_measured && let Some(room) = room {
            self.slow_sends.record(&room, duration).await;
        }
        sent
    }

    async fn find(&self, room: &str, key: &str) -> Result<Option<String>, SendError> {
        send::find(&self.client()?, room, key).await
    }

    async fn room(&self, name: &str) -> Result<Option<String>, SendError> {
        rooms::joined_room_id(&self.client()?, name).await
    }

    async fn members(&self, room: &str) -> Result<Vec<Person>, SendError> {
        rooms::members(&self.client()?, room).await
    }

    async fn probe(&self, people: &[String], rooms: &[String]) -> Result<Vec<String>, Vec<String>> {
        probe::probe(&self.config, people, rooms).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tests::config_in;

    #[test]
    fn an_alias_and_the_id_of_a_room_give_the_same_answer_about_relations() {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("encrypted-rooms.json"), r#"["!ops:x"]"#).expect("written");
        let trusts = |reactions: bool, requires_encryption: bool, room: &str| {
            let config = Config { reactions, requires_encryption, ..config_in(folder.path()) };
            let account = MatrixAccount::new(config);
            let (alias, id) = ("#ops:x".parse().expect("an alias"), "!ops:x".parse().expect("an id"));
            account.aliases.write().insert(alias, id);
            account.trusts_relations(room)
        };
        for (reactions, required) in [(true, true), (true, false), (false, true), (false, false)] {
            assert_eq!(trusts(reactions, required, "!ops:x"), reactions);
            assert_eq!(trusts(reactions, required, "#ops:x"), reactions);
            // A room that can be plain or encrypted.
            for unknown in ["!other:x", "#other:x", "ops"] {
                assert_eq!(trusts(reactions, required, unknown), reactions && !required, "{unknown}");
            }
        }
    }
}
