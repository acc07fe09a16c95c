//! The proof that the simulation finds bugs: each of those that are put in on purpose, within so many seeds.
//!
//! ```text
//! cargo test --features sabotage --test simulation -- --nocapture sabotage
//! ```

use tenantd::sabotage::{Bug, choose};

use crate::live;
use crate::template::Template;

/// How many seeds may pass before a bug is found.
const SEEDS: u64 = 600;

#[test]
fn every_bug_put_in_on_purpose_is_found() {
    let template = Template::new();
    let mut missed = Vec::new();
    for bug in Bug::ALL {
        choose(Some(bug));
        let found = (0..SEEDS).find_map(|seed| live(seed, false, &template).0.map(|what| (seed, what)));
        choose(None);
        match found {
            Some((seed, what)) => println!("{bug:?}: seed {seed}: {what}"),
            None => missed.push(bug),
        }
    }
    assert!(missed.is_empty(), "not found within {SEEDS} seeds: {missed:?}");
}
