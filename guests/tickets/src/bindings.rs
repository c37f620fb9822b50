//! The host calls of `acme:tickets`, generated from `wit/`.

#![allow(missing_docs, unsafe_code, unreachable_pub, clippy::allow_attributes_without_reason, reason = "generated")]

wardroom_guest::import!({
    path: ["../sdk/wit", "wit"],
    world: "acme:tickets/imports",
});
