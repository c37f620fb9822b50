//! The contract's side of `store`.

use crate::{
    access::Attribute,
    capability::{Attributes, HostCall, Invocation, call::problem},
    plugin::bindings::{
        store::{Item, Key, Prefix},
        types,
    },
    port::store::Write,
};

/// The longest key, in bytes.
const LONGEST_KEY: usize = 512;
/// The largest value, in bytes.
const LARGEST_VALUE: usize = 64 * 1024;
/// The most bytes of one listing.
const LARGEST_LIST: usize = 1 << 20;
/// The most items of one listing.
const MOST_ITEMS: u32 = 1000;

fn checked(name: &str) -> Result<(), types::Error> {
    if name.is_empty() || name.len() > LONGEST_KEY {
        return Err(problem("invalid", format!("a key has 1 to {LONGEST_KEY} bytes, and this has {}", name.len())));
    }
    Ok(())
}

fn key_attribute(name: &str) -> Attributes {
    Attributes::from([(Attribute::Key, vec![name.to_owned()])])
}

/// `store.get`
pub(crate) struct Get;

impl HostCall for Get {
    type Params = (Key,);
    type Answer = Option<Item>;
    type Error = types::Error;

    async fn attributes(_: &Invocation, (key,): &(Key,)) -> Attributes {
        key_attribute(&key.name)
    }

    async fn perform(invocation: &mut Invocation, (key,): &(Key,)) -> Result<Option<Item>, types::Error> {
        checked(&key.name)?;
        let value = invocation.shared().store.value(invocation.plugin(), &key.name).await;
        let value = value.map_err(|error| problem("unavailable", error.to_string()))?;
        Ok(value.map(|value| Item { name: key.name.clone(), value }))
    }
}

/// `store.list`
pub(crate) struct List;

impl HostCall for List {
    type Params = (Prefix,);
    type Answer = Vec<Item>;
    type Error = types::Error;

    async fn perform(invocation: &mut Invocation, (prefix,): &(Prefix,)) -> Result<Vec<Item>, types::Error> {
        let limit = prefix.limit.clamp(1, MOST_ITEMS);
        let values = invocation.shared().store.values(invocation.plugin(), &prefix.name, limit).await;
        let values = values.map_err(|error| problem("unavailable", error.to_string()))?;
        let bytes: usize = values.iter().map(|(name, value)| name.len() + value.len()).sum();
        if bytes > LARGEST_LIST {
            return Err(problem(
                "too-large",
                format!("these values have {bytes} bytes, at most {LARGEST_LIST} are listed"),
            ));
        }
        Ok(values.into_iter().map(|(name, value)| Item { name, value }).collect())
    }
}

/// `store.set`
pub(crate) struct Set;

impl HostCall for Set {
    type Params = (Item,);
    type Answer = ();
    type Error = types::Error;

    async fn attributes(_: &Invocation, (item,): &(Item,)) -> Attributes {
        key_attribute(&item.name)
    }

    async fn perform(invocation: &mut Invocation, (item,): &(Item,)) -> Result<(), types::Error> {
        checked(&item.name)?;
        if item.value.len() > LARGEST_VALUE {
            let message = format!("a value has at most {LARGEST_VALUE} bytes, and this has {}", item.value.len());
            return Err(problem("invalid", message));
        }
        let plugin = invocation.plugin().to_owned();
        invocation.also_write(Write::Set { plugin, key: item.name.clone(), value: item.value.clone() });
        Ok(())
    }
}

/// `store.delete`
pub(crate) struct Delete;

impl HostCall for Delete {
    type Params = (Key,);
    type Answer = ();
    type Error = types::Error;

    async fn attributes(_: &Invocation, (key,): &(Key,)) -> Attributes {
        key_attribute(&key.name)
    }

    async fn perform(invocation: &mut Invocation, (key,): &(Key,)) -> Result<(), types::Error> {
        checked(&key.name)?;
        let plugin = invocation.plugin().to_owned();
        invocation.also_write(Write::Delete { plugin, key: key.name.clone() });
        Ok(())
    }
}
