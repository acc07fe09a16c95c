use std::process::ExitCode;

/// How a command ended. One exhaustive match turns it into the exit code that the man page lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Done; for `plan`, a plan was made.
    Done,
    /// Any other error.
    Error,
    /// `plan --detailed-exitcode`: there is something to do.
    Changes,
    /// Something is held and needs a person.
    Held,
    /// Some steps failed; the others were done.
    SomeFailed,
    /// `apply --plan`: the world is not as it was when that plan was made.
    StalePlan,
    /// The command line was not understood.
    Usage,
}

impl Exit {
    /// The number that the shell sees.
    pub fn number(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Error => 1,
            Self::Changes => 2,
            Self::Held => 3,
            Self::SomeFailed => 4,
            Self::StalePlan => 5,
            Self::Usage => 64,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.number())
    }
}
