//! PostgreSQL as it is run: behind a pooler, with TLS, on several servers, and with a role that may do little. Every
//! server here is real, private to this process, and stopped with it.
//!
//! A test that lacks a program is ignored with the reason, and fails where the program is required.

#[path = "../common/mod.rs"]
mod common;
mod hosts;
mod pooler;
mod roles;
mod servers;
#[allow(dead_code, unused_macros, unused_imports, reason = "each test binary uses its own part")]
#[path = "../failures/site.rs"]
mod site;
mod tls;
mod words;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Failed, Trial};

use common::postgres::{REQUIRED, find_binaries};

/// Set where PgBouncer must not be missing (the gate does).
const PGBOUNCER_REQUIRED: &str = "TENANTD_TEST_REQUIRE_PGBOUNCER";

/// A program that tests need: whether it is there, and where it must be.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Needs {
    Postgres,
    Pooler,
}

impl Needs {
    fn missing(self) -> Option<(&'static str, &'static str)> {
        if find_binaries().is_none() {
            return Some(("initdb is not installed", REQUIRED));
        }
        (self == Self::Pooler && servers::pgbouncer().is_none())
            .then_some(("pgbouncer is not installed", PGBOUNCER_REQUIRED))
    }
}

fn trial(name: &str, needs: Needs, test: impl AsyncFnOnce() + Send + 'static) -> Trial {
    let missing = needs.missing();
    let run = move || {
        if let Some((what, required)) = missing {
            return Err(Failed::from(format!("{required} is set, and {what}")));
        }
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        runtime.unwrap().block_on(test());
        Ok(())
    };
    let trial = Trial::test(name, run);
    match missing {
        Some((what, required)) if std::env::var_os(required).is_none() => {
            trial.with_kind(what).with_ignored_flag(true)
        }
        _ => trial,
    }
}

/// The tests of these names, which are functions here.
macro_rules! trials {
    ($needs:ident: $($module:ident::$name:ident),* $(,)?) => {
        [$(trial(concat!(stringify!($module), "::", stringify!($name)), Needs::$needs, $module::$name)),*]
    };
}

fn main() -> ExitCode {
    let mut trials = Vec::from(trials![Pooler:
        pooler::every_command_works_through_a_transaction_pool,
        pooler::nothing_of_tenantd_stays_on_a_connection_that_others_get,
        pooler::leftover_session_settings_of_other_clients_do_not_matter,
        pooler::three_that_start_at_once_migrate_one_after_the_other,
        pooler::a_stand_by_takes_over_through_the_pool,
        pooler::three_that_apply_at_once_take_their_turns,
        pooler::a_statement_pool_is_refused_with_one_line,
        pooler::a_pool_of_one_connection_is_enough,
    ]);
    trials.extend(trials![Postgres:
        tls::each_sslmode_means_what_libpq_means_by_it,
        tls::another_machine_is_checked_unless_plain_text_is_asked_for_by_name,
        hosts::the_server_that_writes_is_found_among_several,
        hosts::a_stand_by_server_is_named_as_one,
        hosts::a_daemon_goes_on_after_a_failover,
        hosts::a_server_that_does_not_answer_is_given_up,
        roles::a_role_that_owns_one_schema_is_enough,
        roles::tables_in_another_schema_are_not_taken_for_none,
        roles::a_role_without_the_right_to_create_tables_gets_the_missing_statement,
        roles::a_limitation_of_the_database_is_noted_with_the_statement_that_reduces_it,
        roles::limits_of_an_earlier_version_are_taken_from_the_database_and_an_administrators_stay,
        words::an_error_names_host_port_user_and_database_and_never_the_password,
        words::an_empty_database_is_reported,
        words::a_lock_that_another_session_holds_is_named,
    ]);
    let mut arguments = Arguments::from_args();
    let threads = std::env::var("RUST_TEST_THREADS").ok().and_then(|text| text.parse().ok());
    arguments.test_threads = arguments.test_threads.or(threads);
    libtest_mimic::run(&arguments, trials).exit_code()
}
