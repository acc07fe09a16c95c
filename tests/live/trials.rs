//! Scenarios, and a trial of each on each server and database.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Instant;

use libtest_mimic::{Completion, Failed, Trial};

use super::common::harness::Backend;
use super::request_counts::{self, Counts};
use super::servers::{Servers, WANTED};
use super::site::{self, Live};
use super::table::{Cell, Table, name_of};

pub type Body<'a> = Pin<Box<dyn Future<Output = ()> + 'a>>;

/// What a scenario needs besides a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needs {
    Nothing,
    /// It does more where there is a second server.
    Second,
    /// An account with a second factor.
    Totp,
}

#[derive(Clone, Copy)]
pub struct Scenario {
    pub name: &'static str,
    pub needs: Needs,
    pub body: for<'a> fn(&'a mut Live) -> Body<'a>,
}

/// The scenario's body, to be run on each server and database. `needs` is one of [`Needs`].
#[macro_export]
macro_rules! live {
    (async fn $name:ident(mut $live:ident) $body:block) => {
        $crate::live! { Nothing: async fn $name(mut $live) $body }
    };
    ($needs:ident: async fn $name:ident(mut $live:ident) $body:block) => {
        pub mod $name {
            #[allow(unused_imports, reason = "a short scenario needs none")]
            use super::*;

            async fn scenario($live: &mut $crate::site::Live) $body

            pub const SCENARIO: $crate::trials::Scenario = $crate::trials::Scenario {
                name: stringify!($name),
                needs: $crate::trials::Needs::$needs,
                body: |live| Box::pin(scenario(live)),
            };
        }
    };
}

const BACKENDS: [Backend; 2] = [Backend::Sqlite, Backend::Postgres];

/// Trials named `scenario::host:port::database`, so that a filter can choose any of the three. Without a server each
/// scenario has one that is ignored.
pub fn trials(scenarios: &[Scenario], servers: &Arc<Servers>, table: &Arc<Table>) -> Vec<Trial> {
    let mut trials = Vec::new();
    for scenario in scenarios {
        if servers.listed().is_empty() {
            trials.push(Trial::ignorable_test(scenario.name, || Ok(Completion::ignored_with(WANTED))));
        }
        for backend in BACKENDS {
            for (at, server) in servers.listed().iter().enumerate() {
                let database = name_of(backend).to_lowercase();
                let name = format!("{}::{}::{database}", scenario.name, server.site.address());
                let (scenario, servers, table) = (*scenario, servers.clone(), table.clone());
                trials.push(Trial::ignorable_test(name, move || {
                    try_it(scenario, backend, at, &servers, &table)
                }));
            }
        }
    }
    trials
}

fn try_it(
    scenario: Scenario,
    backend: Backend,
    at: usize,
    servers: &Servers,
    table: &Table,
) -> Result<Completion, Failed> {
    let put = |cell| {
        table.put(scenario.name, at, backend, cell);
        table.save(&servers.titles());
    };
    let ignored = |reason: &str| {
        put(Cell::Ignored(reason.to_owned()));
        Ok(Completion::ignored_with(reason))
    };
    if scenario.needs == Needs::Totp && servers.listed()[at].site.totp.is_none() {
        return ignored("no TENANTD_LIVE_TOTP_SECRET");
    }
    let turn = servers.take(at, scenario.needs == Needs::Second);
    let started = Instant::now();
    let counts = Arc::new(Counts::default());
    request_counts::count_here(&counts);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .on_thread_start(move || request_counts::count_here(&counts))
        .build()?;
    let ran =
        std::panic::catch_unwind(AssertUnwindSafe(|| runtime.block_on(site::run(&scenario, backend, &turn))));
    match ran {
        Ok(Some(time)) => {
            put(Cell::Passed(time));
            Ok(Completion::Completed)
        }
        Ok(None) => ignored("PostgreSQL (initdb, pg_ctl) is not installed"),
        Err(panic) => {
            put(Cell::Failed(started.elapsed()));
            std::panic::resume_unwind(panic)
        }
    }
}
