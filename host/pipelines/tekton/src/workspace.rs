//! Reads the volume of a workspace, `[app.NAME.deploy.ENVIRONMENT.workspaces.WORKSPACE]`.
//!
//! Source: Tekton's `pkg/apis/pipeline/v1/workspace_types.go` (`WorkspaceBinding`).

use serde_json::{Value, json};
use wardroom::base::{At, Key, Table, TableKeys};

use crate::names::is_name;

pub(crate) static KEYS: TableKeys = TableKeys {
    path: "app.NAME.deploy.ENVIRONMENT.workspaces.WORKSPACE",
    about: "The volume of one workspace. Exactly one of `claim`, `size`, `empty_dir`, `config_map` and `secret` is \
            required.",
    keys: &[
        Key::string("claim", "The name of a PersistentVolumeClaim."),
        Key::string("size", "The size of a new PersistentVolumeClaim for each run, for example `1Gi`."),
        Key::string("storage_class", "The storage class of the new PersistentVolumeClaim."),
        Key::boolean("empty_dir", "An empty folder of the pod. Each task has its own."),
        Key::string("config_map", "The name of a ConfigMap."),
        Key::string("secret", "The name of a Secret."),
        Key::string("sub_path", "A folder of the volume. Only with `claim` and `size`."),
    ],
};

/// Reads the name of a Kubernetes object.
pub(crate) fn read_name(table: &mut Table, key: &str, example: &str) -> Option<String> {
    let name = table.string(key)?;
    if !is_name(&name.value) {
        let message = format!("`{}.{key}` is not the name of a Kubernetes object", table.path());
        table.problem(&name.at, message, format!("{key} = \"{example}\""));
    }
    Some(name.value)
}

/// Reads the volume of a workspace: a workspace binding without its name.
pub(crate) fn read_workspace(table: &mut Table) -> Option<Value> {
    let at: At = table.at().clone();
    let claim = read_name(table, "claim", "cms-source");
    let size = table.string("size");
    let storage_class = read_name(table, "storage_class", "fast");
    let is_empty = table.boolean("empty_dir").is_some_and(|set| set.value);
    let config_map = read_name(table, "config_map", "cms");
    let secret = read_name(table, "secret", "cms-deploy");
    let sub_path = table.string("sub_path").map(|path| path.value);
    let has_claim = claim.is_some() || size.is_some();
    let has_class = storage_class.is_some();
    if has_class && size.is_none() {
        table.problem(&at, "`storage_class` is only allowed with `size`", "size = \"1Gi\"".to_owned());
    }
    let mut volumes = Vec::new();
    volumes.extend(claim.map(|name| json!({ "persistentVolumeClaim": { "claimName": name } })));
    volumes.extend(size.map(|size| {
        let mut spec = json!({
            "accessModes": ["ReadWriteOnce"], "resources": { "requests": { "storage": size.value } },
        });
        if let (Value::Object(spec), Some(class)) = (&mut spec, storage_class) {
            spec.insert("storageClassName".to_owned(), Value::String(class));
        }
        json!({ "volumeClaimTemplate": { "spec": spec } })
    }));
    volumes.extend(is_empty.then(|| json!({ "emptyDir": {} })));
    volumes.extend(config_map.map(|name| json!({ "configMap": { "name": name } })));
    volumes.extend(secret.map(|name| json!({ "secret": { "secretName": name } })));
    if volumes.len() != 1 {
        let message =
            format!("[{}] needs exactly one of `claim`, `size`, `empty_dir`, `config_map` and `secret`", table.path());
        table.problem(&at, message, "claim = \"cms-source\"".to_owned());
        return None;
    }
    let mut volume = volumes.pop()?;
    if let (Value::Object(volume), Some(path)) = (&mut volume, sub_path) {
        if !has_claim {
            table.problem(
                &at,
                "`sub_path` is only allowed with `claim` or `size`",
                "claim = \"cms-source\"".to_owned(),
            );
        }
        volume.insert("subPath".to_owned(), Value::String(path));
    }
    Some(volume)
}
