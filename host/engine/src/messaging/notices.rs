//! Notifications to other rooms (`[[notify]]`) about chosen outcomes, with a text of the operator.
//!
//! Invariant: a notification is written in the transaction of the change that it reports, under a key derived from that
//! change: it is neither lost nor sent twice. A room that cannot be reached delays nothing else.

use std::collections::BTreeMap;

use super::outbox::Outbox;
use crate::{
    base::{At, Template, Text, clean, took},
    job::ApprovalRequest,
    model::{Catalog, RoomName},
    policy::Pattern,
    store::{JobOutcome, JobRow, Write},
};

/// The events that a notification can report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Occasion {
    /// A job succeeded, with or without warnings.
    Success,
    /// A job failed, was refused, or ended with an unknown result.
    Failure,
    /// A job was cancelled.
    Cancelled,
    /// A job was not approved.
    NotApproved,
    /// A job waits for approval.
    Approval,
    /// A role was granted or revoked in chat.
    Rights,
}

impl Occasion {
    /// All events, in the order of the documentation.
    pub(crate) const ALL: [Self; 6] =
        [Self::Success, Self::Failure, Self::Cancelled, Self::NotApproved, Self::Approval, Self::Rights];

    /// The value in the configuration.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Failure => "failure",
            Self::Cancelled => "cancelled",
            Self::NotApproved => "not-approved",
            Self::Approval => "approval",
            Self::Rights => "rights",
        }
    }

    /// Parses a value of the configuration.
    pub(crate) fn parse(word: &str) -> Option<Self> {
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

/// The placeholders that a notification's text can contain, in braces.
pub(crate) const PLACEHOLDERS: [&str; 9] =
    ["summary", "command", "app", "title", "environment", "person", "outcome", "job", "took"];

/// One `[[notify]]` table.
#[derive(Debug, Clone)]
pub(crate) struct Notice {
    /// Its position in the configuration.
    pub at: At,
    /// The events that it reports.
    pub on: Vec<Occasion>,
    /// The apps that it is limited to; `None` for all jobs, including jobs without an app.
    pub apps: Option<Vec<Pattern>>,
    /// The environments that it is limited to; `None` for all jobs.
    pub environments: Option<Vec<Pattern>>,
    /// The commands that it is limited to; `None` for all.
    pub commands: Option<Vec<Pattern>>,
    /// The room that receives it.
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

/// The notifications of a configuration.
#[derive(Debug, Clone, Default)]
pub(crate) struct Notices(Vec<Notice>);

impl Notices {
    /// Creates the list, in the order of the configuration.
    pub(crate) fn new(notices: Vec<Notice>) -> Self {
        Self(notices)
    }

    /// All notifications, in the order of the configuration.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Notice> {
        self.0.iter()
    }

    /// The notifications about a job's end; none if `writes` do not close the job.
    pub(crate) fn closing(&self, outbox: &Outbox, catalog: &Catalog, row: &JobRow, writes: &[Write]) -> Vec<Write> {
        let end = writes.iter().find_map(|write| match write {
            Write::Close { job, end } if *job == row.id => Some(end),
            _ => None,
        });
        let Some(end) = end else { return Vec::new() };
        let facts = Facts { summary: &end.summary, outcome: end.outcome.as_str(), took: took(row.opened, end.at) };
        self.tell(outbox, catalog, row, Occasion::of(end.outcome), "closed", &facts)
    }

    /// The notifications about a job that starts to wait for approval.
    pub(crate) fn asked(&self, outbox: &Outbox, catalog: &Catalog, row: &JobRow, ask: &ApprovalRequest) -> Vec<Write> {
        let summary = format!("{}: {}", row.line, crate::job::approval_line(ask));
        let facts = Facts { summary: &summary, outcome: "waits for approval", took: String::new() };
        self.tell(outbox, catalog, row, Occasion::Approval, &format!("asked-{}", ask.number), &facts)
    }

    /// The notifications about a change of rights by a job.
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
            let Some(destination) = outbox.destination(&row.bot, &notice.room) else {
                tracing::error!(room = %notice.room, "a notification is dropped: no account is on the network of `room`; set the room's network or add a bot there");
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
            writes.push(Write::Send(destination.say(key, Text::lines(text))));
        }
        writes
    }
}

/// The values of the placeholders of one event.
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
