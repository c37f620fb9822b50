//! A Mattermost channel on the test server.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};
use async_trait::async_trait;
use wardroom_fake_mattermost::{Person, Post, Server};

use super::{
    LOOK, PATIENCE,
    room::{BotAction, HostChange, Part, Room, Shown, config, parts},
    served::{SECRET, ServedHost},
};

/// The emoji of the stories with their names on Mattermost.
const EMOJI: [(&str, &str); 9] = [
    ("👍", "+1"),
    ("👎", "-1"),
    ("👀", "eyes"),
    ("✅", "white_check_mark"),
    ("❌", "x"),
    ("⛔", "no_entry"),
    ("❓", "question"),
    ("⚠️", "warning"),
    ("🚫", "no_entry_sign"),
];

pub(super) struct Mattermost {
    server: Server,
    people: BTreeMap<&'static str, Person>,
    bot: Person,
    channel: String,
    /// The direct channels with the bot, by person.
    direct: BTreeMap<String, String>,
    host: ServedHost,
}

pub(super) async fn open() -> Result<Mattermost> {
    let server = Server::start().await?;
    let people: BTreeMap<&'static str, Person> =
        ["alice", "bob", "dave"].into_iter().map(|name| (name, server.person(name))).collect();
    let (bot, token) = server.bot("marvin");
    let channel = server.channel("company", "ops");
    for person in people.values().chain([&bot]) {
        server.put(&channel, person);
    }
    let table = format!(
        "[bot.marvin.mattermost]\nurl = \"{}\"\ntoken = {{ env = \"{SECRET}\" }}\nrooms = [\"company/ops\"]",
        server.url()
    );
    let host = ServedHost::new(&config(&table, ["alice", "bob", "dave"].map(|name| people[name].id())), token)?;
    let mut room = Mattermost { server, people, bot, channel, direct: BTreeMap::new(), host };
    room.host(HostChange::Start).await?;
    // Wait for the bot's first connection, because the bot ignores earlier messages.
    let begun = std::time::Instant::now();
    while !room.host.log().contains("connected") {
        ensure!(begun.elapsed() < PATIENCE, "the bot does not connect; {}", room.log());
        tokio::time::sleep(LOOK).await;
    }
    Ok(room)
}

impl Mattermost {
    fn person(&self, name: &str) -> Result<&Person> {
        self.people.get(name).with_context(|| format!("the story has no person `{name}`"))
    }
}

#[async_trait]
impl Room for Mattermost {
    async fn say(&mut self, person: &str, words: &str) -> Result<String> {
        // The clients write the user name. A person can also type it with a colon.
        let written = parts(words).into_iter().map(|part| match part {
            Part::Text(text) => text.to_owned(),
            Part::Mention { name, other_form } => format!("@{name}{}", if other_form { ":" } else { "" }),
        });
        Ok(self.person(person)?.post(&self.channel, &written.collect::<String>()))
    }

    async fn say_directly(&mut self, person: &str, words: &str) -> Result<String> {
        let user = self.person(person)?.clone();
        let channel = self.server.direct(&user, &self.bot);
        self.direct.insert(person.to_owned(), channel.clone());
        Ok(user.post(&channel, words))
    }

    async fn say_in_thread(&mut self, person: &str, root: &str, words: &str) -> Result<String> {
        Ok(self.person(person)?.reply(root, words))
    }

    async fn edit(&mut self, person: &str, message: &str, words: &str) -> Result<()> {
        self.person(person)?.edit(message, words);
        Ok(())
    }

    async fn react(&mut self, person: &str, message: &str, emoji: &str) -> Result<()> {
        self.person(person)?.react(message, name(emoji)?);
        Ok(())
    }

    async fn unreact(&mut self, person: &str, message: &str, emoji: &str) -> Result<()> {
        self.person(person)?.unreact(message, name(emoji)?);
        Ok(())
    }

    async fn actions(&mut self) -> Result<Vec<BotAction>> {
        let mut actions = Vec::new();
        for channel in std::iter::once(&self.channel).chain(self.direct.values()) {
            for post in self.server.posts(channel) {
                actions.extend(self.put_by_bot(&post));
                if post.user != self.bot.id() {
                    continue;
                }
                let words = as_read(&post.message);
                let thread = (!post.root.is_empty()).then(|| post.root.clone());
                if post.edits > 0 {
                    let id = format!("{} edit {}", post.id, post.edits);
                    actions.push(BotAction { id, shown: Shown::Edit { words: words.clone() } });
                }
                actions.push(BotAction { id: post.id.clone(), shown: Shown::Message { thread, words } });
            }
        }
        Ok(actions)
    }

    async fn host(&mut self, running: HostChange) -> Result<()> {
        self.host.set(running)
    }

    async fn silence(&mut self, silenced: bool) -> Result<()> {
        self.server.moderate(&self.channel, silenced);
        Ok(())
    }

    fn log(&self) -> String {
        self.host.log()
    }
}

impl Mattermost {
    fn put_by_bot(&self, post: &Post) -> Vec<BotAction> {
        let own = post.reactions.iter().filter(|reaction| reaction.user == self.bot.id());
        own.map(|reaction| {
            let known = EMOJI.iter().find(|(_, name)| *name == reaction.emoji);
            let emoji = known.map_or_else(|| reaction.emoji.clone(), |(emoji, _)| (*emoji).to_owned());
            BotAction { id: format!("{} {emoji}", post.id), shown: Shown::Reaction { on: post.id.clone(), emoji } }
        })
        .collect()
    }
}

fn name(emoji: &str) -> Result<&'static str> {
    let known = EMOJI.iter().find(|(letters, _)| *letters == emoji);
    known.map(|(_, name)| *name).with_context(|| format!("Mattermost has no name for the emoji {emoji}"))
}

/// Returns the text of a message without Markdown escapes.
fn as_read(message: &str) -> String {
    let mut read = String::new();
    let mut code = false;
    let mut letters = message.replace("&amp;", "&").replace('\u{200b}', "").replace('\u{a0}', " ");
    letters.retain(|letter| letter != '\r');
    let mut letters = letters.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '`' => {
                code = !code;
                read.push('`');
            }
            '\\' if !code => read.extend(letters.next()),
            letter => read.push(letter),
        }
    }
    read
}
