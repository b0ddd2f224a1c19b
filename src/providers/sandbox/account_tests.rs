use super::{Account, State, Terms, accounts_of, chooses_secret};
use crate::secret::Secret;
use handover_rotation::name::{Tag, VersionId};
use handover_rotation::plan::Shape;

const SHAPES: [Shape; 4] = [Shape::Reversible, Shape::DeleteOnly, Shape::Alternating, Shape::InPlace];

fn terms(shape: Shape, now: u64, delay: u64) -> Terms {
    Terms { shape, quota: 2, now, delay }
}

fn secret(text: &str) -> Secret {
    Secret::new(text.to_owned())
}

/// An account with its first version, made at 0.
fn account(shape: Shape) -> Account {
    let mut account = Account::new("news");
    account.create(&terms(shape, 0, 0), None, Some(&secret("first"))).expect("makes the first");
    account
}

fn id(number: u32) -> VersionId {
    VersionId::new(format!("news#{number}")).expect("valid")
}

/// The versions as `number state accepted-at-now`.
fn told(account: &Account, now: u64) -> Vec<(String, State, bool)> {
    account.versions.iter().map(|v| (v.username.to_string(), v.state, v.accepted_at(now))).collect()
}

#[test]
fn each_shape_makes_its_second_version_in_its_own_way() {
    use State::{Active, Inactive};
    let table = [
        (Shape::Reversible, vec![("news.1", Active, true), ("news.2", Active, true)]),
        (Shape::DeleteOnly, vec![("news.1", Active, true), ("news.2", Active, true)]),
        (Shape::Alternating, vec![("news-a", Active, true), ("news-b", Active, true)]),
        (Shape::InPlace, vec![("news", Inactive, false), ("news", Active, true)]),
    ];
    for (shape, expected) in table {
        let mut account = account(shape);
        let tag = Tag::new("t1").expect("valid");
        let made = account.create(&terms(shape, 10, 0), Some(&tag), Some(&secret("second"))).expect("makes it");
        assert_eq!(account.versions[made].tag.as_ref(), Some(&tag));
        let expected: Vec<_> = expected.into_iter().map(|(u, s, a)| (u.to_owned(), s, a)).collect();
        assert_eq!(told(&account, 10), expected, "{shape:?}");
        let password = account.versions[made].password.expose();
        if chooses_secret(shape) {
            assert_eq!(password, "second");
        } else {
            assert!(password.starts_with("hosb_") && password.len() == 45, "{shape:?}");
            assert!(password.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_'));
        }
    }
}

#[test]
fn a_full_account_refuses_a_third_and_changes_nothing() {
    // In place there is no third: what was overwritten is only history.
    for shape in SHAPES.into_iter().filter(|s| *s != Shape::InPlace) {
        let mut account = account(shape);
        account.create(&terms(shape, 1, 0), None, Some(&secret("second"))).expect("makes it");
        let before = told(&account, 1);
        let fault = account.create(&terms(shape, 2, 0), None, Some(&secret("third"))).expect_err("is full");
        assert_eq!(fault.code, "HO0503", "{shape:?}");
        assert_eq!(told(&account, 2), before);
        account.delete(&terms(shape, 3, 0), &id(1));
        account.create(&terms(shape, 4, 0), None, Some(&secret("third"))).expect("has room again");
        assert_eq!(account.versions.last().map(|v| v.id.clone()), Some(id(3)), "numbers are not used twice");
    }
}

#[test]
fn a_change_reaches_the_server_after_its_delay_and_in_order() {
    let mut account = account(Shape::Reversible);
    account.create(&terms(Shape::Reversible, 100, 50), None, None).expect("makes it");
    let new = |account: &Account, now| account.versions[1].accepted_at(now);
    assert!(!new(&account, 149) && new(&account, 150));

    account.disable(&terms(Shape::Reversible, 200, 50), &id(2)).expect("disables");
    assert_eq!(account.versions[1].state, State::Inactive);
    assert!(new(&account, 249) && !new(&account, 250));

    // Back on before the server knew that it was off; later, off again without delay.
    account.enable(&terms(Shape::Reversible, 210, 50), &id(2), None).expect("enables");
    assert!(new(&account, 249) && !new(&account, 255) && new(&account, 260));
    account.disable(&terms(Shape::Reversible, 220, 0), &id(2)).expect("disables");
    assert!(!new(&account, 220) && !new(&account, 1000), "an earlier change does not win later");
}

#[test]
fn repeating_a_change_moves_nothing() {
    for shape in [Shape::Reversible, Shape::Alternating, Shape::InPlace] {
        let mut account = account(shape);
        for now in [10, 20] {
            account.disable(&terms(shape, now, 5), &id(1)).expect("disables");
            assert_eq!(account.versions[0].changed_at, 10);
            assert!(!account.versions[0].accepted_at(15));
        }
        for now in [30, 40] {
            account.enable(&terms(shape, now, 5), &id(1), Some(&secret("first"))).expect("enables");
            assert_eq!(account.versions[0].changed_at, 30);
            assert!(account.versions[0].accepted_at(35));
        }
        for now in [50, 60] {
            account.delete(&terms(shape, now, 5), &id(1));
            assert_eq!((account.versions[0].state, account.versions[0].changed_at), (State::Deleted, 50));
        }
        account.delete(&terms(shape, 70, 5), &id(9));
        for result in [
            account.disable(&terms(shape, 80, 0), &id(1)),
            account.enable(&terms(shape, 80, 0), &id(1), Some(&secret("x"))),
            account.disable(&terms(shape, 80, 0), &id(9)),
        ] {
            assert_eq!(result.expect_err("is gone").code, "HO0506");
        }
    }
}

#[test]
fn one_that_only_deletes_disables_nothing() {
    let mut account = account(Shape::DeleteOnly);
    let terms = terms(Shape::DeleteOnly, 1, 0);
    assert_eq!(account.disable(&terms, &id(1)).expect_err("refuses").code, "HO0504");
    assert_eq!(account.enable(&terms, &id(1), None).expect_err("refuses").code, "HO0504");
    assert_eq!(told(&account, 1), [("news.1".to_owned(), State::Active, true)]);
}

#[test]
fn in_place_old_and_new_take_turns() {
    let shape = Shape::InPlace;
    let mut account = account(shape);
    assert_eq!(account.create(&terms(shape, 1, 0), None, None).expect_err("needs a password").code, "HO0507");
    account.create(&terms(shape, 1, 0), None, Some(&secret("second"))).expect("makes it");
    assert_eq!(account.enable(&terms(shape, 2, 0), &id(1), None).expect_err("needs a password").code, "HO0507");
    account.enable(&terms(shape, 2, 0), &id(1), Some(&secret("first"))).expect("sets the old one back");
    let states: Vec<State> = account.versions.iter().map(|v| v.state).collect();
    assert_eq!(states, [State::Active, State::Inactive]);
}

#[test]
fn an_alternating_login_cannot_have_two_passwords() {
    let shape = Shape::Alternating;
    let mut account = account(shape);
    let wide = |now| Terms { quota: 4, ..terms(shape, now, 0) };
    account.create(&wide(1), None, Some(&secret("second"))).expect("makes it");
    assert_eq!(account.create(&wide(2), None, Some(&secret("third"))).expect_err("both in use").code, "HO0510");
    account.disable(&wide(3), &id(1)).expect("disables");
    account.create(&wide(4), None, Some(&secret("third"))).expect("takes the idle login");
    let third = &account.versions[2];
    assert_eq!(third.username.as_str(), "news-a");
    assert_eq!(account.versions[0].state, State::Deleted, "its password was overwritten");
    account.disable(&wide(5), &id(2)).expect("disables");
    account.disable(&wide(5), &id(3)).expect("disables");
    assert!(account.enable(&wide(6), &id(3), Some(&secret("third"))).is_ok());
}

#[test]
fn the_new_one_is_the_newest_while_an_older_is_kept() {
    let mut account = account(Shape::Reversible);
    assert!(!account.is_new(&account.versions[0]));
    account.create(&terms(Shape::Reversible, 1, 0), None, None).expect("makes it");
    assert!(!account.is_new(&account.versions[0]) && account.is_new(&account.versions[1]));
    account.delete(&terms(Shape::Reversible, 2, 0), &id(1));
    assert!(!account.is_new(&account.versions[1]));
}

#[test]
fn every_login_name_leads_back_to_its_account() {
    for shape in SHAPES {
        for name in ["news", "news-a", "news.1", "n.e.w-s-b"] {
            let mut account = Account::new(name);
            account.create(&terms(shape, 0, 0), None, Some(&secret("x"))).expect("makes it");
            let username = account.versions[0].username.to_string();
            assert!(accounts_of(&username).any(|a| a == name), "{username}");
        }
    }
}
