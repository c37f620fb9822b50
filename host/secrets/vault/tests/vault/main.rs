//! Tests of secrets from Vault against a real OpenBao, whose program `WARDROOM_OPENBAO` names. `cargo xtask test` installs
//! it and sets the variable.

mod config;
mod connect;
mod harness;
mod http;
mod leases;
mod logins;
mod outages;
mod secrets;
mod tokens;
