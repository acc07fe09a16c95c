//! Proves that the simulation finds bugs: each bug that is put in on purpose, within a number of seeds.
//!
//! ```text
//! cargo test --features sabotage --test simulation -- --nocapture sabotage
//! ```

use tenantd::sabotage::{Bug, choose};

use crate::run_seed;
use crate::template::Template;

/// The number of seeds within which each bug must be found.
const SEEDS: u64 = 600;

#[test]
fn every_bug_put_in_on_purpose_is_found() {
    let template = Template::new();
    let mut missed = Vec::new();
    for bug in Bug::ALL {
        choose(Some(bug));
        let found = (0..SEEDS).find_map(|seed| run_seed(seed, false, &template).0.map(|what| (seed, what)));
        choose(None);
        match found {
            Some((seed, what)) => println!("{bug:?}: seed {seed}: {what}"),
            None => missed.push(bug),
        }
    }
    assert!(missed.is_empty(), "not found within {SEEDS} seeds: {missed:?}");
}
