//! The crash points around sent messages.

use async_trait::async_trait;
use wardroom::adapter::{Body, Outgoing};
use wardroom_tests::hooked::ChatHooks;

use crate::points::Points;

#[async_trait]
impl ChatHooks for &'static Points {
    async fn before_send(&self, message: &Outgoing) {
        self.reach(&format!("before {}", name(message)));
    }

    async fn after_send(&self, message: &Outgoing) {
        self.reach(&format!("after {}", name(message)));
    }
}

/// Returns the name of a message, without the parts that differ between runs: `say closing`, `edit card`, `react 👀`.
fn name(message: &Outgoing) -> String {
    let (head, last) = message.key.rsplit_once('/').unwrap_or(("", &message.key));
    match &message.body {
        Body::Say { .. } => format!("say {last}"),
        // The last part of an edit's key is the number of the card's text. Leave it out.
        Body::Edit { .. } => format!("edit {}", head.rsplit('/').next().unwrap_or(last)),
        Body::React { emoji, .. } => format!("react {emoji}"),
    }
}

#[cfg(test)]
mod tests {
    use wardroom::base::Text;

    use super::*;

    #[test]
    fn a_name_is_the_same_in_every_run() {
        let name = |key: &str, body| name(&Outgoing { key: key.into(), room: "room".into(), body });
        let text = || Text::lines("words");
        assert_eq!(name("7f3ak/closing", Body::Say { text: text(), thread: None }), "say closing");
        assert_eq!(name("7f3ak/card/3", Body::Edit { event: "$1".into(), text: text() }), "edit card");
        assert_eq!(name("room/$1/👀", Body::React { event: "$1".into(), emoji: "👀".into() }), "react 👀");
    }
}
