//! A fuzzer for whatever reads text that others wrote: mutations of a corpus, the same ones for the same seed.
//!
//! Whatever it is given, a reader gives a valid value or an error that says where, within a second and without a
//! panic, and what it says about it is bounded. `cargo test` tries some thousands of inputs; longer runs:
//!
//! ```text
//! TENANTD_FUZZ_SECONDS=600 cargo test --release --test fuzz -- --nocapture
//! TENANTD_FUZZ_SEED=4711 cargo test --test fuzz -- --nocapture
//! ```
//!
//! An input that breaks a rule is saved, and named together with the seed.

mod corpus;
mod mutate;
mod targets;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use mutate::Mutator;

/// Inputs of each target that `cargo test` tries.
const INPUTS: u64 = 3_000;
/// The time that one input may take: a second where the program is optimised. Others share the machine.
const SLOW: Duration = if cfg!(debug_assertions) { Duration::from_secs(10) } else { Duration::from_secs(1) };

/// Reads an input and says which rule it broke.
type Target = fn(&[u8]) -> Result<(), String>;

fn number(name: &str) -> Option<u64> {
    std::env::var(name)
        .ok()
        .map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is not a number: {text}")))
}

fn broken_rule(target: Target, input: &[u8], slow: Duration) -> Option<String> {
    let started = Instant::now();
    let read = catch_unwind(AssertUnwindSafe(|| target(input)));
    let took = started.elapsed();
    match read {
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("");
            Some(format!("it panicked: {text}"))
        }
        Ok(Err(rule)) => Some(rule),
        // Once more: someone else may have had the processor.
        Ok(Ok(())) if took > slow => {
            let started = Instant::now();
            let _ = target(input);
            (started.elapsed() > slow).then(|| format!("it took {took:?}"))
        }
        Ok(Ok(())) => None,
    }
}

/// The smallest input found quickly that breaks a rule too.
fn smaller(target: Target, input: &[u8], slow: Duration) -> Vec<u8> {
    let mut best = input.to_vec();
    let started = Instant::now();
    let mut piece = best.len() / 2;
    while piece > 0 && started.elapsed() < Duration::from_secs(20) {
        let mut at = 0;
        while at < best.len() {
            let mut tried = best.clone();
            tried.drain(at..(at + piece).min(best.len()));
            if broken_rule(target, &tried, slow).is_some() {
                best = tried;
            } else {
                at += piece;
            }
        }
        piece /= 2;
    }
    best
}

fn fuzz(name: &str, target: Target, slow: Duration, seeds: Vec<Vec<u8>>, words: &[&str]) {
    let long = number("TENANTD_FUZZ_SECONDS").map(Duration::from_secs);
    let by_the_clock = || {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        since.as_secs() % 1_000_000_007
    };
    let seed = number("TENANTD_FUZZ_SEED").unwrap_or_else(|| if long.is_some() { by_the_clock() } else { 1 });
    println!("{name}: seed {seed}, {} files in the corpus", seeds.len());
    let started = Instant::now();
    let mutator = Mutator::new(seeds, words);
    let mut tried = 0;
    let goes_on = |tried: u64| long.map_or(tried < INPUTS, |long| started.elapsed() < long);
    while goes_on(tried) {
        let input = mutator.input(seed, tried);
        if let Some(rule) = broken_rule(target, &input, slow) {
            let small = smaller(target, &input, slow);
            let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("fuzz-{name}-{seed}-{tried}"));
            std::fs::write(&path, &small).unwrap();
            panic!(
                "{name}: {rule}\nthe input ({} bytes): {:?}\nsaved as {}\nagain: TENANTD_FUZZ_SEED={seed} cargo test \
                 --test fuzz {name}",
                small.len(),
                String::from_utf8_lossy(&small[..small.len().min(400)]),
                path.display()
            );
        }
        tried += 1;
    }
    println!("{name}: {tried} inputs in {:.1} s, no rule broken", started.elapsed().as_secs_f64());
}

#[test]
fn tenant_file() {
    fuzz("tenant_file", targets::tenant_file, SLOW, corpus::tenant_files(), corpus::YAML_WORDS);
}

#[test]
fn configuration() {
    fuzz("configuration", targets::configuration, SLOW, corpus::configurations(), corpus::YAML_WORDS);
}

#[test]
fn pbx_pages() {
    // It is read as every page there is, and each reading is timed there.
    fuzz("pbx_pages", targets::pbx_pages, Duration::MAX, corpus::pages(), corpus::PAGE_WORDS);
}

#[test]
fn plan_words() {
    fuzz("plan_words", targets::plan_words, SLOW, corpus::words(), corpus::WORDS);
}

/// Mutations of what no one could read to begin with would show nothing.
#[test]
fn the_corpus_is_understood() {
    use tenantd::fusionpbx::fuzzing::read_as_every_page;
    let pages = corpus::pages();
    let unread: Vec<&str> = pages
        .iter()
        .map(|page| std::str::from_utf8(page).unwrap())
        .filter(|page| read_as_every_page(page) == 0)
        .collect();
    assert!(unread.len() <= 1, "{} of {} pages: {unread:#?}", unread.len(), pages.len());
}
