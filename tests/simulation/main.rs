//! Plan, apply, journal, limits and store as they are, in one thread, against models of everything around them: the
//! PBXs, the clock, the directory and the people, with faults and deaths at every point.
//!
//! A seed tells the same story every time. More of them:
//!
//! ```text
//! TENANTD_SIM_SEEDS=100000 cargo test --release --test simulation -- --nocapture
//! TENANTD_SIM_SEED=4711 cargo test --test simulation -- --nocapture
//! ```

mod client;
mod directory;
mod faults;
mod life;
mod model_pbx;
mod off_limits;
mod peace;
mod person;
mod process;
mod properties;
#[cfg(feature = "sabotage")]
mod sabotage;
mod scenery;
mod sim;
mod template;
mod witness;
mod world;

use tenantd::observe::Rotation;

use faults::Faults;
use template::Template;
use world::{Daemons, World};

/// One seed from its first file to its last pass; what it violates, if anything, and its story.
fn live(seed: u64, told: bool, template: &Template) -> (Option<String>, String) {
    let mut world = World::new(seed, told, template);
    let passes = 8 + world.sim.lock().below(25);
    {
        let mut state = world.sim.lock();
        let files = state.below(8) + 1;
        world.directory.fill(files, &mut state);
    }
    for _ in 0..passes {
        world.live();
        let mut task = world.task();
        let dies = {
            let mut state = world.sim.lock();
            state.faults = Faults::drawn(&mut state);
            let most = state.pick(&[10, 40, 200]);
            let dies = if state.chance(0.2) { Some(state.below(most) as u64 + 1) } else { None };
            task.rotation = state.pick(&[Rotation::All, Rotation::All, Rotation::None]);
            task.policy.no_removals = state.chance(0.05);
            if state.chance(0.05) {
                task.policy.only.insert(directory::some_key(&mut state));
            }
            dies
        };
        let daemons = two_daemons(&mut world).unwrap_or(Daemons::One);
        world.pass(task, daemons, dies);
        if world.is_over() {
            break;
        }
    }
    if !world.is_over() {
        world.come_to_rest();
    }
    let state = world.sim.lock();
    (state.violation.clone(), state.story().to_owned())
}

/// Whether the lease changes hands in the middle of a pass, and how.
fn two_daemons(world: &mut World) -> Option<Daemons> {
    let mut state = world.sim.lock();
    if !state.chance(0.1) {
        return None;
    }
    Some(state.pick(&[Daemons::TakenOver, Daemons::StoppedAndResumed]))
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name)
        .ok()
        .map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is not a number: {text}")))
}

/// Lives a share of the seeds; tells the story of the first that violates a property.
fn share(part: u64, parts: u64) {
    let template = Template::new();
    if let Some(seed) = number("TENANTD_SIM_SEED") {
        if part == 0 {
            let (violated, story) = live(seed, true, &template);
            println!("{story}seed {seed}: {}", violated.unwrap_or_else(|| "nothing is violated".into()));
        }
        return;
    }
    let from = number("TENANTD_SIM_FROM").unwrap_or(0);
    let seeds = number("TENANTD_SIM_SEEDS").unwrap_or(600);
    let begun = std::time::Instant::now();
    let mut lived = 0;
    let survey = std::env::var_os("TENANTD_SIM_SURVEY").is_some();
    for seed in (from..from + seeds).filter(|seed| seed % parts == part) {
        if let (Some(what), _) = live(seed, false, &template) {
            if survey {
                println!("seed {seed}: {what}");
                continue;
            }
            let (_, story) = live(seed, true, &template);
            panic!(
                "{story}seed {seed}: {what}\nagain: TENANTD_SIM_SEED={seed} cargo test --test simulation -- --nocapture"
            );
        }
        lived += 1;
    }
    println!("{lived} seeds without a violation in {:.1} s", begun.elapsed().as_secs_f64());
}

#[test]
fn first_share_of_the_seeds() {
    share(0, 2);
}

#[test]
fn second_share_of_the_seeds() {
    share(1, 2);
}
