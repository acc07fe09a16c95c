//! What the black-box tests share: private databases, stand-in PBXs, and a harness that runs passes.
#![allow(dead_code, reason = "each test binary uses its own part")]

pub mod harness;
pub mod pbx_wrapper;
pub mod postgres;
pub mod rows;
pub mod scenario;
pub mod sql_client;
