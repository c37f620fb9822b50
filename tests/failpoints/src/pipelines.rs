//! The crash points around the calls of pipeline systems.

use async_trait::async_trait;
use wardroom_tests::hooked::PipelinesHooks;

use crate::points::Points;

/// The methods with crash points. A restart does not depend on the other methods.
const METHODS: [&str; 4] = ["start", "state", "ended", "cancel"];

#[async_trait]
impl PipelinesHooks for &'static Points {
    async fn before(&self, method: &'static str) {
        if METHODS.contains(&method) {
            self.reach(&format!("before {method}"));
        }
    }

    async fn after(&self, method: &'static str) {
        if METHODS.contains(&method) {
            self.reach(&format!("after {method}"));
        }
    }
}
