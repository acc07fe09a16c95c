//! Pages of what stands between a client and FusionPBX, or was put into it by a site.

use maud::{DOCTYPE, Markup, html};

use super::exchange::Answer;

/// What a reverse proxy answers when the server behind it does not.
pub(super) fn proxy_page(code: u16) -> Answer {
    let name = match code {
        502 => "502 Bad Gateway",
        503 => "503 Service Temporarily Unavailable",
        504 => "504 Gateway Time-out",
        _ => "Error",
    };
    let page = html! {
        html {
            head { title { (name) } }
            body { center { h1 { (name) } } hr; center { "nginx" } }
        }
    };
    Answer { status: code, body: page.into_string(), ..Answer::default() }
}

/// What a web application firewall answers to a request that it blocks.
pub(super) fn firewall_page(code: u16) -> Answer {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head { meta charset="utf-8"; title { "Request blocked" } }
            body {
                h1 { "The requested URL was rejected." }
                p { "Please consult with your administrator." }
                p { "Your support ID is: 1234567890123456789" }
            }
        }
    };
    Answer { status: code, body: page.into_string(), ..Answer::default() }
}

/// Terms to be confirmed before anything else is shown.
pub(super) fn terms_page() -> String {
    let content = html! {
        p { "Use of this system is monitored and for authorised persons only." }
        input type="checkbox" id="accept" name="accept" value="true";
        label for="accept" { "I accept the terms of use" }
        input type="submit" class="btn" value="Continue";
    };
    login_page("Terms of Use", &content)
}

/// The wish for a new password.
pub(super) fn new_password_page() -> String {
    let content = html! {
        p { "Your password has expired." }
        input type="password" class="txt login" name="password_new" placeholder="New Password";
        input type="password" class="txt login" name="password_repeat" placeholder="Confirm Password";
        input type="submit" class="btn" value="Save";
    };
    login_page("Change Password", &content)
}

fn login_page(title: &str, content: &Markup) -> String {
    html! {
        (DOCTYPE)
        html {
            head { meta charset="utf-8"; title { (title) } }
            body {
                div id="page" align="center" {
                    div id="default_login" {
                        img id="login_logo" src="/themes/default/images/logo_login.png";
                        form method="post" action="" { (content) }
                    }
                }
            }
        }
    }
    .into_string()
}
