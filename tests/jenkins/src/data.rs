//! The jobs, builds, queue items and users of the server.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{SystemTime, UNIX_EPOCH},
};

/// A parameter that a job defines.
#[derive(Debug, Clone)]
pub(crate) struct Parameter {
    pub(crate) name: String,
    /// The name of its class, for example `StringParameterDefinition`.
    pub(crate) kind: String,
    pub(crate) default: String,
    pub(crate) choices: Vec<String>,
}

#[derive(Debug, Default)]
pub(crate) struct Job {
    pub(crate) is_pipeline: bool,
    pub(crate) is_disabled: bool,
    pub(crate) parameters: Option<Vec<Parameter>>,
    pub(crate) next_number: u64,
    pub(crate) builds: BTreeMap<u64, Build>,
    /// The result with which each new build ends at once.
    pub(crate) ends_with: Option<String>,
    /// Builds end only after this request: `stop`, `term` or `kill`.
    pub(crate) ends_after: Option<String>,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Build {
    pub(crate) item: u64,
    pub(crate) user: String,
    pub(crate) parameters: Vec<(String, String)>,
    pub(crate) timestamp: i64,
    pub(crate) duration: i64,
    pub(crate) result: Option<String>,
    /// Whether the build is not completed although it has a result.
    pub(crate) is_completing: bool,
    pub(crate) log: Vec<u8>,
    /// The requests to stop the build, and the answers to its input steps.
    pub(crate) signals: Vec<String>,
    /// The number of tests that passed, and the names of those that failed.
    pub(crate) tests: Option<(u32, Vec<String>)>,
    /// The stages with their status.
    pub(crate) stages: Vec<(String, String)>,
    /// The input steps at which the build waits: their ids and messages.
    pub(crate) inputs: Vec<(String, String)>,
}

impl Build {
    pub(crate) fn is_building(&self) -> bool {
        self.result.is_none()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ItemState {
    Waiting,
    Left(u64),
    Cancelled,
}

#[derive(Debug, Clone)]
pub(crate) struct Item {
    pub(crate) job: String,
    pub(crate) user: String,
    pub(crate) parameters: Vec<(String, String)>,
    pub(crate) since: i64,
    pub(crate) state: ItemState,
    pub(crate) why: String,
}

#[derive(Debug, Default)]
pub(crate) struct User {
    pub(crate) tokens: BTreeSet<String>,
    pub(crate) password: Option<String>,
    /// The ids of the permissions that the user lacks.
    pub(crate) lacks: BTreeSet<String>,
}

/// The result of scheduling a build.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scheduled {
    pub(crate) item: u64,
    pub(crate) is_merged: bool,
}

#[derive(Debug, Default)]
pub(crate) struct Data {
    /// By full name.
    pub(crate) jobs: BTreeMap<String, Job>,
    pub(crate) folders: BTreeSet<String>,
    pub(crate) items: BTreeMap<u64, Item>,
    pub(crate) users: BTreeMap<String, User>,
    /// The crumb of each session.
    pub(crate) sessions: BTreeMap<String, String>,
    /// Why no item leaves the queue; `None` if each leaves it at once.
    pub(crate) held: Option<String>,
    next_item: u64,
    next_session: u64,
    pub(crate) clock_skew: i64,
}

impl Data {
    pub(crate) fn now(&self) -> i64 {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        i64::try_from(now.as_millis()).unwrap_or_default() + self.clock_skew * 1000
    }

    /// Adds a job and its folders.
    pub(crate) fn add_job(&mut self, name: &str, job: Job) {
        let parents = name.char_indices().filter(|(_, letter)| *letter == '/').map(|(at, _)| name[..at].to_owned());
        self.folders.extend(parents);
        self.jobs.insert(name.to_owned(), Job { next_number: 1, ..job });
    }

    /// Puts a build into the queue, or merges it with an identical item that waits there.
    pub(crate) fn schedule(&mut self, job: &str, user: &str, parameters: Vec<(String, String)>) -> Scheduled {
        let is_same =
            |item: &Item| item.state == ItemState::Waiting && item.job == job && item.parameters == parameters;
        if let Some((id, _)) = self.items.iter().find(|(_, item)| is_same(item)) {
            return Scheduled { item: *id, is_merged: true };
        }
        self.next_item += 1;
        let item = Item {
            job: job.to_owned(),
            user: user.to_owned(),
            parameters,
            since: self.now(),
            state: ItemState::Waiting,
            why: String::new(),
        };
        self.items.insert(self.next_item, item);
        if self.held.is_none() {
            self.begin(self.next_item);
        }
        Scheduled { item: self.next_item, is_merged: false }
    }

    pub(crate) fn lose_queue(&mut self) {
        self.items.clear();
        self.next_item = 0;
    }

    /// Starts the build of an item.
    pub(crate) fn begin(&mut self, id: u64) {
        let now = self.now();
        let Some(item) = self.items.get_mut(&id).filter(|item| item.state == ItemState::Waiting) else { return };
        let Some(job) = self.jobs.get_mut(&item.job) else { return };
        let number = job.next_number;
        job.next_number += 1;
        item.state = ItemState::Left(number);
        let build = Build {
            item: id,
            user: item.user.clone(),
            parameters: item.parameters.clone(),
            timestamp: now,
            result: job.ends_with.clone(),
            ..Build::default()
        };
        job.builds.insert(number, build);
    }

    /// Starts the builds of all items that wait.
    pub(crate) fn begin_all(&mut self) {
        let ids: Vec<u64> = self.items.keys().copied().collect();
        ids.into_iter().for_each(|id| self.begin(id));
    }

    pub(crate) fn build(&mut self, job: &str, number: u64) -> Option<&mut Build> {
        self.jobs.get_mut(job)?.builds.get_mut(&number)
    }

    /// Ends a build.
    pub(crate) fn end(&mut self, job: &str, number: u64, result: &str) {
        let now = self.now();
        if let Some(build) = self.build(job, number) {
            build.result = Some(result.to_owned());
            build.duration = (now - build.timestamp).max(1);
        }
    }

    /// Opens a session with a crumb. Returns the cookie and the crumb.
    pub(crate) fn open_session(&mut self) -> (String, String) {
        self.next_session += 1;
        let (cookie, crumb) = (format!("session-{}", self.next_session), format!("crumb-{}", self.next_session));
        self.sessions.insert(cookie.clone(), crumb.clone());
        (cookie, crumb)
    }
}
