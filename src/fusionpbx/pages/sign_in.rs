//! The pages of a sign-in, in every version: a form for user name and password (on one page or on two), a form for the
//! code of a second factor, and pages that only a person can complete.

use std::fmt;

use scraper::{ElementRef, Html};

use super::html::{Token, document, selectors, token};

selectors! {
    FORM = "form";
    USERNAME = "input[name='username']";
    PASSWORD = "input[name='password'][type='password']";
    ANY_PASSWORD = "input[type='password']";
    BUTTON = "#btn_login";
    CODE = "input[name='authentication_code']";
    DOMAIN = "[name='domain_name']";
    HIDDEN = "input[type='hidden'][name]";
    INPUT = "input, select, textarea";
    SECRET_IMAGE = "img[src^='data:image/']";
    LOGIN_BOX = "#default_login, #login_logo";
}

/// What a page of the sign-in asks for.
#[derive(Debug)]
pub enum SignInPage {
    Credentials(SignInForm),
    /// The code of a second factor, time-based or sent by e-mail. Both pages are alike.
    Code(SignInForm),
    /// FusionPBX created a secret for a second factor and shows it once. The page is never kept.
    Enrolment,
    /// FusionPBX asks for a new password: the old one has expired, or must be changed at the first sign-in.
    NewPassword,
}

/// A form of the sign-in, with the fields that must be sent back. `Debug` shows no value.
pub struct SignInForm {
    pub asks_username: bool,
    pub asks_password: bool,
    pub asks_domain: bool,
    /// The hidden fields, including the token.
    pub hidden: Vec<(String, String)>,
}

impl fmt::Debug for SignInForm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { asks_username, asks_password, asks_domain, hidden } = self;
        f.debug_struct("SignInForm")
            .field("asks_username", asks_username)
            .field("asks_password", asks_password)
            .field("asks_domain", asks_domain)
            .field("hidden", &hidden.len())
            .finish()
    }
}

/// Whether a text may be a page of the sign-in. This avoids parsing all others.
pub(super) fn may_be_sign_in_page(text: &str) -> bool {
    text.contains("btn_login")
        || text.contains("authentication_code")
        || (text.contains("password") && text.contains("username"))
        || text.contains("login_logo")
}

/// The page of the sign-in that a text is, or `None`.
pub fn sign_in_page(text: &str) -> Option<SignInPage> {
    if !may_be_sign_in_page(text) {
        return None;
    }
    let document = document(text);
    for form in document.select(&FORM) {
        if form.select(&CODE).next().is_some() {
            return Some(SignInPage::Code(read_form(&document, form)));
        }
        if form.select(&ANY_PASSWORD).count() > 1 && is_on_sign_in_page(&document, form) {
            return Some(SignInPage::NewPassword);
        }
        if form.select(&PASSWORD).next().is_some()
            && form.select(&USERNAME).next().is_some()
            // The form of a user has both fields too, but also an id, and not this button.
            && (form.value().id().is_none() || form.select(&BUTTON).next().is_some())
        {
            return Some(SignInPage::Credentials(read_form(&document, form)));
        }
        if form.select(&BUTTON).next().is_some()
            && form.select(&USERNAME).next().is_some()
            // An unknown field may be for the password, and sending none would count as a failed sign-in.
            && form.select(&INPUT).all(is_known_field)
        {
            return Some(SignInPage::Credentials(read_form(&document, form)));
        }
        if form.select(&SECRET_IMAGE).next().is_some() && is_on_sign_in_page(&document, form) {
            return Some(SignInPage::Enrolment);
        }
    }
    None
}

/// Whether tenantd fills in a field, or may leave it unchanged.
fn is_known_field(field: ElementRef<'_>) -> bool {
    let kind = field.attr("type").unwrap_or_default();
    matches!(kind, "hidden" | "submit" | "checkbox" | "button")
        || matches!(field.attr("name"), Some("username" | "domain_name"))
}

/// Whether a form is on a page of the sign-in, which has a logo and no menu.
fn is_on_sign_in_page(document: &Html, form: ElementRef<'_>) -> bool {
    form.value().id().is_none() && document.select(&LOGIN_BOX).next().is_some()
}

fn read_form(document: &Html, form: ElementRef<'_>) -> SignInForm {
    let typed = |field: ElementRef<'_>| field.attr("type") != Some("hidden");
    let mut hidden: Vec<(String, String)> = form
        .select(&HIDDEN)
        .filter_map(|field| {
            Some((field.attr("name")?.to_owned(), field.attr("value").unwrap_or_default().to_owned()))
        })
        .collect();
    // If the form is closed too early, its token is outside of it.
    if let Some(Token { name, value }) = token(document)
        && hidden.iter().all(|(known, _)| *known != name)
    {
        hidden.push((name, value));
    }
    SignInForm {
        asks_username: form.select(&USERNAME).any(typed),
        asks_password: form.select(&PASSWORD).next().is_some(),
        asks_domain: form.select(&DOMAIN).any(typed),
        hidden,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "<input type='hidden' \
        name='0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef' \
        value='fedcba9876543210fedcba9876543210fedcba9876543210fedcba9876543210'>";

    fn page(form: &str) -> Option<SignInPage> {
        sign_in_page(&format!("<html><body><img id='login_logo'>{form}</body></html>"))
    }

    fn credentials(fields: &str) -> SignInForm {
        match page(&format!("<form method='post'>{fields}<input type='submit' id='btn_login'></form>")) {
            Some(SignInPage::Credentials(form)) => form,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_form_is_recognised_with_and_without_a_token() {
        let fields = "<input type='text' name='username'><input type='password' name='password'>";
        let released = credentials(fields);
        assert!(released.asks_username && released.asks_password && released.hidden.is_empty());
        let master = credentials(&format!("{fields}{TOKEN}"));
        assert_eq!(master.hidden.len(), 1);
        assert!(!format!("{master:?}").contains("fedcba"));
    }

    #[test]
    fn user_name_and_password_may_be_asked_for_on_two_pages() {
        let first = credentials("<input type='text' name='username'>");
        assert!(first.asks_username && !first.asks_password);
        let second = credentials(
            "<input type='hidden' name='username' value='a'><input type='password' name='password'>",
        );
        assert!(!second.asks_username && second.asks_password);
        assert_eq!(second.hidden, [("username".to_owned(), "a".to_owned())]);
    }

    #[test]
    fn pages_that_only_a_person_can_complete_are_recognised() {
        let code = page("<form method='post'><input type='text' name='authentication_code'></form>");
        assert!(matches!(code, Some(SignInPage::Code(_))));
        let enrolment = page(
            "<form method='post'><img src='data:image/jpeg;base64,AAAA'>SECRET<input type='submit'></form>",
        );
        assert!(matches!(enrolment, Some(SignInPage::Enrolment)));
        let new_password =
            page("<form><input type='password' name='a'><input type='password' name='b'></form>");
        assert!(matches!(new_password, Some(SignInPage::NewPassword)));
    }

    #[test]
    fn the_form_of_a_user_is_not_a_sign_in_form() {
        let form = "<form id='frm'><input name='username'><input type='password' name='password'></form>";
        assert!(sign_in_page(form).is_none());
        assert!(sign_in_page("<html>username password</html>").is_none());
    }
}
