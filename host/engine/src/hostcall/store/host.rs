//! The host calls `store.get`, `store.list`, `store.set` and `store.delete`.

use crate::{
    base::check_visible,
    hostcall::{
        host_call::{HostCall, problem, unavailable},
        invocation::Invocation,
    },
    model::{Attribute, Attributes},
    plugin::bindings::{
        store::{Item, Key, Prefix},
        types,
    },
    store::Write,
};

/// The maximum length of a key in a plugin's store, in bytes.
const MAX_KEY_LENGTH: usize = 512;
/// The maximum size of a value in a plugin's store, in bytes.
const MAX_VALUE_SIZE: usize = 64 * 1024;
/// The maximum total size of keys and values in one answer of `store.list`, in bytes.
const MAX_LIST_SIZE: usize = 1 << 20;
/// The maximum number of values of one plugin.
const MAX_VALUES: u64 = 10_000;
/// The maximum total size of the keys and values of one plugin, in bytes.
const MAX_TOTAL_SIZE: u64 = 16 << 20;
/// The maximum number of keys in one answer of `store.list`.
const MAX_ITEMS: u32 = 1000;

fn check_key(name: &str) -> Result<(), types::Error> {
    if name.is_empty() || name.len() > MAX_KEY_LENGTH {
        let message = format!("a key must have 1 to {MAX_KEY_LENGTH} bytes, but the given key has {}", name.len());
        return Err(problem("invalid", message));
    }
    Ok(())
}

/// Checks that a plugin stays within its quota when it stores a value.
///
/// # Errors
/// `limit` if the plugin would exceed [`MAX_VALUES`] or [`MAX_TOTAL_SIZE`]; `unavailable` if the store is unavailable. A
/// value that is not larger than the value that it replaces is never refused.
async fn check_quota(invocation: &Invocation, item: &Item) -> Result<(), types::Error> {
    let (store, plugin) = (&invocation.context().store, invocation.plugin());
    let (count, bytes) = store.values_size(plugin).await.map_err(unavailable)?;
    let old = store.value(plugin, &item.name).await.map_err(unavailable)?;
    let (count, grows) = match &old {
        Some(old) => (count, item.value.len() > old.len()),
        None => (count + 1, true),
    };
    let old = old.map_or(0, |old| item.name.len() + old.len()) as u64;
    let bytes = bytes.saturating_sub(old) + (item.name.len() + item.value.len()) as u64;
    if grows && (count > MAX_VALUES || bytes > MAX_TOTAL_SIZE) {
        let message = format!("a plugin can store at most {MAX_VALUES} values with {MAX_TOTAL_SIZE} bytes in total");
        return Err(problem("limit", message));
    }
    Ok(())
}

fn key_attribute(name: &str) -> Attributes {
    Attributes::from([(Attribute::Key, vec![name.to_owned()])])
}

/// The host call `store.get`, which reads a value of the plugin.
pub(crate) struct Get;

impl HostCall for Get {
    type Params = (Key,);
    type Answer = Option<Item>;
    type Error = types::Error;

    async fn attributes(&self, _: &Invocation, (key,): &(Key,)) -> Attributes {
        key_attribute(&key.name)
    }

    async fn perform(&self, invocation: &mut Invocation, (key,): &(Key,)) -> Result<Option<Item>, types::Error> {
        check_key(&key.name)?;
        let stored = invocation.dry_run_state().and_then(|dry_run| dry_run.stored_values.get(&key.name).cloned());
        let value = match stored {
            Some(value) => value,
            None => invocation.context().store.value(invocation.plugin(), &key.name).await.map_err(unavailable)?,
        };
        Ok(value.map(|value| Item { name: key.name.clone(), value }))
    }
}

/// The host call `store.list`, which reads the plugin's values whose keys have a prefix.
pub(crate) struct List;

impl HostCall for List {
    type Params = (Prefix,);
    type Answer = Vec<Item>;
    type Error = types::Error;

    async fn perform(&self, invocation: &mut Invocation, (prefix,): &(Prefix,)) -> Result<Vec<Item>, types::Error> {
        let limit = prefix.limit.clamp(1, MAX_ITEMS);
        let changed = invocation.dry_run_state().map_or(0, |dry_run_state| dry_run_state.stored_values.len());
        let most = limit.saturating_add(u32::try_from(changed).unwrap_or(u32::MAX));
        let values = invocation.context().store.values(invocation.plugin(), &prefix.name, most).await;
        let mut values = values.map_err(unavailable)?;
        if let Some(dry_run_state) = invocation.dry_run_state() {
            let mut all: std::collections::BTreeMap<String, Option<Vec<u8>>> =
                values.into_iter().map(|(name, value)| (name, Some(value))).collect();
            let stored = dry_run_state.stored_values.iter().filter(|(name, _)| name.starts_with(&prefix.name));
            all.extend(stored.map(|(name, value)| (name.clone(), value.clone())));
            values = all.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
            values.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        }
        let bytes: usize = values.iter().map(|(name, value)| name.len() + value.len()).sum();
        if bytes > MAX_LIST_SIZE {
            let message = format!(
                "the listed keys and values have {bytes} bytes in total, but one answer can have at most \
                 {MAX_LIST_SIZE}; use a longer prefix or a smaller limit"
            );
            return Err(problem("too-large", message));
        }
        Ok(values.into_iter().map(|(name, value)| Item { name, value }).collect())
    }
}

/// The host call `store.set`, which stores a value of the plugin.
pub(crate) struct Set;

impl HostCall for Set {
    type Params = (Item,);
    type Answer = ();
    type Error = types::Error;

    async fn attributes(&self, _: &Invocation, (item,): &(Item,)) -> Attributes {
        key_attribute(&item.name)
    }

    async fn perform(&self, invocation: &mut Invocation, (item,): &(Item,)) -> Result<(), types::Error> {
        check_key(&item.name)?;
        // Reports show keys. Only new keys are checked, so that a plugin can delete a key of an earlier build.
        if let Err(reason) = check_visible(&item.name) {
            return Err(problem("invalid", format!("the key is not valid: {reason}")));
        }
        let size = item.value.len();
        if size > MAX_VALUE_SIZE {
            let message = format!("a value can have at most {MAX_VALUE_SIZE} bytes, but the given value has {size}");
            return Err(problem("invalid", message));
        }
        check_quota(invocation, item).await?;
        let plugin = invocation.plugin().to_owned();
        invocation.writes.push(Write::SetValue { plugin, key: item.name.clone(), value: item.value.clone() });
        Ok(())
    }
}

/// The host call `store.delete`, which deletes a value of the plugin.
pub(crate) struct Delete;

impl HostCall for Delete {
    type Params = (Key,);
    type Answer = ();
    type Error = types::Error;

    async fn attributes(&self, _: &Invocation, (key,): &(Key,)) -> Attributes {
        key_attribute(&key.name)
    }

    async fn perform(&self, invocation: &mut Invocation, (key,): &(Key,)) -> Result<(), types::Error> {
        check_key(&key.name)?;
        let plugin = invocation.plugin().to_owned();
        invocation.writes.push(Write::DeleteValue { plugin, key: key.name.clone() });
        Ok(())
    }
}
