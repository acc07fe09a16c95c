use std::process::ExitCode;

use super::args::Selection;
use crate::model::{BrokenFile, Desired};
use crate::plan::Plan;

/// How a command ended. One exhaustive match turns it into the exit code, another one into what help and man page
/// say of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Done; for `plan`, a plan was made.
    Done,
    /// Any other error.
    Error,
    /// `plan --detailed-exitcode`: there is something to do.
    Changes,
    /// Something is held and needs an operator.
    Held,
    /// Some steps failed, or an instance could not be checked; the rest was done.
    SomeFailed,
    /// `apply --plan`: the world is not as it was when that plan was made.
    StalePlan,
    /// `plan --detailed-exitcode`: someone changed a tenant on the PBX.
    Drift,
    /// The command line was not understood, or does not say enough.
    Usage,
}

impl Exit {
    pub const ALL: [Self; 8] = [
        Self::Done,
        Self::Error,
        Self::Changes,
        Self::Held,
        Self::SomeFailed,
        Self::StalePlan,
        Self::Drift,
        Self::Usage,
    ];

    /// The number that the shell sees.
    pub fn number(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Error => 1,
            Self::Changes => 2,
            Self::Held => 3,
            Self::SomeFailed => 4,
            Self::StalePlan => 5,
            Self::Drift => 6,
            Self::Usage => 64,
        }
    }

    /// In a few words, for `--help`.
    pub fn short(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Error => "error",
            Self::Changes => "changes (plan --detailed-exitcode)",
            Self::Held => "something is held",
            Self::SomeFailed => "some steps failed, or an instance was not checked",
            Self::StalePlan => "stale plan (apply --plan)",
            Self::Drift => "drift (plan --detailed-exitcode)",
            Self::Usage => "usage",
        }
    }

    /// In full, for the man page. README has the same table.
    pub fn meaning(self) -> &'static str {
        match self {
            Self::Done => {
                "success; with `plan --detailed-exitcode`: everything was checked and nothing is to be done"
            }
            Self::Error => {
                "any other error, or the result could not be written; `isolation check`: a leak, or an instance \
                 could not be checked; `status --check`: WARNING"
            }
            Self::Changes => "`plan --detailed-exitcode`: there are changes; `status --check`: CRITICAL",
            Self::Held => {
                "a step is held or a file is broken (`plan --detailed-exitcode`, `apply`, `sandbox --once`); \
                 `sync`: users are over a limit; `status --check`: UNKNOWN"
            }
            Self::SomeFailed => {
                "some steps failed or were skipped, and the others were done; or an instance cannot be reached, was \
                 not fully read or not understood, so its tenants were not checked (`plan --detailed-exitcode`, \
                 `apply`, `sync`); `import`: a domain that could be a tenant was skipped; `adopt`, `block`: a named \
                 tenant was skipped"
            }
            Self::StalePlan => {
                "`apply`: files, database or PBX changed since the plan was made (`--plan`) or shown"
            }
            Self::Drift => {
                "`plan --detailed-exitcode`: drift: a tenant was changed on the PBX, whether `apply` would correct \
                 it or its file says `drift: report`"
            }
            Self::Usage => "the command line is not valid, or needs an option such as `--yes` or `--all`",
        }
    }

    /// What a plan comes to before it is carried out.
    pub fn of_plan(plan: &Plan, desired: &Desired, selection: &Selection) -> Self {
        Verdict {
            failed: false,
            held: is_held(plan, desired, selection),
            not_checked: !plan.not_checked.is_empty(),
            drift: plan.counts.drift > 0 || !plan.drifted.is_empty(),
            changes: !plan.steps.is_empty(),
        }
        .exit()
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.number())
    }
}

/// What a run came to. Several may be so at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// A step failed or was skipped.
    pub failed: bool,
    /// A step is held, or what belongs to a broken file.
    pub held: bool,
    /// An instance could not be checked.
    pub not_checked: bool,
    /// Someone changed a tenant on the PBX.
    pub drift: bool,
    /// There is something to do still.
    pub changes: bool,
}

impl Verdict {
    /// The first of these that is so decides; "done" is what is left when none is.
    pub fn exit(self) -> Exit {
        match self {
            Self { failed: true, .. } => Exit::SomeFailed,
            Self { held: true, .. } => Exit::Held,
            Self { not_checked: true, .. } => Exit::SomeFailed,
            Self { drift: true, .. } => Exit::Drift,
            Self { changes: true, .. } => Exit::Changes,
            Self { failed: false, held: false, not_checked: false, drift: false, changes: false } => {
                Exit::Done
            }
        }
    }
}

/// Whether something waits for an operator. The tenant of a broken file is held also where it has no record yet, and so
/// no line of its own in the plan.
pub fn is_held(plan: &Plan, desired: &Desired, selection: &Selection) -> bool {
    let of_this_run = |file: &BrokenFile| {
        selection.tenants.is_empty() || file.key.as_ref().is_some_and(|key| selection.tenants.contains(key))
    };
    !plan.held.is_empty() || desired.broken.iter().any(of_this_run)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_ends_with_0_only_where_nothing_at_all_is_left() {
        let mut green = 0;
        for bits in 0..32 {
            let is = |bit: u32| bits & (1 << bit) != 0;
            let verdict =
                Verdict { failed: is(0), held: is(1), not_checked: is(2), drift: is(3), changes: is(4) };
            let exit = verdict.exit();
            green += u32::from(exit == Exit::Done);
            assert_eq!(exit == Exit::Done, bits == 0, "{verdict:?}");
            assert!(!matches!(exit, Exit::Error | Exit::StalePlan | Exit::Usage), "{verdict:?}");
        }
        assert_eq!(green, 1);
    }

    #[test]
    fn every_exit_code_has_a_number_of_its_own() {
        let numbers: std::collections::BTreeSet<u8> = Exit::ALL.into_iter().map(Exit::number).collect();
        assert_eq!(numbers.len(), Exit::ALL.len());
    }

    #[test]
    fn the_readme_lists_every_exit_code_with_the_words_of_the_man_page() {
        let readme = include_str!("../../README.md");
        for exit in Exit::ALL {
            let row = format!("| {} | {} |", exit.number(), exit.meaning());
            assert!(readme.contains(&row), "README.md lacks the line:\n{row}");
        }
    }
}
