//! Kinds of faults and their probabilities.

use rand::RngExt as _;

use crate::state::State;

/// Probabilities of faults. Each pass draws its own.
#[derive(Clone, Copy, Debug, Default)]
pub struct Faults {
    /// A read fails.
    pub read: f64,
    /// A write is not sent, or not done.
    pub write: f64,
    /// A write is done and its answer is lost.
    pub answer: f64,
    /// A write is answered as on success and not done.
    pub ignored: f64,
    /// A write is given up and carried out later.
    pub late: f64,
    /// A database transaction fails.
    pub database: f64,
    /// A database transaction is committed and its answer is lost.
    pub database_answer: f64,
    /// An operator changes something on a PBX at any point of a pass.
    pub operator: f64,
    /// The clock is set at any point of a pass.
    pub clock: f64,
}

impl Faults {
    pub fn none() -> Self {
        Self::default()
    }

    /// No faults, one kind of fault, or all kinds.
    pub fn drawn(state: &mut State) -> Self {
        let mut faults = Self::none();
        let strength = state.pick(&[0.02, 0.1, 0.3]);
        let one = |faults: &mut Self, kind: u32| match kind {
            0 => faults.read = strength / 2.0,
            1 => faults.write = strength,
            2 => faults.answer = strength,
            3 => faults.ignored = strength,
            4 => faults.late = strength,
            5 => faults.database = strength / 2.0,
            6 => faults.database_answer = strength / 2.0,
            7 => faults.clock = strength / 50.0,
            _ => faults.operator = strength / 20.0,
        };
        match state.rng.random_range(0..10) {
            0..=4 => {}
            5..=8 => {
                let kind = state.rng.random_range(0..9);
                one(&mut faults, kind);
            }
            _ => (0..9).for_each(|kind| one(&mut faults, kind)),
        }
        faults
    }
}

/// The fate of a changing request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    Done,
    NotSent,
    NotDone,
    AnswerLost,
    /// A delete dies after some tables, another write before its last table; the answer is lost.
    Half,
    Ignored,
    /// Given up by the client, and carried out after this many points.
    Late(u32),
}

impl Fate {
    pub fn drawn(state: &mut State) -> Self {
        let Faults { write, answer, ignored, late, .. } = state.faults;
        if state.chance(write) {
            return if state.chance(0.5) { Self::NotSent } else { Self::NotDone };
        }
        if state.chance(answer) {
            return if state.chance(0.3) { Self::Half } else { Self::AnswerLost };
        }
        if state.chance(ignored) {
            return Self::Ignored;
        }
        if state.chance(late) {
            return Self::Late(state.rng.random_range(1..60));
        }
        Self::Done
    }
}
