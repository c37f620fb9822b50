//! What `wit-bindgen` makes of `wit/`: the contract as Rust types and functions.
//!
//! Invariant: nothing is written by hand here, so a plugin cannot speak anything but the contract.
//! A function that a plugin does not call is not in its imports.
//! Not here: what an author sees; [`crate`] re-exports these under shorter names.

#![allow(missing_docs, unsafe_code, unreachable_pub, clippy::allow_attributes_without_reason, reason = "generated")]

wit_bindgen::generate!({
    path: "wit",
    world: "plugin",
    generate_all,
    runtime_path: "::wardroom_guest::wit_bindgen::rt",
    default_bindings_module: "::wardroom_guest::bindings",
    export_macro_name: "export_world",
    pub_export_macro: true,
});
