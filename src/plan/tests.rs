//! The rules of the plan: a table of every combination, a test named after each rule, and properties of random
//! worlds. Every plan that a test looks at is also checked against all invariants.

mod approval;
mod drift;
mod effect;
mod invariants;
mod limits;
mod moving;
mod naming;
mod own_account;
mod properties;
mod removal;
mod scene;
mod table;
