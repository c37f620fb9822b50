//! The connections and their numbered events, with a queue from which a broken connection is resumed.

use std::collections::{HashMap, VecDeque};

use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::{
    data::{ServerEvent, new_id},
    post::ServerVersion,
};

/// The number of sent events that are kept for a broken connection.
const DEAD_QUEUE: usize = 128;
/// Maximum number of events that wait for a broken connection. With more, the connection is dropped.
const WAITING: usize = 256;

/// A message for the writer of a connection.
#[derive(Debug)]
pub(crate) enum WriterMessage {
    /// A frame to send.
    Frame(String),
    /// The writer stops sending and does not close the connection.
    Freeze,
}

#[derive(Debug)]
struct Connection {
    user: String,
    /// The number of the next event.
    next: i64,
    /// Sent and waiting events, newest last.
    sent: VecDeque<(i64, String)>,
    /// The writer of an open connection; `None` for a broken one.
    writer: Option<mpsc::UnboundedSender<WriterMessage>>,
    /// The number of events since the connection broke.
    missed: usize,
    muted: bool,
}

#[derive(Debug)]
pub(crate) struct Hub {
    version: ServerVersion,
    connections: HashMap<String, Connection>,
    opened: usize,
    resumed: usize,
    /// The number of the first event of a connection.
    first: i64,
}

impl Hub {
    pub(crate) fn new(version: ServerVersion) -> Self {
        Self { version, connections: HashMap::new(), opened: 0, resumed: 0, first: 0 }
    }

    pub(crate) fn set_first(&mut self, first: i64) {
        self.first = first;
    }

    /// Opens a connection with this writer. Returns the connection's id.
    pub(crate) fn connect(
        &mut self,
        user: &str,
        resume: Option<(&str, i64)>,
        writer: &mpsc::UnboundedSender<WriterMessage>,
    ) -> String {
        self.opened += 1;
        if let Some((id, next)) = resume.filter(|_| self.version == ServerVersion::Current)
            && let Some(known) = self.connections.get_mut(id)
            && known.user == user
            && known.writer.is_none()
            && (next == known.next || known.sent.front().is_some_and(|(first, _)| (*first..known.next).contains(&next)))
        {
            for (_, frame) in known.sent.iter().filter(|(seq, _)| *seq >= next) {
                let _ = writer.send(WriterMessage::Frame(frame.clone()));
            }
            known.writer = Some(writer.clone());
            known.missed = 0;
            self.resumed += 1;
            return id.to_owned();
        }
        let id = new_id();
        let mut data = json!({ "server_version": "11.1.0.123.abc.true" });
        match self.version {
            ServerVersion::Current => {
                data["connection_id"] = id.clone().into();
                data["server_hostname"] = "node-1".into();
            }
            ServerVersion::Old => data["server_version"] = "5.30.1.5.30.1.abc.true".into(),
        }
        let connection = Connection {
            user: user.to_owned(),
            next: self.first,
            sent: VecDeque::new(),
            writer: Some(writer.clone()),
            missed: 0,
            muted: false,
        };
        self.connections.insert(id.clone(), connection);
        self.send_event(&id, "hello", &data, &json!({ "user_id": user }), false);
        id
    }

    /// Marks a connection as broken.
    pub(crate) fn disconnect(&mut self, id: &str, writer: &mpsc::UnboundedSender<WriterMessage>) {
        if let Some(known) = self.connections.get_mut(id)
            && known.writer.as_ref().is_some_and(|ours| ours.same_channel(writer))
        {
            known.writer = None;
        }
    }

    /// Sends an event to every connection of its recipients.
    pub(crate) fn publish(&mut self, published: &ServerEvent, strange: bool) {
        let ids: Vec<String> = self
            .connections
            .iter()
            .filter(|(_, known)| !known.muted && published.to.contains(&known.user))
            .map(|(id, _)| id.clone())
            .collect();
        for id in ids {
            if strange {
                self.send_event(&id, "custom_com.example.plugin_tick", &json!([1, { "x": null }]), &Value::Null, false);
            }
            self.send_event(&id, published.event, &published.data, &published.broadcast, strange);
        }
    }

    fn send_event(&mut self, id: &str, event: &str, data: &Value, broadcast: &Value, strange: bool) {
        let Some(known) = self.connections.get_mut(id) else { return };
        let mut frame = json!({ "event": event, "data": data, "broadcast": broadcast, "seq": known.next });
        if strange {
            frame["later"] = json!({ "version": 99 });
        }
        let frame = frame.to_string();
        known.sent.push_back((known.next, frame.clone()));
        known.next = known.next.saturating_add(1);
        match &known.writer {
            Some(writer) => {
                let _ = writer.send(WriterMessage::Frame(frame));
            }
            None => known.missed += 1,
        }
        while known.sent.len() > DEAD_QUEUE + known.missed {
            known.sent.pop_front();
        }
        if known.missed > WAITING {
            self.connections.remove(id);
        }
    }

    /// Sends no further events to a user.
    pub(crate) fn mute(&mut self, user: &str) {
        for known in self.connections.values_mut().filter(|known| known.user == user) {
            known.muted = true;
        }
    }

    /// Blocks all open connections without closing them.
    pub(crate) fn freeze(&mut self) {
        for writer in self.connections.values().filter_map(|known| known.writer.as_ref()) {
            let _ = writer.send(WriterMessage::Freeze);
        }
    }

    /// Drops all connection state, as a restart does.
    pub(crate) fn clear(&mut self) {
        self.connections.clear();
    }

    pub(crate) fn counts(&self) -> (usize, usize) {
        (self.opened, self.resumed)
    }

    pub(crate) fn is_connected(&self) -> bool {
        self.connections.values().any(|known| known.writer.is_some())
    }
}
