//! Looks up the channels in which the bot's roles permit no posts.
//!
//! The server permits a post if a role of the account in the channel, in the channel's team or in the system has the
//! permission (`SessionHasPermissionToChannel` in Mattermost's `app/authorization.go`). A moderated channel gives its
//! members a role of its own, without the permission.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use reqwest::Method;
use serde_json::json;

use super::{
    ApiClient, Channel, ChannelKind,
    json::{Object, list, text},
};
use crate::{error::MattermostError, responses::Request};

/// Maximum number of roles that the server returns in one response.
const MAX_ROLES: usize = 100;
/// The permissions of which a post needs one. The second one permits posts in public channels only. In another channel,
/// the rejection of a post shows that the permission is missing.
const PERMISSIONS: [&str; 2] = ["create_post", "create_post_public"];

impl ApiClient {
    /// Sets [`Channel::may_post`] of the channels of teams. A channel whose roles the server does not report keeps its
    /// value.
    ///
    /// # Errors
    /// The request to the server fails.
    pub(crate) async fn look_up_permissions(&self, channels: &mut [Channel]) -> Result<(), MattermostError> {
        let mut channels: Vec<&mut Channel> =
            channels.iter_mut().filter(|channel| channel.kind == ChannelKind::Team).collect();
        if channels.is_empty() {
            return Ok(());
        }
        // The roles of the account in the system, in each team and in each channel.
        let me = self.get(&["users", "me"], &[]).await?;
        let of_system = words(&Object::read(&me).text("roles"));
        let teams = self.get(&["users", "me", "teams", "members"], &[]).await?;
        let mut of_channels: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for team in list(&teams).unwrap_or_default().into_iter().map(Object::read) {
            let Some(id) = team.non_empty("team_id") else { continue };
            let of_team = words(&team.text("roles"));
            let members = self.get(&["users", "me", "teams", &id, "channels", "members"], &[]).await?;
            for member in list(&members).unwrap_or_default().into_iter().map(Object::read) {
                let own = words(&member.text("roles"));
                // Without a role of the channel, the list is not one of the server.
                if let Some(channel) = member.non_empty("channel_id").filter(|_| !own.is_empty()) {
                    of_channels.insert(channel, own.into_iter().chain(of_team.clone()).collect());
                }
            }
        }
        let names: BTreeSet<&str> = of_channels.values().flatten().chain(&of_system).map(String::as_str).collect();
        let (known, permitting) = self.roles(&names.into_iter().collect::<Vec<_>>()).await?;
        for channel in &mut channels {
            let Some(own) = of_channels.get(&channel.id) else { continue };
            let mut roles = own.iter().chain(&of_system);
            let is_permitted = roles.clone().any(|role| permitting.contains(role));
            channel.may_post = is_permitted || !roles.all(|role| known.contains(role));
        }
        Ok(())
    }

    /// Returns those of the roles that the server knows, and those of them that permit posts.
    async fn roles(&self, names: &[&str]) -> Result<(HashSet<String>, HashSet<String>), MattermostError> {
        let (mut known, mut permitting) = (HashSet::new(), HashSet::new());
        for names in names.chunks(MAX_ROLES) {
            let answer = self.send(Request::Other, Method::POST, &["roles", "names"], &json!(names)).await?;
            for role in list(&answer).unwrap_or_default().into_iter().map(Object::read) {
                let Some(name) = role.non_empty("name") else { continue };
                let permissions = list(role.json("permissions")).unwrap_or_default();
                let mut permissions = permissions.into_iter().filter_map(text);
                if permissions.any(|permission| PERMISSIONS.contains(&permission.as_str())) {
                    permitting.insert(name.clone());
                }
                known.insert(name);
            }
        }
        Ok((known, permitting))
    }
}

fn words(roles: &str) -> BTreeSet<String> {
    roles.split_whitespace().map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use wardroom_fake_mattermost::Server;

    use crate::client::tests::client_of;

    #[tokio::test]
    async fn a_channel_whose_roles_permit_no_posts_is_found() {
        let server = Server::start().await.expect("a server");
        let client = client_of(&server);
        let bot = server.person_of(&client.me().await.expect("an account").id);
        let (open, moderated) = (server.channel("eng", "ops"), server.channel("eng", "news"));
        for channel in [&open, &moderated] {
            server.put(channel, &bot);
        }
        server.moderate(&moderated, true);
        let permitted = async || {
            let (mut channels, _) = client.channels().await.expect("the channels");
            client.look_up_permissions(&mut channels).await.expect("the roles");
            channels.into_iter().filter(|channel| channel.may_post).map(|channel| channel.id).collect::<Vec<_>>()
        };
        assert_eq!(permitted().await, std::slice::from_ref(&open));
        server.moderate(&moderated, false);
        assert_eq!(permitted().await.len(), 2);
        // Roles that the server does not report are no proof.
        server.moderate(&moderated, true);
        server.faults(|faults| faults.hides_roles = true);
        assert_eq!(permitted().await.len(), 2);
    }
}
