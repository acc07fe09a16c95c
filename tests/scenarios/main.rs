//! The scenario list, black box, on both databases against two stand-in servers. Each ends with an empty second plan
//! and with every domain that is not managed byte for byte as it was.

mod adoption;
mod budget;
#[path = "../common/mod.rs"]
mod common;
mod contested_fields;
mod deletion;
mod drift;
mod identity;
mod lost_replies;
mod panics;
mod unreachable;
