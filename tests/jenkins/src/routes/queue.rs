//! The queue, and the executors.

use axum::{
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};

use super::{Call, builds::actions, error, not_found};
use crate::data::{Data, Item, ItemState};

const CANCEL: &str = "hudson.model.Item.Cancel";

impl Call<'_> {
    pub(crate) fn queue(&self) -> Response {
        let data = self.shared.data();
        let waiting = data.items.iter().filter(|(_, item)| item.state == ItemState::Waiting);
        // The newest item comes first.
        let items: Vec<Value> = waiting.rev().map(|(id, item)| self.describe_item(&data, *id, item)).collect();
        drop(data);
        self.json(json!({ "_class": "hudson.model.Queue", "discoverableItems": [], "items": items }))
    }

    pub(crate) fn queue_item(&self, id: &str) -> Response {
        let data = self.shared.data();
        let found =
            id.parse().ok().and_then(|id: u64| data.items.get(&id).map(|item| self.describe_item(&data, id, item)));
        drop(data);
        found.map_or_else(not_found, |body| self.json(body))
    }

    fn describe_item(&self, data: &Data, id: u64, item: &Item) -> Value {
        let class = match item.state {
            ItemState::Waiting => "hudson.model.Queue$BuildableItem",
            _ => "hudson.model.Queue$LeftItem",
        };
        let url = self.job_url(&item.job);
        let mut body = json!({
            "_class": class,
            "id": id,
            "url": format!("queue/item/{id}/"),
            "blocked": false,
            "buildable": item.state == ItemState::Waiting,
            "stuck": false,
            "inQueueSince": item.since,
            "why": Value::Null,
            "task": { "_class": "hudson.model.FreeStyleProject", "name": item.job.rsplit('/').next(), "url": url },
            "actions": actions(&item.user, &item.parameters),
        });
        match item.state {
            ItemState::Waiting => {
                let why = if item.why.is_empty() { data.held.clone().unwrap_or_default() } else { item.why.clone() };
                body["why"] = why.into();
            }
            ItemState::Left(number) => {
                body["cancelled"] = false.into();
                body["executable"] = json!({
                    "_class": "hudson.model.FreeStyleBuild", "number": number, "url": format!("{url}{number}/"),
                });
            }
            ItemState::Cancelled => body["cancelled"] = true.into(),
        }
        body
    }

    pub(crate) fn cancel_item(&self) -> Response {
        if !self.is_post {
            return error(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed");
        }
        if self.lacks(CANCEL) {
            return error(StatusCode::UNPROCESSABLE_ENTITY, "the item is not cancellable");
        }
        let mut data = self.shared.data();
        let item = self.parameter("id").and_then(|id| id.parse::<u64>().ok()).and_then(|id| data.items.get_mut(&id));
        match item {
            Some(item) if item.state == ItemState::Waiting => {
                item.state = ItemState::Cancelled;
                StatusCode::NO_CONTENT.into_response()
            }
            Some(_) => error(StatusCode::INTERNAL_SERVER_ERROR, "Could not cancel the item"),
            None => not_found(),
        }
    }

    pub(crate) fn executors(&self) -> Response {
        if self.shared.faults().hides_executors {
            return self.forbidden("hudson.model.Hudson.Read");
        }
        let data = self.shared.data();
        let (mut heavy, mut light) = (vec![json!({ "currentExecutable": Value::Null })], Vec::new());
        for (name, job) in &data.jobs {
            let url = self.job_url(name);
            for (number, build) in job.builds.iter().filter(|(_, build)| build.is_building()) {
                let current = json!({ "currentExecutable": {
                    "_class": "hudson.model.FreeStyleBuild", "number": number, "url": format!("{url}{number}/"),
                    "queueId": build.item,
                } });
                if job.is_pipeline { light.push(current) } else { heavy.push(current) }
            }
        }
        drop(data);
        self.json(json!({
            "_class": "hudson.model.ComputerSet",
            "computer": [{ "_class": "hudson.model.Hudson$MasterComputer", "executors": heavy, "oneOffExecutors": light }],
        }))
    }
}
