//! Declarative tenant manager for the CrystalQore platform and its FusionPBX servers.
//!
//! Data flows one way, through stages that are folders:
//!
//! 1. [`load`]: `tenants.d/` becomes [`model::Desired`];
//! 2. [`observe`]: database and PBXs become [`model::Recorded`] and [`model::Observed`];
//! 3. [`diff`]: what differs, a function of values;
//! 4. [`plan`]: steps, held steps with reasons, limits, a function of values;
//! 5. [`apply`]: the only stage that is given a writer;
//! 6. [`report`]: every text and JSON document of a plan and its outcome.
//!
//! [`reconcile`] knows the order and is read first. [`store`] is the database and [`fusionpbx`] the PBX; [`daemon`] and
//! [`cli`] say when a run happens. The section *Architecture* of the README has the picture, the five rules that keep
//! customers safe with the place of each, and lists for a new field and a new FusionPBX version.

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
