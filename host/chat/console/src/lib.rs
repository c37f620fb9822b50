//! wardroom-console
