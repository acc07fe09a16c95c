//! The sign-in page, which every page shows to whom it does not know.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::super::exchange::Answer;
use super::super::fault::FaultKind;
use super::super::language::{Language, Word};
use super::super::rules::BadMask;
use super::super::session::{Account, Token};
use super::super::state::SignIn;
use super::super::tables::hex;
use super::{DASHBOARD, Page, dashboard, fatal_error};

/// What a request without a session gets: the form, or a try at signing in.
pub(super) fn page(page: &mut Page<'_>) -> Answer {
    let call = page.call;
    if page.session.first_factor.is_some() {
        return second_factor(page);
    }
    let Some(typed) = call.request("username").filter(|name| !name.is_empty()) else {
        let token = page.session.new_token("login");
        let token = page.state.profile.has_sign_in_token().then_some(&token);
        let messages = page.session.take_messages(page.state.profile.message_delay());
        let remember = page.state.profile.offers_to_remember();
        let known = page.session.username.clone();
        return Answer::page(form(page.language, token, remember, known.as_deref(), &messages).into_string());
    };
    if page.state.profile.has_sign_in_token() && !page.session.take_token("login", |name| call.request(name))
    {
        page.bad_news(Word::InvalidToken);
        return Answer::to("login.php");
    }
    let password = call.request("password").unwrap_or_default();
    password.clone_into(&mut page.state.last_password);

    let (domain, username) = page.state.split_username(typed.trim(), &call.host);
    // The session moves to the domain before the password is checked, and stays there when it was wrong.
    if domain.is_some() {
        page.session.domain = domain;
        page.load_block();
    }
    page.session.username = Some(username.to_owned());
    let account = domain
        .filter(|_| !page.strike.has(&FaultKind::RejectCredentials))
        .and_then(|domain| page.state.authenticate(domain, username, password));
    let account = match account {
        None => None,
        Some(user) if !page.state.profile.block_refuses_sign_in() => Some(page.state.account(user)),
        Some(user) => match page.state.admits_sign_in(user.domain_uuid, call.client) {
            Ok(true) => Some(page.state.account(user)),
            Ok(false) => None,
            Err(BadMask) => return fatal_error(),
        },
    };
    let username = username.to_owned();
    if account.is_some() && (page.state.totp_secret.is_some() || page.state.totp_enrols) {
        // All in one post is refused: the code is looked for before the password has been remembered.
        if call.post("authentication_code").is_some() {
            return decide(page, None, username);
        }
        page.session.first_factor = account;
        page.session.username = Some(username);
        return second_factor(page);
    }
    decide(page, account, username)
}

/// The second factor: the form for the code, or a try with one.
fn second_factor(page: &mut Page<'_>) -> Answer {
    let Some(code) = page.call.post("authentication_code") else {
        let token = page.session.new_token("login");
        let token = page.state.profile.has_sign_in_token().then_some(token);
        if page.state.totp_secret.is_some() {
            return Answer::page(code_form(token.as_ref()).into_string());
        }
        // The secret is stored before anybody has noted it.
        let secret = new_secret();
        page.state.totp_secret = Some(secret.clone());
        return Answer::page(secret_page(token.as_ref(), &secret).into_string());
    };
    let call = page.call;
    if page.state.profile.has_sign_in_token() && !page.session.take_token("login", |name| call.request(name))
    {
        return Answer::to("login.php");
    }
    let now = u64::try_from(page.state.now().timestamp()).unwrap_or_default();
    let valid = page
        .state
        .totp_secret
        .as_deref()
        .and_then(|secret| totp_rs::Secret::try_from_base32(secret).ok())
        .is_some_and(|secret| {
            totp_rs::Builder::new().with_secret(secret).build_noncompliant().check(code, now).is_some()
        });
    let account = page.session.first_factor.take();
    let username = page.session.username.take().unwrap_or_default();
    decide(page, account.filter(|_| valid), username)
}

