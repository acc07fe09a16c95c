//! The stand-in FusionPBX does what was measured on a real one. Every test name is a fact.

mod browser;
mod disabling;
mod faults;
mod profiles;
mod reading;
mod session;
mod settings;
mod site;
mod state;
mod writing;
