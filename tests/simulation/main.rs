//! The real plan, apply, journal, limits and store in one thread, against models of everything around them: the
//! PBXs, the clock, the directory and the operators, with faults and crashes at every point.
//!
//! A seed has the same events every time. More seeds, or one with its log:
//!
//! ```text
//! TENANTD_SIM_SEEDS=100000 cargo test --release --test simulation -- --nocapture
//! TENANTD_SIM_SEED=4711 cargo test --test simulation -- --nocapture
//! ```

mod convergence;
mod directory;
mod events;
mod faults;
mod model_client;
mod model_pbx;
mod must_not_change;
mod operator;
mod pass_checks;
mod process;
mod random_config;
mod request_checks;
#[cfg(feature = "sabotage")]
mod sabotage;
mod simulation;
mod state;
mod template;

use tenantd::observe::Rotation;

use faults::Faults;
use simulation::{Daemons, Simulation};
use template::Template;

/// Runs one seed; returns the violated property, if any, and its log.
fn run_seed(seed: u64, with_log: bool, template: &Template) -> (Option<String>, String) {
    run_counted(seed, with_log, template, &mut 0)
}

/// As [`run_seed`]; counts the passes for the tenants whose files changed.
fn run_counted(
    seed: u64,
    with_log: bool,
    template: &Template,
    narrow_passes: &mut usize,
) -> (Option<String>, String) {
    let mut simulation = Simulation::new(seed, with_log, template);
    let passes = 8 + simulation.shared.lock().below(25);
    {
        let mut state = simulation.shared.lock();
        let files = state.below(8) + 1;
        simulation.directory.is_calm = state.chance(0.3);
        simulation.directory.fill(files, &mut state);
    }
    for _ in 0..passes {
        simulation.events_between_passes();
        let mut task = simulation.task();
        let crash_after = {
            let mut state = simulation.shared.lock();
            state.faults = Faults::drawn(&mut state);
            let most = state.pick(&[10, 40, 200]);
            let crash_after = if state.chance(0.2) { Some(state.below(most) as u64 + 1) } else { None };
            task.rotation =
                state.pick(&[Rotation::All, Rotation::oldest(1), Rotation::oldest(0), Rotation::None]);
            task.policy.no_removals = state.chance(0.05);
            if state.chance(0.05) {
                task.policy.only.insert(directory::some_key(&mut state));
            }
            crash_after
        };
        if task.policy.only.is_empty() && simulation.shared.lock().chance(0.5) {
            simulation.narrow(&mut task);
        }
        *narrow_passes += usize::from(task.instances.is_some());
        let daemons = two_daemons(&mut simulation).unwrap_or(Daemons::One);
        simulation.pass(task, daemons, crash_after);
        if simulation.is_over() {
            break;
        }
    }
    if !simulation.is_over() {
        simulation.converge();
    }
    let state = simulation.shared.lock();
    (state.violation.clone(), state.log_text().to_owned())
}

/// Whether another daemon takes the lease during a pass, and how.
fn two_daemons(simulation: &mut Simulation) -> Option<Daemons> {
    let mut state = simulation.shared.lock();
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

/// Runs a share of the seeds; prints the log of the first that violates a property.
fn share(part: u64, parts: u64) {
    let template = Template::new();
    if let Some(seed) = number("TENANTD_SIM_SEED") {
        if part == 0 {
            let (violated, log_text) = run_seed(seed, true, &template);
            println!("{log_text}seed {seed}: {}", violated.unwrap_or_else(|| "nothing is violated".into()));
        }
        return;
    }
    let from = number("TENANTD_SIM_FROM").unwrap_or(0);
    let seeds = number("TENANTD_SIM_SEEDS").unwrap_or(600);
    let started = std::time::Instant::now();
    let (mut passed, mut narrow_passes) = (0, 0);
    let survey = std::env::var_os("TENANTD_SIM_SURVEY").is_some();
    for seed in (from..from + seeds).filter(|seed| seed % parts == part) {
        if let (Some(what), _) = run_counted(seed, false, &template, &mut narrow_passes) {
            if survey {
                println!("seed {seed}: {what}");
                continue;
            }
            let (_, log_text) = run_seed(seed, true, &template);
            panic!(
                "{log_text}seed {seed}: {what}\nagain: TENANTD_SIM_SEED={seed} cargo test --test simulation -- --nocapture"
            );
        }
        passed += 1;
    }
    println!(
        "{passed} seeds without a violation in {:.1} s; {narrow_passes} passes were for some tenants alone",
        started.elapsed().as_secs_f64()
    );
    assert!(seeds < 100 || narrow_passes > 0, "no pass was for some tenants alone");
}

#[test]
fn first_share_of_the_seeds() {
    share(0, 2);
}

#[test]
fn second_share_of_the_seeds() {
    share(1, 2);
}
