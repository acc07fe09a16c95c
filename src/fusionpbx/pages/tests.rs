use std::time::Duration;

use proptest::prelude::*;
use scraper::Html;
use uuid::Uuid;

use super::answer::{SubstitutePage, describe, refusal, substitute_page};
use super::html::{PARSE_TIME, document, document_within, selectors, token};
use super::*;
use crate::fusionpbx::PbxErrorKind;
use crate::model::{DomainId, SettingId, SettingName};

const ID: &str = "6d5f5e4c-3b2a-4190-8f7e-6d5c4b3a2910";
const OTHER: &str = "0f1e2d3c-4b5a-4697-8877-665544332211";

fn hidden_token() -> String {
    format!("<input type='hidden' name='{}' value='{}'>", "a".repeat(64), "b".repeat(64))
}

fn id() -> Uuid {
    ID.parse().unwrap()
}

fn sign_in_text() -> String {
    format!(
        "<form method='post'><input name='username'><input type='password' name='password'>
         <input type='submit' id='btn_login'>{}</form>",
        hidden_token()
    )
}

#[test]
fn the_sign_in_form_is_recognised_by_its_password_field() {
    assert_eq!(substitute_page(&sign_in_text()), Some(SubstitutePage::SignInForm));
    let Some(SignInPage::Credentials(form)) = sign_in_page(&sign_in_text()) else { panic!("the form") };
    assert_eq!(form.hidden.last().unwrap().0, "a".repeat(64));
    // The form to edit a user, and a text that speaks of one.
    let edit = "<form id='frm'><input name='username'><input type='password' name='password'></form>";
    assert_eq!(substitute_page(edit), None);
    assert_eq!(
        substitute_page(
            "<td>&lt;input name='username'&gt;&lt;input name='password' type='password'&gt;</td>"
        ),
        None
    );
    assert_eq!(substitute_page(&format!("[{{\"domain_description\":\"{}\"}}]", "username password")), None);
}

#[test]
fn access_denied_is_recognised_only_as_the_whole_text() {
    assert_eq!(substitute_page("access denied"), Some(SubstitutePage::AccessDenied));
    assert_eq!(substitute_page("access denied\n"), Some(SubstitutePage::AccessDenied));
    assert_eq!(substitute_page("[{\"domain_description\":\"access denied\"}]"), None);
}

#[test]
fn debug_does_not_show_a_token() {
    let token = token(&document(&sign_in_text())).unwrap();
    assert_eq!(format!("{token:?}"), "Token(…)");
}

#[test]
fn the_text_of_a_refusal_contains_no_field_values() {
    let page = "<div align='center'><table><tr><td>Required Fields: Name<br />
                <br /></td></tr></table><form><input type='hidden' name='persistformvar' value='true'>
                <input type='hidden' name='domain_setting_value' value='canary'></form></div>";
    assert_eq!(refusal(page).as_deref(), Some("Required Fields: Name"));
    assert_eq!(refusal("<div align='center'><table><tr><td>x</td></tr></table></div>"), None);
}

#[test]
fn null_is_a_missing_permission_and_anything_but_json_is_an_error() {
    let row = format!(
        r#"[{{"domain_uuid":"{ID}","domain_name":"a","domain_enabled":true,"domain_description":null,"x":1}}]"#
    );
    let domains = enabled_domains(&row).unwrap();
    assert_eq!((domains[0].id, domains[0].description.as_str()), (DomainId(id()), ""));
    assert_eq!(enabled_domains(&row.replace("true", "\"true\"")).unwrap()[0].enabled, Some(true));
    assert!(matches!(enabled_domains("null"), Err(PbxErrorKind::AccessDenied { .. })));
    let found = |text: &str| match enabled_domains(text) {
        Err(PbxErrorKind::UnexpectedPage { found, .. }) => found,
        other => panic!("{other:?}"),
    };
    assert_eq!(found(&row[..row.len() - 4]), "JSON that ends early");
    assert_eq!(found("<html></html>"), "an HTML page of another form");
    assert_eq!(found(""), "an empty answer");
    assert_eq!(found("false"), "text of another form");
    assert_eq!(found("{}"), "JSON of another form");
}

fn domain_list(rows: &str, total: &str, buttons: &str) -> String {
    format!(
        "<a>Domains<div class='count' id='domain_count'></div></a>
         <div class='action_bar'><div class='heading'><b>Domains</b><div class='count'>{total}</div></div>{buttons}</div>
         <form id='form_list'><table class='list'>{rows}</table>{}</form>",
        hidden_token()
    )
}

