//! One connection after the other: who speaks when, and what of it counts.
//!
//! Invariant: events are numbered. One that comes twice is handed over twice (the inbox knows it), one whose
//! predecessor did not come is not handed over: the connection is taken up again at that predecessor.

use std::time::{Duration, Instant};

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::{
    sync::mpsc,
    time::{MissedTickBehavior, interval_at, sleep_until, timeout},
};
use tokio_tungstenite::tungstenite::{Error, Message};

use super::{
    Signal,
    open::{Resume, Socket, open},
};
use wardroom_account::Outage;

use crate::{api::Api, event::Frame, trouble::Trouble};

/// A write that takes longer goes nowhere.
const WRITE: Duration = Duration::from_secs(10);
/// A connection that was up for so long was none that fails at once.
const LIVED: Duration = Duration::from_secs(2);

/// Why there is no connection.
#[derive(Debug)]
pub(super) enum Broken {
    /// It could not be opened.
    NotOpened(Trouble),
    /// It broke; whether it had been of use.
    Closed { reason: String, lived: bool },
    /// The server does not know who we are.
    Unknown { reason: String },
}

/// What outlives a connection.
#[derive(Debug)]
pub(super) struct Line<'a> {
    me: &'a str,
    beat: Duration,
    resume: Option<Resume>,
}

/// One connection.
struct Talk<'t> {
    socket: Socket,
    me: &'t str,
    signals: &'t mpsc::UnboundedSender<Signal>,
    outage: &'t mut Outage,
    /// How this connection can be taken up, where it can.
    resume: &'t mut Option<Resume>,
    /// Whether it was opened to take up another one.
    resuming: bool,
    began: Option<Instant>,
    /// The number of the next event; `None` until the server said one.
    next: Option<i64>,
    /// Whether an event came that was new.
    progress: bool,
    /// Whether anything at all came since the last beat.
    heard: bool,
    /// The number of our last action.
    action: i64,
    challenge: Option<i64>,
    /// Whether the server answered as to somebody whom it knows.
    known: bool,
}

impl<'a> Line<'a> {
    /// Begins; no connection yet.
    pub(super) fn new(me: &'a str, beat: Duration) -> Self {
        Self { me, beat, resume: None }
    }

    /// Opens a connection and hands over what comes until it breaks.
    pub(super) async fn run(
        &mut self,
        api: &Api,
        signals: &mpsc::UnboundedSender<Signal>,
        typing: &mut mpsc::UnboundedReceiver<String>,
        outage: &mut Outage,
    ) -> Broken {
        let socket = match open(api, self.resume.as_ref()).await {
            Ok(socket) => socket,
            Err(trouble) => return Broken::NotOpened(trouble),
        };
        let opened = Instant::now();
        let taken_up = self.resume.clone();
        let mut talk = Talk {
            socket,
            me: self.me,
            signals,
            outage,
            next: taken_up.as_ref().map(|resume| resume.next),
            resuming: taken_up.is_some(),
            resume: &mut self.resume,
            began: None,
            progress: false,
            heard: true,
            action: 0,
            challenge: None,
            known: false,
        };
        let broken = talk.run(api, self.beat, typing).await;
        let (began, progress, challenged) = (talk.began.is_some(), talk.progress, talk.challenge.is_some());
        // One that could not be taken up, or came to nothing where it was, would not be next time either.
        if taken_up.is_some() && self.resume == taken_up && !(began && opened.elapsed() > LIVED) {
            self.resume = None;
        }
        match broken {
            // A server that does not take who we say we are closes without a word.
            Broken::Closed { reason, .. } if challenged && !began => Broken::Unknown { reason },
            Broken::Closed { reason, .. } => {
                Broken::Closed { reason, lived: began && (progress || opened.elapsed() > LIVED) }
            }
            broken => broken,
        }
    }
}

