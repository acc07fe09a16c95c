//! The rules of the plan: a table of every combination, a test named after each rule, and properties of random
//! worlds. Every plan that a test looks at is also checked against all invariants.

mod approval;
mod deletion;
mod drift;
mod effect;
mod effects;
mod histories;
mod invariants;
mod likely_rename;
mod limits;
mod moving;
mod naming;
mod numbers;
mod own_account;
mod properties;
mod removal;
mod scene;
mod stopping;
mod surges;
mod table;
mod vanished;
mod worlds;
