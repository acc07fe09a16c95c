//! Every text for people in one place, to be read from the first to the last line.
//!
//! The snapshots beside this file hold the help of all commands, the reasons of steps, the effects, and the errors of
//! PBXs, of the database and of steps; the problems of tenant files and of the configuration are here as well, from the
//! tests that make them. A changed text shows as a changed line there.

mod errors;
mod help;
mod reasons;

/// Compares with the snapshot of this name, which lies in this folder.
fn compare(name: &str, text: &str) {
    insta::with_settings!({ snapshot_path => ".", prepend_module_to_snapshot => false, omit_expression => true }, {
        insta::assert_snapshot!(name, text);
    });
}
