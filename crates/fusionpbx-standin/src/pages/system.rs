//! `app/system/system.php`: the server's state, with its version.

use maud::html;

use super::super::exchange::Answer;
use super::Page;
use super::layout::shell;

pub(super) fn page(page: &mut Page<'_>) -> Answer {
    if !page.may("system_view_info") {
        return Answer::access_denied();
    }
    let version = page.state.profile.version();
    Answer::page(shell(
        page,
        "System Status",
        html! {
            b { "System Status" }
            table {
                tr { th class="th" colspan="2" { "System Information" } }
                tr { td class="vncell" { "Version" } td class="row_style1" { (version) } }
                tr { td class="vncell" { "PHP Version" } td class="row_style1" { "8.2.29" } }
                tr { td class="vncell" { "Switch Version" } td class="row_style1" { "1.10.12 (release)" } }
            }
        },
    ))
}
