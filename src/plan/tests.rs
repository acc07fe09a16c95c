//! The rules of the plan: a table of every combination, a test named after each rule, and properties of random
//! generated. Every plan that a test checks is also checked against all invariants.

mod approval;
mod deletion;
mod drift;
mod effect;
mod effects;
mod file_removed;
mod fixture;
mod generated_inputs;
mod histories;
mod invariants;
mod likely_rename;
mod limits;
mod moving;
mod naming;
mod own_account;
mod properties;
mod sms_numbers;
mod stopping;
mod surges;
mod table;
mod vanished;
