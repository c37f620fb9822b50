//! Notifications about jobs, which the host sends to further rooms. `[[notify]]` tables configure the rooms and the
//! texts.
//!
//! Invariant: the transaction that changes a job also stores the notifications about the change, with idempotency keys
//! that are derived from the change. A notification is therefore neither lost nor sent twice. An unreachable room does
//! not delay the notifications to other rooms.

use std::collections::BTreeMap;

use super::outbox::Outbox;
use crate::{
    base::{At, Pattern, Template, Text, elapsed_text},
    job::ApprovalRequest,
    model::{Catalog, RoomName, name_and_id},
    store::{JobOutcome, JobRow, Write},
};

/// An event of a job that a notification can report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoticeEvent {
    /// A job succeeded, with or without warnings.
    Success,
    /// A job failed, was refused, or ended with an unknown result.
    Failure,
    /// A job was cancelled.
    Cancelled,
    /// A job was not approved.
    NotApproved,
    /// A job started to wait for approval.
    Approval,
    /// A role was granted or revoked in chat.
    Rights,
}

impl NoticeEvent {
    /// All events, in the order of the documentation.
    pub(crate) const ALL: [Self; 6] =
        [Self::Success, Self::Failure, Self::Cancelled, Self::NotApproved, Self::Approval, Self::Rights];

    /// Returns the event's name for the key `on` of `[[notify]]`, such as `not-approved`.
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

    /// Parses an event's name from the key `on` of `[[notify]]`. Returns `None` for an unknown name.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|event| event.as_str() == text)
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

/// The names of the placeholders that a notification's text can contain in braces, such as `{summary}`.
pub(crate) const PLACEHOLDERS: [&str; 9] =
    ["summary", "command", "app", "title", "environment", "person", "outcome", "job", "took"];

/// A `[[notify]]` table of the configuration: a rule for notifications to one room.
#[derive(Debug, Clone)]
pub(crate) struct Notice {
    /// The file and line of the table, for configuration problems.
    pub at: At,
    /// The events that the notification reports.
    pub on: Vec<NoticeEvent>,
    /// The apps whose jobs are reported; `None` for all jobs, including jobs without an app.
    pub apps: Option<Vec<Pattern>>,
    /// The environments whose jobs are reported; `None` for all jobs, including jobs without an environment.
    pub environments: Option<Vec<Pattern>>,
    /// The commands whose jobs are reported; `None` for all commands.
    pub commands: Option<Vec<Pattern>>,
    /// The room that receives the notification.
    pub room: RoomName,
    /// The text of the notification, with placeholders from [`PLACEHOLDERS`].
    pub text: Template,
}

impl Notice {
    fn is_for(&self, event: NoticeEvent, row: &JobRow) -> bool {
        let fits = |patterns: &Option<Vec<Pattern>>, value: Option<&str>| {
            let some = |patterns: &Vec<Pattern>| {
                value.is_some_and(|value| patterns.iter().any(|pattern| pattern.matches(value)))
            };
            patterns.as_ref().is_none_or(some)
        };
        self.on.contains(&event)
            && fits(&self.apps, row.app.as_deref())
            && fits(&self.environments, row.environment.as_deref())
            && fits(&self.commands, Some(&row.command))
    }
}

/// The `[[notify]]` tables of a configuration, in the order of the file.
#[derive(Debug, Clone, Default)]
pub(crate) struct Notices(Vec<Notice>);

impl Notices {
    pub(crate) fn new(notices: Vec<Notice>) -> Self {
        Self(notices)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Notice> {
        self.0.iter()
    }

    /// Returns the messages that notify about a job's end. Returns no messages if `writes` does not contain the end of
    /// the job.
    pub(crate) fn closing(&self, outbox: &Outbox, catalog: &Catalog, row: &JobRow, writes: &[Write]) -> Vec<Write> {
        let end = writes.iter().find_map(|write| match write {
            Write::Close { job, end } if *job == row.id => Some(end),
            _ => None,
        });
        let Some(end) = end else { return Vec::new() };
        let facts =
            Facts { summary: &end.summary, outcome: end.outcome.as_str(), took: elapsed_text(row.opened, end.at) };
        self.tell(outbox, catalog, row, NoticeEvent::of(end.outcome), "closed", &facts)
    }

    /// Returns the messages that notify about a new approval request of a job.
    pub(crate) fn asked(&self, outbox: &Outbox, catalog: &Catalog, row: &JobRow, ask: &ApprovalRequest) -> Vec<Write> {
        let summary = format!("{}: {}", row.line, crate::job::approval_line(ask));
        let facts = Facts { summary: &summary, outcome: "waits for approval", took: String::new() };
        self.tell(outbox, catalog, row, NoticeEvent::Approval, &format!("asked-{}", ask.number), &facts)
    }

    /// Returns the messages that notify about roles that a job grants or revokes. `name` makes the messages'
    /// idempotency keys unique within the job. `summary` describes the change in one line.
    pub(crate) fn rights(
        &self,
        outbox: &Outbox,
        catalog: &Catalog,
        row: &JobRow,
        name: &str,
        summary: &str,
    ) -> Vec<Write> {
        let facts = Facts { summary, outcome: "rights changed", took: String::new() };
        self.tell(outbox, catalog, row, NoticeEvent::Rights, name, &facts)
    }

    fn tell(
        &self,
        outbox: &Outbox,
        catalog: &Catalog,
        row: &JobRow,
        event: NoticeEvent,
        purpose: &str,
        facts: &Facts<'_>,
    ) -> Vec<Write> {
        let mut writes = Vec::new();
        for (number, notice) in self.0.iter().enumerate().filter(|(_, notice)| notice.is_for(event, row)) {
            let Some(destination) = outbox.destination(&row.bot, &notice.room) else {
                tracing::error!(
                    room = %notice.room,
                    "a notification was dropped, because no bot has an account on the chat network of the room; hint: \
                     add an account or change `room` in `[[notify]]`"
                );
                continue;
            };
            let text = match notice.text.fill(&values(catalog, row, facts)) {
                Ok(text) => text,
                // Unreachable, because the configuration is read only with valid placeholders.
                Err(error) => {
                    tracing::error!(
                        room = %notice.room,
                        %error,
                        "a notification was dropped, because its text has an invalid placeholder; hint: change `text` \
                         in `[[notify]]`"
                    );
                    continue;
                }
            };
            let key = format!("{}/notice-{purpose}-{number}", row.id);
            writes.push(Write::Send(destination.say(key, Text::lines(text))));
        }
        writes
    }
}

/// The values of the placeholders `summary`, `outcome` and `took`, which depend on the event.
struct Facts<'f> {
    summary: &'f str,
    outcome: &'f str,
    took: String,
}

/// Returns the value of each placeholder of [`PLACEHOLDERS`] by the placeholder's name.
fn values(catalog: &Catalog, row: &JobRow, facts: &Facts<'_>) -> BTreeMap<String, String> {
    let app = row.app.as_deref().unwrap_or_default();
    let values = [
        facts.summary.to_owned(),
        row.line.clone(),
        app.to_owned(),
        catalog.app(app).map_or_else(|| app.to_owned(), |app| app.title.clone()),
        row.environment.clone().unwrap_or_default(),
        name_and_id(&row.caller.id, &row.caller.name),
        facts.outcome.to_owned(),
        row.id.clone(),
        facts.took.clone(),
    ];
    PLACEHOLDERS.map(str::to_owned).into_iter().zip(values).collect()
}