fn domain_row(name: &str, button: &str, description: &str) -> String {
    format!(
        "<tr class='list-row'>
         <td><input type='checkbox' name='domains[0][checked]' data-item-name='{name}'>
         <input type='hidden' name='domains[0][uuid]' value='{ID}'></td>
         <td><a href='domain_edit.php'>{name}</a></td><td class='no-link center'><a>Manage</a>&nbsp; <a>Settings</td>
         <td class='no-link center'>{button}<div><table><tr><td><button>Continue</button></td></tr></table></div></td>
         <td class='description overflow'>{description}</td></tr>"
    )
}

#[test]
fn a_row_of_the_list_has_the_exact_name_and_description() {
    let row = domain_row(
        "a&apos;b",
        "<button alt='Ein'><span>Ein</span></button>",
        "1 &lt; 2  &amp;amp; &quot;3&quot;",
    );
    let page = DomainPage::parse(&domain_list(&row, "12,345", "<button id='btn_add'>")).unwrap();
    assert_eq!(page.total, 12_345);
    assert_eq!(
        page.rows,
        [DomainRow {
            id: DomainId(id()),
            name: "a'b".into(),
            enabled_label: "Ein".into(),
            description: "1 < 2  &amp; \"3\"".into()
        }]
    );
    assert_eq!((page.may_add, page.may_edit, page.may_delete), (true, Some(false), Some(false)));
}

#[test]
fn a_column_that_is_null_has_no_label() {
    let row = domain_row("a", "<button alt='Toggle'></button>", "");
    let page = DomainPage::parse(&domain_list(&row, "1", "<button id='btn_delete'>")).unwrap();
    assert_eq!(page.rows[0].enabled_label, "");
    assert_eq!(page.may_delete, Some(true));
}

#[test]
fn a_list_that_breaks_off_is_an_error() {
    let whole = domain_list(&domain_row("a", "<button>True</button>", ""), "1", "");
    let at = whole.find("</table>").unwrap();
    for page in [&whole[..at], &whole[..20], "", "<html>"] {
        assert!(matches!(DomainPage::parse(page), Err(PbxErrorKind::UnexpectedPage { .. })));
    }
}

#[test]
fn a_list_without_ids_means_a_missing_permission() {
    let row = "<tr class='list-row'><td>a</td><td>True</td><td class='description'></td></tr>";
    assert!(matches!(
        DomainPage::parse(&domain_list(row, "1", "")),
        Err(PbxErrorKind::AccessDenied { permission: Some("domain_edit") })
    ));
}

fn domain_form(name: &str, enabled: &str) -> String {
    format!(
        "<select id='domains'><option value='x' selected='selected'>other</option></select>
         <form id='frm'><input name='domain_name' value=\"{name}\"><select name='domain_enabled'>{enabled}</select>
         <input name='domain_description' value=\"1 &lt; 2 &amp; &quot;3&quot;\">
         <input type='hidden' name='domain_uuid' value='{ID}'>{}</form>",
        hidden_token()
    )
}

#[test]
fn the_form_of_a_domain_has_the_exact_values() {
    let options = "<option value='true'>Ein</option><option value='false' selected='selected'>Aus</option>";
    let form = DomainForm::parse(&domain_form("a.example.com", options)).unwrap();
    assert_eq!(form.id, Some(DomainId(id())));
    assert_eq!((form.name.as_str(), form.enabled.value), ("a.example.com", false));
    assert_eq!(form.description, "1 < 2 & \"3\"");
    assert!(DomainForm::parse(&domain_form("a", "<option value='maybe' selected>")).is_err());
    assert!(DomainForm::parse(&domain_form("a", "<option value='true'>")).is_err());
}

fn setting_list(rows: &str, total: usize) -> String {
    format!(
        "<div class='heading'><b id='heading_sub'>a.example.com</b><div class='count'>{total}</div></div>
         <button id='btn_add'></button><button name='btn_toggle'></button>
         <div><form id='form_list'>{rows}</table></div>{}</form>",
        hidden_token()
    )
}

fn setting_row(category: &str, kind: &str, value: &str) -> String {
    format!(
        "<table><tr class='list-row'><td><input type='checkbox' class='checkbox_{category}'>
         <input type='hidden' name='domain_settings[0][uuid]' value='{OTHER}'></td>
         <td>\t<a>one</a>\t</td><td>{kind}</td><td>\n{value}\n\t</td><td><button>True</button></td>
         <td class='description'>x&nbsp;</td></tr>"
    )
}