impl Talk<'_> {
    async fn run(&mut self, api: &Api, beat: Duration, typing: &mut mpsc::UnboundedReceiver<String>) -> Broken {
        // A new connection greets before it answers; one that was taken up answers only.
        if let Err(broken) = self.ping().await {
            return broken;
        }
        let patience = beat / 6;
        let mut deadline = tokio::time::Instant::now() + patience;
        let mut beats = interval_at(tokio::time::Instant::now() + beat, beat);
        beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let done = tokio::select! {
                frame = self.socket.next() => self.take(frame, api).await,
                () = sleep_until(deadline), if self.began.is_none() => {
                    deadline += patience;
                    self.silent(api).await
                }
                _ = beats.tick() => self.beat().await,
                Some(channel) = typing.recv() => {
                    let data = json!({ "channel_id": channel, "parent_id": "" });
                    self.act("user_typing", &data).await.map(drop)
                }
            };
            if let Err(broken) = done {
                return broken;
            }
        }
    }

    /// The server said nothing for a while after the connection was opened.
    async fn silent(&mut self, api: &Api) -> Result<(), Broken> {
        if self.known {
            // It answers, and greets nobody: then nothing is known of what we missed.
            self.begin(None, "");
            return Ok(());
        }
        if self.challenge.is_some() {
            return Err(Broken::Unknown { reason: "the server does not say hello".to_owned() });
        }
        self.challenge(api).await
    }

    /// Says who we are, for servers that did not see it in the first request.
    async fn challenge(&mut self, api: &Api) -> Result<(), Broken> {
        let data = json!({ "token": api.token() });
        self.challenge = Some(self.act("authentication_challenge", &data).await?);
        Ok(())
    }

    async fn beat(&mut self) -> Result<(), Broken> {
        if !std::mem::take(&mut self.heard) {
            return Err(closed("nothing was heard from the server, not even an answer"));
        }
        self.write(Message::Ping(Default::default())).await?;
        self.ping().await
    }

    async fn ping(&mut self) -> Result<(), Broken> {
        self.act("ping", &Value::Null).await.map(drop)
    }

    /// Does an action and gives its number.
    async fn act(&mut self, action: &str, data: &Value) -> Result<i64, Broken> {
        self.action += 1;
        let mut frame = json!({ "seq": self.action, "action": action });
        if !data.is_null() {
            frame["data"] = data.clone();
        }
        self.write(Message::text(frame.to_string())).await?;
        Ok(self.action)
    }

    async fn write(&mut self, message: Message) -> Result<(), Broken> {
        match timeout(WRITE, self.socket.send(message)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(closed(error.to_string())),
            Err(_) => Err(closed("the server takes nothing more")),
        }
    }

    async fn take(&mut self, frame: Option<Result<Message, Error>>, api: &Api) -> Result<(), Broken> {
        self.heard = true;
        let text = match frame {
            Some(Ok(Message::Text(text))) => text,
            Some(Ok(Message::Close(_))) | None => return Err(closed("the server closed the connection")),
            Some(Ok(_)) => return Ok(()),
            Some(Err(error)) => return Err(closed(error.to_string())),
        };
        match Frame::read(&text, self.me) {
            Frame::Hello { connection, version, seq } => {
                let resume = connection.map(|connection| Resume { connection, next: seq.max(0) + 1 });
                self.next = Some(seq + 1);
                self.begin(resume, &version);
                Ok(())
            }
            Frame::Event { seq, event } => self.event(seq, event),
            Frame::Answer { failure: None, .. } => {
                self.known = true;
                // No hello came before: what we had is taken up.
                if self.resuming && self.began.is_none() {
                    self.resumed();
                }
                Ok(())
            }
            Frame::Answer { to, failure: Some(failure) } => self.failed(to, &failure, api).await,
            Frame::Unknown => Ok(()),
        }
    }

    fn event(&mut self, seq: Option<i64>, event: Option<crate::event::Event>) -> Result<(), Broken> {
        self.known = true;
        if self.began.is_none() {
            // Nobody else is told of what happens, so we are known.
            match self.resuming {
                true => self.resumed(),
                false => self.begin(None, ""),
            }
        }
        match (seq, self.next) {
            (Some(seq), Some(next)) if seq > next => {
                return Err(closed(format!("event {next} did not come, and {seq} did")));
            }
            // Heard before, or numbered anew without a greeting.
            (Some(seq), Some(next)) if seq < next => {}
            (Some(seq), _) => {
                self.next = Some(seq + 1);
                self.progress = true;
                if let Some(resume) = self.resume.as_mut() {
                    resume.next = seq + 1;
                }
            }
            (None, _) => {}
        }
        if let Some(event) = event {
            let _ = self.signals.send(Signal::Event(event));
        }
        Ok(())
    }

    async fn failed(&mut self, to: i64, failure: &str, api: &Api) -> Result<(), Broken> {
        let unknown = failure.contains("authenticat") || failure.contains("session");
        if self.challenge == Some(to) || (unknown && (self.began.is_some() || self.challenge.is_some())) {
            return Err(Broken::Unknown { reason: format!("the server does not know us: {failure}") });
        }
        if unknown {
            return self.challenge(api).await;
        }
        tracing::debug!(failure, "the server does not take an action");
        Ok(())
    }

    /// A new connection stands.
    fn begin(&mut self, resume: Option<Resume>, version: &str) {
        self.known = true;
        self.began = Some(Instant::now());
        *self.resume = resume;
        self.outage.over();
        tracing::info!(version, "connected");
        let _ = self.signals.send(Signal::Began);
    }

    /// The one from before stands again.
    fn resumed(&mut self) {
        self.began = Some(Instant::now());
        self.outage.over();
        tracing::info!("connected again where the connection broke");
        let _ = self.signals.send(Signal::Resumed);
    }
}

fn closed(reason: impl Into<String>) -> Broken {
    Broken::Closed { reason: reason.into(), lived: false }
}
