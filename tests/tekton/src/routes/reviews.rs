//! The reviews of the own user: who it is, and what it may do.

use axum::{
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};

use super::{Call, status};

impl Call<'_> {
    pub(super) fn review(&self) -> Response {
        let Ok(mut review) = serde_json::from_slice::<Value>(&self.body) else {
            return status(400, "BadRequest", "the object provided is unrecognized");
        };
        if self.resource == "selfsubjectreviews" {
            if self.shared.data().denied.contains(&("create".to_owned(), self.resource.clone(), String::new())) {
                return status(404, "NotFound", "the server could not find the requested resource");
            }
            let user = json!({ "username": self.user.name, "groups": self.user.groups });
            review["status"] = json!({ "userInfo": user });
        } else {
            let attributes = &review["spec"]["resourceAttributes"];
            let text = |name: &str| attributes[name].as_str().unwrap_or_default();
            let resource = match text("subresource") {
                "" => text("resource").to_owned(),
                subresource => format!("{}/{subresource}", text("resource")),
            };
            let allowed = self.is_allowed(text("verb"), &resource, text("namespace"));
            review["status"] = json!({ "allowed": allowed });
        }
        (StatusCode::CREATED, axum::Json(review)).into_response()
    }
}