#[test]
fn a_row_of_the_settings_tells_which_setting_it_is() {
    let list = SettingList::parse(&setting_list(&setting_row("my_cat", "Text", "a &lt; b"), 1)).unwrap();
    assert_eq!(list.domain_name, "a.example.com");
    let [row] = list.rows.as_slice() else { panic!() };
    assert_eq!(row.id, SettingId(OTHER.parse().unwrap()));
    assert_eq!(
        (row.category.as_str(), row.subcategory.as_str(), row.kind.as_str()),
        ("my_cat", "one", "text")
    );
    assert_eq!(row.shown.as_deref(), Some("a < b"));
    assert!(row.may_be(&SettingName::new("my_cat", "one", "text")));
    assert!(!row.may_be(&SettingName::new("my_cat", "one", "name")));
    let unknown = SettingList::parse(&setting_list(&setting_row("my_cat", "Array", ""), 1)).unwrap();
    assert!(
        unknown.rows[0].may_be(&SettingName::new("my_cat", "one", "odd")),
        "an unknown type is shown as Array"
    );
    assert_eq!((list.may_add, list.may_edit, list.may_delete), (true, Some(true), Some(false)));
}

#[test]
fn a_list_of_settings_without_rows_still_has_its_token() {
    let list = SettingList::parse(&setting_list("", 0)).unwrap();
    assert_eq!((list.rows.len(), list.may_delete), (0, None));
}

#[test]
fn a_list_of_settings_must_have_as_many_rows_as_its_total() {
    let page = setting_list(&setting_row("my_cat", "Text", "x"), 2);
    assert!(matches!(SettingList::parse(&page), Err(PbxErrorKind::Incomplete { expected: 2, found: 1 })));
}

fn setting_form(value: &str, order: &str, description: &str) -> String {
    format!(
        "<form id='frm'><input name='domain_setting_category' value='my_cat'>
         <input name='domain_setting_subcategory' value='one'>
         <select name='domain_setting_name'><option value=''></option><option value='text' selected='selected'>Text</select>
         {value}
         <select name='domain_setting_order'><option value='000'>000</option><option value='010' {order}>010</option></select>
         <select name='domain_setting_enabled'><option value='true' selected='selected'>x<option value='false'>y</select>
         <textarea name='domain_setting_description'>{description}</textarea>
         <input type='hidden' name='domain_uuid' value='{ID}'>
         <input type='hidden' name='domain_setting_uuid' value='{OTHER}'>{}</form>",
        hidden_token()
    )
}

fn value_of(control: &str, shown: Option<&str>) -> String {
    let row = SettingRow {
        id: SettingId(OTHER.parse().unwrap()),
        category: "my_cat".into(),
        subcategory: "one".into(),
        kind: "text".into(),
        shown: shown.map(str::to_owned),
    };
    SettingForm::parse(&setting_form(control, "selected", "")).unwrap().into_setting(&row).value
}

#[test]
fn the_form_of_a_setting_has_the_exact_values() {
    let form = SettingForm::parse(&setting_form(
        "<input name='domain_setting_value' value=\"a &lt; &quot;b&quot;\r\nc\">",
        "selected",
        "\n1 &lt; 2\r\n3",
    ))
    .unwrap();
    assert_eq!((form.domain, form.id), (Some(DomainId(id())), Some(SettingId(OTHER.parse().unwrap()))));
    assert_eq!(form.name, SettingName::new("my_cat", "one", "text"));
    assert_eq!((form.order, form.enabled.value), (Some(10), true));
    assert_eq!(form.description, "\n1 < 2\r\n3");
    let unset =
        SettingForm::parse(&setting_form("<input name='domain_setting_value' value=''>", "", "")).unwrap();
    assert_eq!(unset.order, None);
    assert_eq!(
        value_of("<input name='domain_setting_value' value=\"a &lt; &quot;b&quot;\r\nc\">", None),
        "a < \"b\"\r\nc"
    );
}

#[test]
fn a_text_area_is_read_unescaped_because_fusionpbx_does_not_escape_it() {
    let area = |text: &str| format!("<textarea id='x' name='domain_setting_value'>{text}</textarea>");
    assert_eq!(value_of(&area("\na <b>c</b> &amp; & \"d\"\r\n"), None), "\na <b>c</b> &amp; & \"d\"\r\n");
    // If a version did escape it, the list, which escapes, would tell.
    assert_eq!(value_of(&area("a &amp; b"), Some("a & b")), "a & b");
    assert_eq!(value_of(&area("a &amp; b"), Some("a &amp; b")), "a &amp; b");
}

#[test]
fn the_list_decides_when_a_select_does_not_offer_the_value() {
    let select = |chosen: &str| {
        format!(
            "<select name='domain_setting_value'><option value='false'>Aus</option>
             <option value='true' {chosen}>Ein</option></select>"
        )
    };
    assert_eq!(value_of(&select("selected='selected'"), Some("Ein")), "true");
    assert_eq!(value_of(&select(""), Some("Aus")), "false");
    assert_eq!(value_of(&select(""), Some("Europe/Kyiv")), "Europe/Kyiv");
    assert_eq!(value_of(&select(""), Some("**********")), "false");
    assert_eq!(value_of(&select(""), None), "false");
}

