//! The few words of FusionPBX that a client could be tempted to read, in more than one language.

/// The language of the account's pages.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Language {
    #[default]
    English,
    German,
    French,
}

/// A text for an operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Word {
    True,
    False,
    Added,
    Updated,
    Deleted,
    Toggled,
    Copied,
    InvalidToken,
    Required,
    Duplicate,
    NameInUse,
    SignInFailed,
    MaximumUsers,
    InvalidUser,
    UsernameExists,
}

impl Language {
    /// The tag in the pages' `lang` attribute.
    pub(super) fn tag(self) -> &'static str {
        match self {
            Language::English => "en",
            Language::German => "de",
            Language::French => "fr",
        }
    }

    pub(super) fn say(self, word: Word) -> &'static str {
        let [english, german, french] = match word {
            Word::True => ["True", "Ein", "Oui"],
            Word::False => ["False", "Aus", "Faux"],
            Word::Added => ["Add Completed", "Erfolgreich hinzugefügt", "Ajout Terminé"],
            Word::Updated => ["Update Completed", "Aktualisierung durchgeführt", "Mis à jour Complété"],
            Word::Deleted => ["Delete Completed", "Erfolgreich gelöscht", "Suppression terminée"],
            Word::Toggled => ["Toggle Completed", "Toggle abgeschlossen", "Basculer Terminé"],
            Word::Copied => ["Copy Completed", "Erfolgreich kopiert", "Copier Terminé"],
            Word::InvalidToken => ["Invalid Token", "Invalid token", "Jeton Invalide"],
            Word::Required => {
                ["Required Fields: ", "Bitte geben Sie folgendes an: ", "Champs obligatoires: "]
            }
            Word::Duplicate => ["Duplicate Detected", "Doppelter Eintrag", "Doublon"],
            Word::NameInUse => {
                ["Domain Already Exists", "Domäne existiert bereits", "Le domaine existe déjà"]
            }
            Word::SignInFailed => {
                ["Authentication Failed", "Authentication Failed", "Authentification échouée"]
            }
            Word::MaximumUsers => ["Maximum Users:", "Maximale Benutzer:", "Maximum d'utilisateurs:"],
            Word::InvalidUser => ["Invalid User", "Ungültiger Benutzer", "Utilisateur invalide"],
            Word::UsernameExists => {
                ["Username Already Exists", "Benutzername existiert bereits", "Identifiant existant"]
            }
        };
        match self {
            Language::English => english,
            Language::German => german,
            Language::French => french,
        }
    }

    /// How a boolean column is shown: as a translated word, and as nothing where it is NULL.
    pub(super) fn state(self, value: Option<bool>) -> &'static str {
        match value {
            Some(true) => self.say(Word::True),
            Some(false) => self.say(Word::False),
            None => "",
        }
    }
}
