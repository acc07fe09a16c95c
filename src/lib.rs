//! Declarative tenant manager for the CrystalQore platform and its FusionPBX servers.
//!
//! Data flows one way: `load` (files to [`model::Desired`]) → `observe` (database and PBXs) → `diff` → `plan` →
//! `apply` → `report`. [`reconcile`] knows the order and is read first.

pub mod advice;
pub mod apply;
pub mod archive;
pub mod cli;
pub mod config;
pub mod daemon;
pub mod diff;
pub mod environment;
pub mod fusionpbx;
pub mod inputs;
pub mod isolation;
pub mod load;
pub mod model;
pub mod observe;
pub mod plan;
pub mod reconcile;
pub mod report;
pub mod sabotage;
pub mod stats;
pub mod store;
pub mod sync;
pub mod yaml;