/// A secret as FusionPBX makes one: 32 letters of base 32.
fn new_secret() -> String {
    let letters = rand::random::<[u8; 32]>();
    letters
        .iter()
        .map(|byte| char::from(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"[usize::from(byte % 32)]))
        .collect()
}

/// A page of the sign-in after the password.
fn box_of(title: &str, token: Option<&Token>, content: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html {
            head { title { (title) } }
            body {
                div id="page" align="center" {
                    div id="message_container" {}
                    div id="default_login" {
                        a href="/" { img id="login_logo" src="/themes/default/images/logo_login.png"; }
                        form method="post" name="frm" action="" {
                            (content)
                            @if let Some(token) = token { input type="hidden" name=(token.name) value=(token.value); }
                        }
                    }
                }
            }
        }
    }
}

fn code_form(token: Option<&Token>) -> Markup {
    let content = html! {
        div class="login_text" {
            "Enter the authentication code."
            input class="formfld" type="text" name="authentication_code" maxlength="255" placeholder="Authentication Code";
        }
        div {
            input type="submit" name="" class="btn" value="Verify";
            a class="login_link" href="/logout.php" { "Cancel" }
        }
    };
    box_of("Verify", token, &content)
}

/// What an account without a secret gets: a new one, shown once.
fn secret_page(token: Option<&Token>, secret: &str) -> Markup {
    let content = html! {
        div id="totp_qr" class="login_text" {
            "Scan the code with an application for one-time passwords." br;
            img src="data:image/jpeg;base64,/9j/4AAQSkZJRgABAQEAYABgAAD/2wBDAAgGBgcGBQgHBwcJCQgKDBQNDAsLDBkSEw8U"; br;
            (secret) br;
        }
        div { input type="submit" name="" class="btn" value="Next"; }
    };
    box_of("Verify", token, &content)
}

/// Lets an account in, or says that it is not.
fn decide(page: &mut Page<'_>, account: Option<Account>, username: String) -> Answer {
    let call = page.call;
    let at = page.state.now();
    page.state.sign_ins.push(SignIn {
        at,
        username,
        domain: page.session.domain,
        client: call.client,
        accepted: account.is_some(),
    });
    match account {
        Some(account) => {
            page.load_block();
            page.session.username = Some(account.username.clone());
            page.session.account = Some(account);
            page.session.user_agent.clone_from(&call.user_agent);
            page.session.created = None;
            if page.state.profile.renews_the_session_at_sign_in() {
                page.session.rotate();
            }
            page.log(true);
            let body = match page.state.profile.sends_the_dashboard_with_the_redirect() {
                true => dashboard(page),
                false => String::new(),
            };
            Answer { body, ..Answer::to(DASHBOARD) }
        }
        None => {
            if page.state.profile.logs_failed_sign_ins() {
                page.log(false);
            }
            page.bad_news(Word::SignInFailed);
            let path: String = url::form_urlencoded::byte_serialize(page.php_self.as_bytes()).collect();
            Answer::to(format!("/?path={path}"))
        }
    }
}

/// A sign-in page that belongs to no session: its token is good for nothing.
pub(in super::super) fn stray_sign_in_page(language: Language) -> String {
    let token = super::Session::default().new_token("login");
    form(language, Some(&token), true, None, "").into_string()
}

/// An error page as a careless server writes it: it repeats what was posted.
pub(in super::super) fn error_page_with_secret(secret: &str) -> String {
    let encoded: String = url::form_urlencoded::byte_serialize(secret.as_bytes()).collect();
    let hexed = hex(secret.as_bytes());
    html! {
        (DOCTYPE)
        html {
            head { title { "500 " (secret) } }
            body {
                h1 { "Fatal error" }
                pre { "POST username=…&password=" (encoded) " (" (hexed) ")" }
                p { (PreEscaped(secret)) }
            }
        }
    }
    .into_string()
}

fn form(
    language: Language,
    token: Option<&Token>,
    remember: bool,
    known: Option<&str>,
    messages: &str,
) -> Markup {
    let script = format!(
        "function display_message(msg, mood, delay) {{}}\n$(document).ready(function() {{\n\t\t{messages}\n}});"
    );
    html! {
        (DOCTYPE)
        html xmlns="http://www.w3.org/1999/xhtml" xml:lang=(language.tag()) lang=(language.tag()) {
            head {
                meta charset="utf-8";
                script type="text/javascript" { (PreEscaped(script)) }
                title { "Login" }
            }
            body {
                div id="page" align="center" {
                    div id="message_container" {}
                    div id="default_login" {
                        form method="post" name="frm" action="" {
                            div class="login_text" {
                                @if let Some(known) = known {
                                    "Enter your password."
                                    input type="hidden" name="username" id="username" value=(known);
                                } @else {
                                    input type="text" class="txt login" name="username" id="username" placeholder="Username";
                                }
                                input type="password" class="txt login" name="password" placeholder="Password";
                            }
                            @if remember {
                                label for="remember" {
                                    input type="checkbox" id="remember" name="remember";
                                    div class="login_text" { "Remember Me" }
                                }
                            }
                            div {
                                input type="submit" id="btn_login" class="btn" value="Login";
                                @if known.is_some() { a class="login_link" href="/logout.php" { "Cancel" } }
                            }
                            @if let Some(token) = token { input type="hidden" name=(token.name) value=(token.value); }
                        }
                    }
                }
            }
        }
    }
}
