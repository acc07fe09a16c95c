//! What commands have in common: configuration, files, database, PBX clients, and where text goes.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::args::{Global, Output};
use super::exit::Exit;
use super::output;
use crate::config::{Config, process_environment};
use crate::fusionpbx::{PbxClient, PbxRead, PbxReader, PbxWrite};
use crate::load::{self, Loaded};
use crate::model::InstanceKey;
use crate::report::{self, FORMAT_VERSION, Paint, chain};
use crate::store::{Access, Database, DatabaseOptions};
use crate::yaml::Problem;

/// The error of a command: what to say, and how to end.
#[derive(Debug)]
pub struct Failure {
    pub message: String,
    pub exit: Exit,
}

impl Failure {
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), exit: Exit::Error }
    }

    pub fn of(error: &dyn std::error::Error) -> Self {
        Self::new(chain(error))
    }
}

pub type Result<T> = std::result::Result<T, Failure>;

/// A command's surroundings.
pub struct Context {
    pub global: Global,
    written: Mutex<Written>,
}

/// What a command wrote so far.
#[derive(Default)]
struct Written {
    /// Whether there is a JSON document on standard output.
    document: bool,
    /// Text for people, where JSON is wanted.
    messages: Vec<String>,
    /// The errors of files that were shown.
    problems: Vec<Problem>,
    /// Whether standard error belongs to the log alone.
    logs_only: bool,
}

/// The clients of a configuration's instances. Instances that cannot be set up are left out and named.
pub struct Clients {
    pub readers: BTreeMap<InstanceKey, Arc<dyn PbxRead>>,
    /// Empty unless they were asked for.
    pub writers: BTreeMap<InstanceKey, Arc<dyn PbxWrite>>,
}

impl Context {
    pub fn new(global: Global) -> Self {
        Self { global, written: Mutex::default() }
    }

    pub fn paint(&self) -> Paint {
        Paint(!self.is_json() && output::colour_on_stdout())
    }

