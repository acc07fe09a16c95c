//! Rules of this house that neither the compiler nor clippy keeps.

mod imports;
mod new_field;
