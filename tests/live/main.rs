//! The scenario list against real FusionPBX servers.
//!
//! It runs where `TENANTD_LIVE_PBX_URL`, `TENANTD_LIVE_PBX_USER` (a superadmin as `user@domain`) and
//! `TENANTD_LIVE_PBX_PASSWORD` are set, with `TENANTD_LIVE_PBX_CA_FILE` or `TENANTD_LIVE_PBX_FINGERPRINT` for a server
//! whose certificate no system root vouches for. Elsewhere each scenario is ignored, and says so.
//!
//! `TENANTD_LIVE_PBX_URL` may name several servers, separated by blanks or commas; the other variables then have one
//! value for all of them, or one for each. Each scenario runs on each server with SQLite and with PostgreSQL, one at a
//! time on a server, and a table of all of them is printed at the end, and written as Markdown to the file that
//! `TENANTD_LIVE_TABLE` names. A trial is called `scenario::host:port::database`, so a filter can choose any of these.
//!
//! Scenarios that need a second server, for moves, take the next one of the list, or the one that
//! `TENANTD_LIVE_PBX2_URL`, `_USER`, `_PASSWORD`, `_CA_FILE` and `_FINGERPRINT` name; without one they leave that part
//! out. `TENANTD_LIVE_TOTP_SECRET` is the secret of the account's second factor, in base 32: with it the whole suite
//! signs in with codes, and the scenarios of the second factor run. `TENANTD_LIVE_OPEN_SESSION_MINUTES` is for how long
//! an open session is watched after its tenant was disabled (none unless it is set).
//!
//! Every domain that it makes begins with `tenantd-live-` and is removed at the end, where the account may delete
//! domains. An operator's browser, which shares nothing with tenantd's client, looks whether it is all true.

mod browser;
mod captures;
mod command;
#[path = "../common/mod.rs"]
mod common;
mod domains;
mod failures;
mod lifecycle;
mod relay;
mod request_counts;
mod second_factor;
mod servers;
mod sessions;
mod site;
mod table;
mod trials;
mod users;

use std::process::ExitCode;
use std::sync::Arc;

use libtest_mimic::Arguments;
use servers::Servers;
use table::Table;
use trials::Scenario;

/// In the order of the table.
const SCENARIOS: &[Scenario] = &[
    lifecycle::ten_tenants_there_and_back::SCENARIO,
    domains::an_unmanaged_domain_is_held_until_the_file_says_adopt::SCENARIO,
    domains::drift_is_put_right_or_only_shown::SCENARIO,
    domains::of_two_domains_with_one_name_only_our_own_is_touched::SCENARIO,
    domains::a_name_that_is_taken_after_the_plan_is_neither_created_nor_renamed_onto::SCENARIO,
    domains::an_idle_pass_costs_a_few_requests_and_no_change::SCENARIO,
    users::a_web_user_stays_out_while_the_tenant_is_disabled_and_its_cidr_entries_come_back_exactly::SCENARIO,
    users::a_removed_tenants_user_stays_out_and_gets_in_again_when_the_file_comes_back::SCENARIO,
    users::users_made_on_the_pbx_arrive_and_after_a_move_they_are_those_of_the_new_instance::SCENARIO,
    failures::an_unreadable_server_is_reported_in_one_line_and_holds_only_its_own_tenants::SCENARIO,
    failures::where_every_answer_is_lost_every_write_is_still_done_once::SCENARIO,
    failures::the_check_of_the_account_names_missing_permissions::SCENARIO,
    failures::several_sessions_work_side_by_side_and_each_tenant_is_made_once::SCENARIO,
    sessions::a_session_that_was_open_at_a_disable_can_do_what_tenantd_says::SCENARIO,
    captures::a_capture_reads_back_as_the_pages_and_contains_no_personal_data::SCENARIO,
    second_factor::a_code_is_given_at_every_sign_in_in_every_session::SCENARIO,
    second_factor::a_wrong_or_missing_secret_is_reported_in_one_line_and_not_retried::SCENARIO,
];

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    let servers = match Servers::of_environment() {
        Ok(servers) => Arc::new(servers),
        Err(problem) => {
            site::log(&problem);
            return ExitCode::from(2);
        }
    };
    // Each server has a trial to run; more would wait for their turn.
    arguments.test_threads = arguments.test_threads.or(Some(servers.listed().len().max(1)));
    let table = Arc::new(Table::new(SCENARIOS.iter().map(|scenario| scenario.name).collect()));
    let conclusion = libtest_mimic::run(&arguments, trials::trials(SCENARIOS, &servers, &table));
    site::sweep_all(&servers);
    if let Some(text) = table.markdown(&servers.titles()) {
        site::log(&text);
    }
    conclusion.exit_code()
}
