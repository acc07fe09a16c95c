//! What the service manager is reported, where there is one.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use sd_notify::NotifyState;

fn tell(states: &[NotifyState<'_>]) {
    // Without a service manager there is no one to tell.
    let _ = sd_notify::notify(states);
}

/// What the service manager knows of the daemon.
#[derive(Debug, Default)]
pub struct ServiceManager {
    /// Whether it knows that the service is up.
    is_up: AtomicBool,
    /// What stands behind every status while it is so: that the previous configuration is in use.
    old_configuration: Mutex<Option<String>>,
}

/// How much more time is asked for while the first look lasts, and how often.
const MORE_TIME: Duration = Duration::from_secs(60);
const ASK_EVERY: Duration = Duration::from_secs(15);

impl ServiceManager {
    /// It is up: it has checked everything once, or stands by, or knows why it cannot. Reported once.
    pub fn ready(&self) {
        if !self.is_up.swap(true, Ordering::Relaxed) {
            tell(&[NotifyState::Ready]);
        }
    }

    /// Asks for more time until it is up: a first look at many instances may take longer than the unit allows.
    pub async fn ask_for_time(&self) {
        while !self.is_up.load(Ordering::Relaxed) {
            tell(&[NotifyState::ExtendTimeoutUsec(u32::try_from(MORE_TIME.as_micros()).unwrap_or(u32::MAX))]);
            tokio::time::sleep(ASK_EVERY).await;
        }
        std::future::pending().await
    }

    /// One line for `systemctl status`.
    pub fn status(&self, text: &str) {
        match self.old_configuration.lock().unwrap_or_else(PoisonError::into_inner).as_deref() {
            None => tell(&[NotifyState::Status(text)]),
            Some(old) => tell(&[NotifyState::Status(&format!("{text}; {old}"))]),
        }
    }

    /// Adds this to every status from now on; `None` ends that.
    pub fn set_old_configuration(&self, text: Option<String>) {
        *self.old_configuration.lock().unwrap_or_else(PoisonError::into_inner) = text;
    }

    /// The configuration is read again. [`Self::reloaded`] follows.
    pub fn reloading(&self) {
        if let Ok(now) = NotifyState::monotonic_usec_now() {
            tell(&[NotifyState::Reloading, now]);
        }
    }

    /// The end of a reload, also of one that failed.
    pub fn reloaded(&self, text: &str) {
        self.is_up.store(true, Ordering::Relaxed);
        tell(&[NotifyState::Ready, NotifyState::Status(text)]);
    }
}

pub fn stopping() {
    tell(&[NotifyState::Stopping, NotifyState::Status("stopping after the current step")]);
}

/// Feeds the watchdog, if the unit has one, as long as the runtime turns.
pub async fn feed_watchdog() {
    let Some(limit) = sd_notify::watchdog_enabled() else { return std::future::pending().await };
    let mut tick = tokio::time::interval((limit / 3).max(Duration::from_millis(100)));
    loop {
        tick.tick().await;
        tell(&[NotifyState::Watchdog]);
    }
}
