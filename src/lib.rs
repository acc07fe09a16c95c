//! Declarative tenant manager for the CrystalQore platform and its FusionPBX servers.
//!
//! Data flows one way: `load` (files to [`model::Desired`]) → `observe` (database and PBXs) → `diff` → `plan` →
//! `apply` → `report`. [`reconcile`] knows the order and is read first.

pub mod config;
pub mod fusionpbx;
pub mod load;
pub mod model;
pub mod yaml;
