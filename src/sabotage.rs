//! Bugs put in on purpose, for the proof that the simulation finds them (`tests/simulation/sabotage.rs`).
//!
//! Without the feature `sabotage`, which no release build takes, [`active`] is a constant `false`.

#[cfg(all(feature = "sabotage", not(debug_assertions)))]
compile_error!("the feature `sabotage` adds bugs on purpose; it is for tests only");

/// A guard that is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bug {
    /// An answer as on success is believed.
    SkipReadBack,
    /// A changing request is sent without an intent.
    SkipIntent,
    /// An instance that cannot be read shows no domain.
    UnknownIsAbsent,
    /// Another server at a known address is taken for the one that was.
    AnyServer,
    /// Removals of the last day are dropped.
    NoLimitWindow,
    /// An approval of one plan counts for every plan.
    AnyApproval,
    /// A disabled tenant may be deleted at once.
    NoRetention,
    /// Web sessions that a server does not end are taken for ended.
    SessionsEndAtOnce,
    /// A domain is deleted without a fresh look at it.
    DeleteWithoutLook,
    /// A name is taken without a fresh look at who has it.
    NameWithoutLook,
    /// A directory with a broken file counts as complete.
    PartialIsComplete,
    /// Phones are refused, and web sign-in is not.
    NoWebSignInBlock,
    /// Enabling does not switch on again what disabling switched off.
    CidrNotRestored,
}

impl Bug {
    pub const ALL: [Self; 13] = [
        Self::SkipReadBack,
        Self::SkipIntent,
        Self::UnknownIsAbsent,
        Self::AnyServer,
        Self::NoLimitWindow,
        Self::AnyApproval,
        Self::NoRetention,
        Self::SessionsEndAtOnce,
        Self::DeleteWithoutLook,
        Self::NameWithoutLook,
        Self::PartialIsComplete,
        Self::NoWebSignInBlock,
        Self::CidrNotRestored,
    ];
}

#[cfg(not(feature = "sabotage"))]
pub const fn active(_: Bug) -> bool {
    false
}

#[cfg(feature = "sabotage")]
thread_local! {
    static CHOSEN: std::cell::Cell<Option<Bug>> = const { std::cell::Cell::new(None) };
}

/// Whether this bug is in, on this thread.
#[cfg(feature = "sabotage")]
pub fn active(bug: Bug) -> bool {
    CHOSEN.get() == Some(bug)
}

/// Puts one bug in on this thread, or none.
#[cfg(feature = "sabotage")]
pub fn choose(bug: Option<Bug>) {
    CHOSEN.set(bug);
}