    fn state(&self) -> std::sync::MutexGuard<'_, Written> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn is_json(&self) -> bool {
        self.global.output == Output::Json
    }

    /// Text for people, to standard output. Where JSON is wanted, it is kept for the document.
    pub fn say(&self, text: &str) {
        if self.is_json() {
            self.state().messages.extend(text.lines().filter(|line| !line.is_empty()).map(str::to_owned));
        } else {
            output::say(text);
        }
    }

    /// A JSON document, alone on standard output. One that tells an error has the problems that were found as well.
    pub fn json<T: serde::Serialize>(&self, value: &T) {
        let text = match serde_json::to_string_pretty(value) {
            Ok(text) => self.with_problems(text),
            Err(error) => return output::lose("standard output", error.into()),
        };
        self.state().document = true;
        output::say(&format!("{text}\n"));
    }

    fn with_problems(&self, text: String) -> String {
        let problems = std::mem::take(&mut self.state().problems);
        let Ok(serde_json::Value::Object(mut document)) = serde_json::from_str(&text) else { return text };
        let is_error = document.get("error").is_some_and(|error| !error.is_null());
        if problems.is_empty() || !is_error || document.contains_key("problems") {
            return text;
        }
        document.insert("problems".to_owned(), serde_json::json!(problems));
        serde_json::to_string_pretty(&document).unwrap_or(text)
    }

    /// The end of every command: it reports the error, and writes a JSON document if JSON is wanted and none was
    /// written.
    pub fn finish(&self, ended: Result<Exit>) -> Exit {
        let exit = match ended {
            Ok(exit) => exit,
            Err(failure) => {
                self.document_without_result(Some(&failure.message));
                self.tell_error(&failure.message);
                failure.exit
            }
        };
        self.document_without_result(None);
        match output::lost() {
            None => exit,
            Some(lost) => {
                self.tell_error(&lost);
                Exit::Error
            }
        }
    }

    /// From now on, standard error belongs to the log: what reads it meets no line that is not a record.
    pub fn only_log(&self) {
        self.state().logs_only = true;
    }

    /// The errors of files that were found, a line each.
    pub fn problems(&self) -> Vec<String> {
        self.state().problems.iter().map(Problem::in_short).collect()
    }

    /// Before files are read again.
    pub fn forget_problems(&self) {
        self.state().problems.clear();
    }

    fn tell_error(&self, message: &str) {
        if self.state().logs_only {
            let problems = self.problems();
            let problems =
                (!problems.is_empty()).then(|| serde_json::to_string(&problems).unwrap_or_default());
            tracing::error!(problems, "{message}");
        } else {
            output::tell(&format!("error: {message}\n"));
        }
    }

    fn document_without_result(&self, error: Option<&str>) {
        if !self.is_json() || self.state().document {
            return;
        }
        let messages = std::mem::take(&mut self.state().messages);
        let mut document = serde_json::json!({ "format_version": FORMAT_VERSION, "messages": messages });
        if let Some(error) = error {
            document["error"] = error.into();
        }
        self.json(&document);
    }

    /// Problems of files go to standard error, with their source lines.
    pub fn show_problems(&self, problems: &[Problem]) {
        let colour = output::colour_on_stderr();
        let logs_only = self.state().logs_only;
        for problem in problems {
            if !logs_only {
                output::tell(&format!("{}\n", problem.render(colour)));
            } else if !problem.is_error() {
                tracing::warn!(file = problem.file, "{problem}");
            }
        }
        self.state().problems.extend(problems.iter().filter(|problem| problem.is_error()).cloned());
    }

    /// Fails where the result so far could not be written: what no one could see is not carried out.
    pub fn written(&self) -> Result<()> {
        output::lost().map_or(Ok(()), |lost| Err(Failure::new(format!("{lost}, so nothing was changed"))))
    }

    /// The configuration; its problems are shown.
    pub fn config(&self) -> Result<Config> {
        match Config::load(&self.global.config) {
            Ok((config, warnings)) => {
                self.show_problems(&warnings);
                Ok(config)
            }
            Err(errors) => {
                self.show_problems(&errors.problems);
                let count = errors.problems.iter().filter(|problem| problem.is_error()).count();
                Err(Failure::new(format!(
                    "the configuration {} has {}",
                    self.global.config.display(),
                    report::count(count, "error")
                )))
            }
        }
    }

    /// The configuration, with every secret in its place.
    pub fn config_with_secrets(&self) -> Result<Config> {
        let config = self.config()?;
        let problems = config.check_secrets(&process_environment);
        self.show_problems(&problems);
        if problems.iter().any(Problem::is_error) {
            return Err(Failure::new("the configuration refers to something that is missing"));
        }
        Ok(config)
    }

    /// The tenants directory, read until two readings agree.
    pub async fn load(&self, config: &Config) -> Loaded {
        load::read(config).await
    }

    pub async fn database(&self, config: &Config, access: Access) -> Result<Database> {
        let password = config.database_password(&process_environment).map_err(Failure::new)?;
        let options = DatabaseOptions { database: config.database.clone(), password, access };
        let database = Database::open(options).await.map_err(|error| Failure::of(&error))?;
        if database.is_new() {
            eprintln!("note: the database {} is empty, so every tenant is new", config.database);
        }
        Ok(database)
    }

    /// Clients that can only read: a preview is given nothing else.
    pub fn readers(&self, config: &Config) -> Result<BTreeMap<InstanceKey, Arc<dyn PbxRead>>> {
        let mut readers: BTreeMap<InstanceKey, Arc<dyn PbxRead>> = BTreeMap::new();
        for (key, client) in clients(config)? {
            readers.insert(key, Arc::new(client.reader()));
        }
        Ok(readers)
    }

    /// A client of one instance that can only read.
    pub fn reader(&self, config: &Config, key: &InstanceKey) -> Result<PbxReader> {
        let instance = config
            .instances
            .get(key)
            .ok_or_else(|| Failure::new(format!("the instance {key} is not in the configuration")))?;
        let credentials = instance.credentials(&process_environment).map_err(|error| Failure::of(&error))?;
        PbxReader::new(instance, credentials).map_err(|error| Failure::of(&error))
    }

    pub fn clients(&self, config: &Config) -> Result<Clients> {
        let mut found = Clients { readers: BTreeMap::new(), writers: BTreeMap::new() };
        for (key, client) in clients(config)? {
            found.readers.insert(key.clone(), Arc::new(client.reader()));
            found.writers.insert(key, Arc::new(client));
        }
        Ok(found)
    }
}

fn clients(config: &Config) -> Result<BTreeMap<InstanceKey, PbxClient>> {
    config
        .instances
        .iter()
        .map(|(key, instance)| {
            let credentials =
                instance.credentials(&process_environment).map_err(|error| Failure::of(&error))?;
            let client = PbxClient::new(instance, credentials).map_err(|error| Failure::of(&error))?;
            Ok((key.clone(), client))
        })
        .collect()
}
