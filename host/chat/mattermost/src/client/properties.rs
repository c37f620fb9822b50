//! The properties of a post (`props`). A post can have many, and any member can choose them.

use std::{borrow::Cow, collections::BTreeMap, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, Visitor},
};
use serde_json::value::RawValue;

use super::json::text;
use crate::convert::KEY_PROPERTY;

/// The properties of a post that the bot uses.
const PROPERTIES: [&str; 8] =
    ["from_bot", "from_plugin", "from_oauth_app", "from_webhook", "addedUserId", "userId", "deleteBy", KEY_PROPERTY];

/// The properties of a post whose names are in [`PROPERTIES`] and whose values are texts or booleans. A boolean is
/// stored as the text `true` or `false`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Properties(BTreeMap<&'static str, String>);

impl Properties {
    /// Parses the properties of a post. A value that is not an object has none. Returns `None` for a malformed object.
    pub(crate) fn read(json: &str) -> Option<Self> {
        if json.starts_with('{') { serde_json::from_str(json).ok() } else { Some(Self::default()) }
    }

    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// Returns the approximate size in memory, in bytes.
    pub(crate) fn size(&self) -> usize {
        self.0.values().map(|value| value.len() + size_of::<String>() * 2).sum()
    }
}

impl<'de> Deserialize<'de> for Properties {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct PropertiesVisitor;

        impl<'de> Visitor<'de> for PropertiesVisitor {
            type Value = Properties;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the properties of a post")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Properties, A::Error> {
                let mut properties = BTreeMap::new();
                while let Some(name) = map.next_key::<Cow<'_, str>>()? {
                    let Some(name) = PROPERTIES.into_iter().find(|known| *known == name) else {
                        map.next_value::<IgnoredAny>()?;
                        continue;
                    };
                    let value = map.next_value::<&RawValue>()?.get();
                    let boolean = || ["true", "false"].contains(&value).then(|| value.to_owned());
                    properties.extend(text(value).or_else(boolean).map(|value| (name, value)));
                }
                Ok(Properties(properties))
            }
        }

        deserializer.deserialize_map(PropertiesVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_properties_that_the_bot_uses_are_stored() {
        let many: String = (0..10_000).map(|number| format!(r#""x{number}": "y","#)).collect();
        let props = format!(r#"{{ {many} "deleteBy": "bob", "from_webhook": true, "userId": [7] }}"#);
        let props = Properties::read(&props).expect("an object");
        assert_eq!((props.get("deleteBy"), props.get("from_webhook")), (Some("bob"), Some("true")));
        assert_eq!((props.get("userId"), props.get("x7")), (None, None));
        assert!(props.size() < 1_000, "{}", props.size());
        assert_eq!(Properties::read("null"), Some(Properties::default()));
        assert_eq!(Properties::read(r#"{ "\ud800": 1 }"#), None);
    }
}
