//! What other rooms are told: `[[notify]]`, chosen outcomes in words of the operator.
//!
//! Invariant: it is said in the transaction of what it tells of, under a key of it, so neither lost nor said twice. A room
//! that cannot be spoken to holds up nothing.

use std::collections::BTreeMap;

use super::outbox::Outbox;
use crate::{
    base::{At, Template, Text, clean, took},
    job::ApprovalRequest,
    model::{Catalog, RoomName},
    policy::Pattern,
    store::{JobOutcome, JobRow, Write},
};

/// What a room can be told of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Occasion {
    /// A job did what was asked, with or without warnings.
    Success,
    /// A job did not, was refused, or nobody knows.
    Failure,
    /// A job was called off.
    Cancelled,
    /// Others did not approve of a job.
    NotApproved,
    /// A job waits for approval.
    Approval,
    /// Somebody has other rights than before.
    Rights,
}

impl Occasion {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Success, Self::Failure, Self::Cancelled, Self::NotApproved, Self::Approval, Self::Rights];

    /// The word in the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Failure => "failure",
            Self::Cancelled => "cancelled",
            Self::NotApproved => "not-approved",
            Self::Approval => "approval",
            Self::Rights => "rights",
        }
    }

    /// The occasion of a word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|occasion| occasion.as_str() == word)
    }

    fn of(outcome: JobOutcome) -> Self {
        match outcome {
            JobOutcome::Succeeded | JobOutcome::Warnings => Self::Success,
            JobOutcome::Failed | JobOutcome::Refused | JobOutcome::Unknown => Self::Failure,
            JobOutcome::Cancelled => Self::Cancelled,
            JobOutcome::NotApproved => Self::NotApproved,
        }
    }
}

/// The placeholders of a notice's text.
pub(crate) const PLACEHOLDERS: [&str; 9] =
    ["summary", "command", "app", "title", "environment", "person", "outcome", "job", "took"];

/// One `[[notify]]`.
#[derive(Debug, Clone)]
pub struct Notice {
    /// Where it stands.
    pub at: At,
    /// When.
    pub on: Vec<Occasion>,
    /// The apps that it is for; `None` for all, also for what has none.
    pub apps: Option<Vec<Pattern>>,
    /// The environments that it is for.
    pub environments: Option<Vec<Pattern>>,
    /// The commands that it is for.
    pub commands: Option<Vec<Pattern>>,
    /// The room.
    pub room: RoomName,
    /// The text; its placeholders are among [`PLACEHOLDERS`].
    pub text: Template,
}

impl Notice {
    fn is_for(&self, occasion: Occasion, row: &JobRow) -> bool {
        let fits = |patterns: &Option<Vec<Pattern>>, value: Option<&str>| {
            let some = |patterns: &Vec<Pattern>| {
                value.is_some_and(|value| patterns.iter().any(|pattern| pattern.matches(value)))
            };
            patterns.as_ref().is_none_or(some)
        };
        self.on.contains(&occasion)
            && fits(&self.apps, row.app.as_deref())
            && fits(&self.environments, row.environment.as_deref())
            && fits(&self.commands, Some(&row.command))
    }
}

/// All notices of a configuration.
#[derive(Debug, Clone, Default)]
pub struct Notices(Vec<Notice>);

impl Notices {
    /// In the order of the file.
    pub fn new(notices: Vec<Notice>) -> Self {
        Self(notices)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Notice> {
        self.0.iter()
    }

    /// What rooms are told of the end of a job, where these changes end it.
    pub(crate) fn closing(&self, outbox: &Outbox, catalog: &Catalog, row: &JobRow, writes: &[Write]) -> Vec<Write> {
        let end = writes.iter().find_map(|write| match write {
            Write::Close { job, end } if *job == row.id => Some(end),
            _ => None,
        });
        let Some(end) = end else { return Vec::new() };
        let facts = Facts { summary: &end.summary, outcome: end.outcome.as_str(), took: took(row.opened, end.at) };
        self.tell(outbox, catalog, row, Occasion::of(end.outcome), "closed", &facts)
    }

    /// What rooms are told of a job that begins to wait for approval.
    pub(crate) fn asked(&self, outbox: &Outbox, catalog: &Catalog, row: &JobRow, ask: &ApprovalRequest) -> Vec<Write> {
        let summary = format!("{}: {}", row.line, crate::job::approval_line(ask));
        let facts = Facts { summary: &summary, outcome: "waits for approval", took: String::new() };
        self.tell(outbox, catalog, row, Occasion::Approval, &format!("asked-{}", ask.number), &facts)
    }

    /// What rooms are told of a change of rights by a job.
    pub(crate) fn rights(
        &self,
        outbox: &Outbox,
        catalog: &Catalog,
        row: &JobRow,
        name: &str,
        summary: &str,
    ) -> Vec<Write> {
        let facts = Facts { summary, outcome: "rights changed", took: String::new() };
        self.tell(outbox, catalog, row, Occasion::Rights, name, &facts)
    }

    fn tell(
        &self,
        outbox: &Outbox,
        catalog: &Catalog,
        row: &JobRow,
        occasion: Occasion,
        purpose: &str,
        facts: &Facts<'_>,
    ) -> Vec<Write> {
        let mut writes = Vec::new();
        for (number, notice) in self.0.iter().enumerate().filter(|(_, notice)| notice.is_for(occasion, row)) {
            let Some(spot) = outbox.spot(&row.bot, &notice.room) else {
                tracing::error!(room = %notice.room, "a room is not told: nobody is in its network");
                continue;
            };
            let text = match notice.text.fill(&values(catalog, row, facts)) {
                Ok(text) => text,
                // Not reached: the placeholders were checked when the configuration was read.
                Err(error) => {
                    tracing::error!(room = %notice.room, %error, "a room is not told");
                    continue;
                }
            };
            let key = format!("{}/notice-{purpose}-{number}", row.id);
            writes.push(Write::Say(spot.say(key, Text::lines(text))));
        }
        writes
    }
}

/// What is said of one occasion.
struct Facts<'f> {
    summary: &'f str,
    outcome: &'f str,
    took: String,
}

/// The values of [`PLACEHOLDERS`], in their order.
fn values(catalog: &Catalog, row: &JobRow, facts: &Facts<'_>) -> BTreeMap<String, String> {
    let app = row.app.as_deref().unwrap_or_default();
    let values = [
        facts.summary.to_owned(),
        row.line.clone(),
        app.to_owned(),
        catalog.app(app).map_or_else(|| app.to_owned(), |app| app.title.clone()),
        row.environment.clone().unwrap_or_default(),
        clean(&row.caller.name),
        facts.outcome.to_owned(),
        row.id.clone(),
        facts.took.clone(),
    ];
    PLACEHOLDERS.map(str::to_owned).into_iter().zip(values).collect()
}
