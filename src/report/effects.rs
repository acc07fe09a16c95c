//! The texts of effects.

use std::fmt;

use crate::environment::to_the_minute;
use crate::plan::Effect;

fn counted(count: i64, one: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    if count == 0 { format!("no {one}s") } else { format!("{count} {one}{plural}") }
}

impl fmt::Display for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SignInAddresses { from, to, users } => {
                let of = users.map_or_else(String::new, |users| format!(" ({})", counted(users, "user")));
                write!(f, "sign-in addresses change from `user@{from}` to `user@{to}`{of}")
            }
            Self::Phones { from, to } => write!(
                f,
                "phones registered at {from} stop working until they are set up for {to}, and provisioning \
                 addresses with {from} change"
            ),
            Self::Server { from, to } => write!(
                f,
                "phones must register with {to}, because {from} refuses them from then on; web sessions on {from} end"
            ),
            Self::Active { users, open_sessions, last_activity } => {
                let who = if *users == 0 && *open_sessions == 0 { "not in use" } else { "still in use" };
                let last = last_activity.map_or_else(
                    || "no activity yet".to_owned(),
                    |at| format!("last activity {}", to_the_minute(at)),
                );
                let sessions = counted(*open_sessions, "open session");
                write!(f, "{who}: {}, {sessions}, {last}", counted(*users, "user"))
            }
            Self::SessionsEnd { ended, open, minutes } => {
                let (limit, sessions) =
                    (counted(i64::from(*minutes), "minute"), counted(*open, "open session"));
                match (ended, open) {
                    (0, 1) => {
                        write!(f, "the open session is not older than {limit}, so it does not end at once")
                    }
                    (0, _) => write!(f, "none of {sessions} is older than {limit}, so none ends at once"),
                    (_, 1) => write!(f, "the open session ends at once, because it is older than {limit}"),
                    (1, _) => write!(f, "1 of {sessions} ends at once, because it is older than {limit}"),
                    _ => write!(f, "{ended} of {sessions} end at once, because they are older than {limit}"),
                }
            }
            Self::NumbersReleased { numbers } => write!(
                f,
                "{}: released for other tenants; the messages stay with this tenant",
                numbers.join(", ")
            ),
        }
    }
}
