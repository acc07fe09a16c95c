//! `tenantd run`

use async_trait::async_trait;

use super::context::{Context, Failure, Result};
use super::exit::Exit;
use super::stop::stop_on_signal;
use crate::config::Config;
use crate::daemon::{self, Resources, SetUp, SetUpError};
use crate::environment::System;
use crate::store::{Access, Database};

/// Equips the daemon from the configuration file, each time again.
struct FromFile<'a>(&'a Context);

#[async_trait]
impl SetUp for FromFile<'_> {
    async fn set_up(&self) -> std::result::Result<Resources, SetUpError> {
        let made = async {
            self.0.forget_problems();
            let config = self.0.config_with_secrets()?;
            let database = self.0.database(&config, Access::ReadWrite).await?;
            let clients = self.0.clients(&config)?;
            Ok::<_, Failure>(Resources {
                config,
                database,
                readers: clients.readers,
                writers: clients.writers,
            })
        };
        match made.await {
            Ok(resources) => {
                // It serves from now on: what is found when the configuration is read again is a record of the log.
                self.0.only_log();
                Ok(resources)
            }
            Err(failure) => Err(SetUpError { message: failure.message, problems: self.0.problems() }),
        }
    }

    async fn reconnect(&self, config: &Config) -> std::result::Result<Database, String> {
        self.0.database(config, Access::ReadWrite).await.map_err(|failure| failure.message)
    }
}

pub async fn run(context: &Context) -> Result<Exit> {
    let stop = stop_on_signal();
    daemon::run(&FromFile(context), &System, &daemon::LogListener, stop)
        .await
        .map_err(|error| Failure::new(error.message))?;
    Ok(Exit::Done)
}
