//! What a step means for the people of a tenant.

use chrono::{DateTime, Utc};
use serde::Serialize;

/// One consequence of a step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Effect {
    /// Users sign in under another address.
    SignInAddresses { from: String, to: String, users: Option<i64> },
    /// Phones and their provisioning name the old domain.
    Phones { from: String, to: String },
    /// Another server serves the tenant: instance by instance.
    Server { from: String, to: String },
    /// Who would lose access, or data.
    Active { users: i64, open_sessions: i64, last_activity: Option<DateTime<Utc>> },
    /// A shorter `session_timeout` ends sessions that are older.
    SessionsEnd { ended: i64, open: i64, minutes: u32 },
    /// Numbers that leave the file.
    NumbersReleased { numbers: Vec<String> },
}

impl Effect {
    /// The name of its kind, as in JSON.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::SignInAddresses { .. } => "sign_in_addresses",
            Self::Phones { .. } => "phones",
            Self::Server { .. } => "server",
            Self::Active { .. } => "active",
            Self::SessionsEnd { .. } => "sessions_end",
            Self::NumbersReleased { .. } => "numbers_released",
        }
    }
}
