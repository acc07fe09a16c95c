//! A question that only a person's `yes` answers.

use std::io::{IsTerminal as _, Write as _};

use super::context::{Failure, Result};
use super::exit::Exit;

/// Asks on the terminal, unless `--yes` answered already. `false` is a no; without a terminal nobody can be asked.
pub fn agreed(question: &str, yes: bool) -> Result<bool> {
    if yes {
        return Ok(true);
    }
    if !std::io::stdin().is_terminal() {
        return Err(Failure {
            message: "there is no terminal to ask on, so nothing was changed; `--yes` agrees beforehand"
                .to_owned(),
            exit: Exit::Usage,
        });
    }
    eprint!("{question} Only `yes` agrees: ");
    std::io::stderr().flush().map_err(|error| Failure::of(&error))?;
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer).map_err(|error| Failure::of(&error))?;
    Ok(answer.trim() == "yes")
}
