//! Hostile guests that use much memory: one, and many at once.

use anyhow::{Result, ensure};

use super::{Attack, short};

#[test]
fn a_memory_bomb_is_stopped() -> Result<()> {
    let attack = Attack::run("bomb", "", &["attack", "attack"])?;
    attack.contains("`attack` was stopped: it used more than 32 MiB of memory.")?;
    attack.nothing_done()
}

#[test]
fn many_concurrent_memory_bombs_do_not_kill_the_host() -> Result<()> {
    let attack = Attack::run("bomb", "limits = { memory_mib = 4 }\n", &["attack &"; 20])?;
    attack.nothing_done()
}

#[test]
fn many_large_guests_stay_within_the_memory_budget() -> Result<()> {
    // Without the budget, the guests of all jobs together would have more than a gibibyte.
    let attack = Attack::run("large", "[limits]\nmemory_mib = 128\n", &["attack &"; 40])?;
    ensure!(attack.said.matches("attack: succeeded").count() == 40, "{}", short(&attack.said));
    attack.nothing_done()
}
