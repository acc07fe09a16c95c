//! How tools of this kind have failed, row by row, each with the tests that show that this one does not. Most run the
//! real program against stand-in PBXs in this process; what a whole class of faults needs is proved elsewhere, and
//! named here.
//!
//! | row | the failure | tests here | and |
//! |---|---|---|---|
//! | F1 | an empty, moved or unmounted directory | `f01_…` | `load.rs`:
//! `a_directory_without_tenant_files_is_unreadable`, `a_directory_replaced_by_another_has_another_identity`;
//! `plan/tests/removal.rs` |
//! | F2 | a parse error taken for a removal | `f02_…` | `load.rs`: `a_file_truncated_at_any_byte…`,
//! `a_file_with_any_bit_flipped…` |
//! | F3 | YAML that can be read two ways, bombs | `f03_…` | `load.rs`: `every_hostile_file_gives_a_located_error`; the
//! fuzzer |
//! | F4 | a checkout in progress | `f04_…` | `load/settle.rs` |
//! | F5 | what editors leave behind | `f05_…`, `spelling.rs`, `sequences.rs` | `load/names.rs`, `load/spelling.rs` |
//! | F6 | a ConfigMap's swap | `f06_…` | `load.rs`: `a_swap_of_a_config_map_never_gives_a_mixture` |
//! | F7 | lost events | `f07_…` | `tests/daemon`: `f07_where_a_limit_is_reached_it_polls_…`; `daemon/watch.rs` |
//! | F8 | many removals, at once or in slices | `f08_…` | `plan/tests/limits.rs`; the simulation |
//! | F9 | a rename taken for delete and create | `f09_…`, `spelling.rs` | `plan/tests/naming.rs`,
//! `plan/tests/likely_rename.rs` |
//! | F10 | a deletion without a disable before it | `f10_…` | the simulation's property over the PBX's own journal |
//! | F11 | a blank field that became a time bomb | `f11_…` | `config/tests.rs`: `zero_retention_…` |
//! | F12 | killed in the middle | `f12_…` | the simulation dies at every point |
//! | F13 | done, and the reply lost | `f13_…` | `scenarios/lost_replies.rs`: every kind at every write |
//! | F14 | a stale plan, a daemon that was paused | `f14_…` | `f15_a_paused_leader…` |
//! | F15 | two daemons | `f15_…` | |
//! | F16 | half a list | `f16_…` | `scenarios/unreachable.rs`: each wrong answer and its line |
//! | F17 | another server, a restored backup | `f17_…` | |
//! | F18 | a thundering herd | `f18_…` | `tests/daemon`: `f18_restarts_do_not_exceed_the_rate`; `fusionpbx/budget.rs`,
//! `fusionpbx/breaker.rs` |
//! | F19 | one poisonous input stops everything | `f19_…` | |
//! | F20 | secrets in what is written | `f20_…` | `tests/secrets`: every command, every error, every table;
//! `fusionpbx.rs`: `no_secret_and_no_body_is_in_an_error…`; `config/tests.rs` |
//! | F21 | a clock that jumps | `f21_…` | `plan/tests/removal.rs`: `a_clock_that_went_back_…`; `lifecycle.rs` |
//! | F22 | content that no one allowed | `f22_…` | |
//! | F23 | a contests over a field | `f23_…` | `plan/tests/drift.rs` |
//! | F24 | a delete that died half-way | `f24_…` | `standin/faults.rs` |
//! | F25 | a full disk, a read-only database | `f25_…` | |
//! | F26 | empty filters and absurd numbers | `f26_…` | `config/tests.rs` |

#[path = "../common/mod.rs"]
mod common;
mod crashes;
mod directory;
mod git;
mod guards;
mod leaders;
mod limits;
mod sequences;
mod site;
mod spelling;
mod surroundings;
mod wrong_server;
