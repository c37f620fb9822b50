//! The macro that adds a WIT package besides the contract to a plugin.

/// Generates the imports of a WIT package that a capability of the host provides.
///
/// Takes the options of [`wit_bindgen::generate!`](crate::wit_bindgen::generate) in braces: `path` with the folders of the package
/// and of the packages it uses, and `world` with a world that only imports. It adds the options that the SDK needs:
/// the contract's `types` are this crate's [`types`](crate::types), so an `error` of the package is an [`Error`](crate::Error).
///
/// ```ignore
/// wardroom_guest::import!({
///     path: "wit",
///     world: "acme:tickets/imports",
/// });
/// ```
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
