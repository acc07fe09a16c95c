//! How long the pages take.

use std::time::Duration;

use uuid::Uuid;

use super::exchange::Call;

/// The time that a page works, and how many pages work at once. Time is spent before the work, while the request
/// holds its session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Latency {
    /// Posting the sign-in form.
    pub sign_in: Duration,
    /// `domain_json.php` and `user_json.php`.
    pub json: Duration,
    /// `domains.php` and `users.php`.
    pub list: Duration,
    /// The forms, and every page not named here.
    pub form: Duration,
    /// `domain_settings.php`.
    pub settings: Duration,
    /// A POST that makes a domain, also under a uuid of the client's.
    pub create: Duration,
    /// Any other POST.
    pub write: Duration,
    /// A POST that deletes domains.
    pub delete: Duration,
    /// Pages worked on at the same time, as processors allow; 0 means any number.
    pub workers: usize,
}

impl Latency {
    /// No time at all.
    pub fn none() -> Latency {
        let none = Duration::ZERO;
        Latency {
            sign_in: none,
            json: none,
            list: none,
            form: none,
            settings: none,
            create: none,
            write: none,
            delete: none,
            workers: 0,
        }
    }

    /// The figures measured on a real server with 2 processors (`FUSIONPBX.md`).
    pub fn measured() -> Latency {
        let ms = Duration::from_millis;
        Latency {
            sign_in: ms(100),
            json: ms(42),
            list: ms(300),
            form: ms(35),
            settings: ms(50),
            create: ms(165),
            write: ms(40),
            delete: ms(150),
            workers: 2,
        }
    }

    /// The time that a request takes; `known` says whether there is a domain with a uuid.
    pub(super) fn of(&self, call: &Call, known: impl Fn(Uuid) -> bool) -> Duration {
        let page = call.path.rsplit('/').next().unwrap_or_default();
        if call.is_sign_in() {
            return self.sign_in;
        }
        if call.is_post() {
            return match page {
                "domain_edit.php" if !call.request_uuid("id").is_some_and(known) => self.create,
                "domains.php" if call.post("action") == Some("delete") => self.delete,
                _ => self.write,
            };
        }
        match page {
            "domain_json.php" | "user_json.php" => self.json,
            "domains.php" | "users.php" => self.list,
            "domain_settings.php" => self.settings,
            "login.php" | "logout.php" | "" => Duration::ZERO,
            _ => self.form,
        }
    }
}

impl Default for Latency {
    fn default() -> Latency {
        Latency::none()
    }
}
