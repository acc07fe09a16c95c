//! Which account belongs to which user of the PBX.

use std::collections::BTreeSet;

use crate::model::PbxUser;
use crate::store::data::UserRow;

/// A user of the PBX and its account, if it has one.
pub(super) type Pair<'a> = (&'a PbxUser, Option<&'a UserRow>);

/// Pairs the users of the PBX with their accounts. Also returns the ids of the accounts that were paired.
pub(super) fn match_users<'a>(
    accounts: &'a [UserRow],
    observed: &'a [PbxUser],
) -> (Vec<Pair<'a>>, BTreeSet<String>) {
    let synced: Vec<&UserRow> = accounts.iter().filter(|account| account.is_synced()).collect();
    let mut paired = BTreeSet::new();
    let mut by_name: Vec<&PbxUser> = observed.iter().collect();
    by_name.sort_by(|a, b| (&a.username, a.id).cmp(&(&b.username, b.id)));
    // Known ids first, so that a user who took over another one's name does not get that one's account.
    let (known, others): (Vec<_>, Vec<_>) =
        by_name.into_iter().partition(|user| synced.iter().any(|row| row.pbx_user_id == Some(user.id)));
    let pairs =
        known.into_iter().chain(others).map(|user| (user, account_of(&synced, user, &mut paired))).collect();
    (pairs, paired)
}

/// The account of a user: by the user's id on the PBX or, after a move to another PBX, by name.
fn account_of<'a>(
    synced: &[&'a UserRow],
    user: &PbxUser,
    paired: &mut BTreeSet<String>,
) -> Option<&'a UserRow> {
    let found = synced.iter().find(|row| row.pbx_user_id == Some(user.id)).or_else(|| {
        synced
            .iter()
            .find(|row| row.username.eq_ignore_ascii_case(&user.username) && !paired.contains(&row.id))
    })?;
    paired.insert(found.id.clone()).then_some(*found)
}
