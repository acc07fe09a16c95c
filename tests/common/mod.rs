//! What the black-box tests share: private databases, stand-in PBXs, and a rig that runs passes.
#![allow(dead_code, reason = "each test binary uses its own part")]

pub mod between;
pub mod plain;
pub mod postgres;
pub mod rig;
pub mod rows;
pub mod scenario;
