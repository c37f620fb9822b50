//! The macro [`import!`](crate::import), which lets a plugin call another WIT package.

/// Generates the imports of a WIT package that a capability of the host provides.
///
/// The macro takes the options of [`wit_bindgen::generate!`](crate::wit_bindgen::generate) in braces: `path`, the
/// folders of the package and of the packages that it uses, and `world`, a world that only imports. The macro adds the
/// options that the SDK needs. It maps the contract's `types` to the SDK's [`types`](crate::types), so the package's
/// `error` is an [`Error`](crate::Error).
///
/// ```no_run
/// mod bindings {
///     wardroom_guest::import!({
///         path: "wit",
///         world: "acme:tickets/imports",
///         inline: "
///             package acme:tickets@0.1.0;
///             interface tickets {
///                 use wardroom:plugin/types@0.1.0.{error};
///                 count: func(query: string) -> result<u32, error>;
///             }
///             world imports {
///                 import tickets;
///             }
///         ",
///     });
/// }
///
/// use bindings::acme::tickets::tickets;
/// use wardroom_guest::{Failure, Reply};
///
/// fn count(query: &str) -> Result<Reply, Failure> {
///     Ok(Reply::new(format!("{} tickets found.", tickets::count(query)?)))
/// }
/// # fn main() {}
/// ```
///
/// A package in files needs no `inline`; the SDK's README shows the layout.
#[macro_export]
macro_rules! import {
    ({ $($options:tt)* }) => {
        $crate::wit_bindgen::generate!({
            runtime_path: "::wardroom_guest::wit_bindgen::rt",
            with: { "wardroom:plugin/types@0.1.0": ::wardroom_guest::types },
            generate_all,
            $($options)*
        });
    };
}