#[test]
fn the_link_of_a_user_names_its_domain() {
    let row = |link: &str| {
        format!(
            "<tr class='list-row' href='{link}'><td><input type='hidden' name='users[0][uuid]' value='{OTHER}'></td>
             <td></td><td> <a href='{link}'>bob</a> </td><td>admin, user</td><td></td><td></td><td></td>
             <td class='center'><button>True</button></td></tr>"
        )
    };
    let page = |rows: &str, show: &str| {
        format!(
            "<div class='heading'><div class='count'>1</div></div>
             <form id='form_search'>{show}</form><form id='form_list'><table>{rows}</table>{}</form>",
            hidden_token()
        )
    };
    let all = "<input type='hidden' name='show' value='all'>";
    let link = format!("user_edit.php?id={OTHER}&show=all&domain_uuid={ID}&domain_change=true");
    let user = UserPage::parse(&page(&row(&link), all)).unwrap().rows.remove(0);
    assert_eq!((user.domain, user.username.as_str()), (Some(DomainId(id())), "bob"));
    assert_eq!(
        (user.groups, user.enabled_label.as_str()),
        (vec!["admin".to_owned(), "user".to_owned()], "True")
    );
    let own = UserPage::parse(&page(&row("user_edit.php?id=1"), all)).unwrap();
    assert!(own.all_domains && own.rows[0].domain.is_none());
    assert!(!UserPage::parse(&page(&row(&link), "")).unwrap().all_domains);
}

/// Parts of pages in any order, cut off anywhere.
fn pages() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        Just(sign_in_text()),
        Just(domain_list(&domain_row("a", "<button>True</button>", "x"), "1", "")),
        Just(domain_form("a", "<option value='true' selected>")),
        Just(setting_list(&setting_row("my_cat", "Text", "x"), 1)),
        Just(setting_form("<textarea name='domain_setting_value'>x</textarea>", "selected", "y")),
        Just("</table></div></form>".to_owned()),
        Just(format!("[{{\"domain_uuid\":\"{ID}\",\"user_uuid\":\"{ID}\"")),
        "\\PC{0,40}",
        "[<>/='\" a-z&;#\r\n\\x00]{0,60}",
    ];
    (proptest::collection::vec(part, 0..5), any::<proptest::sample::Index>()).prop_map(|(parts, cut)| {
        let mut text = parts.concat();
        let mut at = cut.index(text.len() + 1);
        while !text.is_char_boundary(at) {
            at -= 1;
        }
        text.truncate(at);
        text
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn no_text_makes_a_parser_panic(text in pages()) {
        let _ = substitute_page(&text);
        let _ = sign_in_page(&text);
        let _ = version(&text);
        let _ = refusal(&text);
        let _ = describe(&text);
        let _ = enabled_domains(&text);
        let _ = json_users(&text);
        let _ = DomainPage::parse(&text);
        let _ = DomainForm::parse(&text);
        let _ = SettingList::parse(&text);
        let _ = UserPage::parse(&text);
        if let Ok(form) = SettingForm::parse(&text) {
            let row = SettingRow {
                id: SettingId(id()),
                category: String::new(),
                subcategory: String::new(),
                kind: String::new(),
                shown: None,
            };
            let _ = form.into_setting(&row);
        }
    }

    #[test]
    fn a_value_comes_through_a_text_area_unchanged(value in "[a-z<>&;\"' \r\n]{0,80}") {
        prop_assume!(!value.contains("</"));
        let area = format!("<textarea name='domain_setting_value'>{value}</textarea>");
        prop_assert_eq!(value_of(&area, None), value);
    }
}

#[test]
fn a_page_that_takes_too_long_is_empty_and_never_a_part() {
    let page = "<form id='form_list'><div class='count'>1</div></form>".repeat(1000);
    selectors! { FORM = "form"; }
    let forms = |document: &Html| document.select(&FORM).count();
    assert_eq!(forms(&document_within(&page, PARSE_TIME)), 1000);
    assert_eq!(forms(&document_within(&page, Duration::ZERO)), 0);
    assert_eq!(super::super::fuzzing::read_as_every_page(""), 0, "an empty text is no page");
    // Characters of several bytes across the pieces in which a page is parsed.
    for shift in 0..4 {
        let text = format!("<b>{}{}</b>", "x".repeat(shift), "\u{1f512}".repeat(20_000));
        let read: String = document_within(&text, PARSE_TIME).root_element().text().collect();
        assert_eq!(read.chars().count(), 20_000 + shift);
    }
}
