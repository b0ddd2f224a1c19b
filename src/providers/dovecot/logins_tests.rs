use handover_rotation::plan::Shape;

use super::*;

fn tag(text: &str) -> Tag {
    Tag::new(text).expect("a tag")
}

/// Logins of an account with these password fields.
fn logins(shape: Shape, fields: &[Option<&str>]) -> Logins {
    let login = |(n, field): (usize, &Option<&str>)| {
        let mut login = Login::new(["news-a", "news-b"][n]);
        login.field = field.map(Field::new);
        login
    };
    Logins { account: "news".to_owned(), shape, all: fields.iter().enumerate().map(login).collect() }
}

/// The versions as `login tag state`, the tag left out where there is none.
fn told(logins: &Logins) -> Vec<String> {
    let versions = logins.versions().expect("versions");
    let tell = |v: &ListedVersion| {
        let tag = v.tag.as_ref().map_or_else(String::new, |t| format!(" {t}"));
        format!("{}{tag} {:?}", v.username, v.state)
    };
    versions.iter().map(tell).collect()
}

fn id(logins: &Logins, n: usize) -> VersionId {
    logins.versions().expect("versions")[n].id.clone()
}

#[test]
fn the_idle_login_of_two_gets_the_new_password() {
    for idle in [None, Some(""), Some("!"), Some("*"), Some("{SHA512-CRYPT}$6$HandoverLocked$abc")] {
        let mut all = logins(Shape::Alternating, &[Some("{X}$1"), idle]);
        let (made, username) = all.create(&tag("t1"), Field::new("{X}$2")).expect("is made");
        assert_eq!(username.as_str(), "news-b");
        assert_eq!(told(&all), ["news-a Active", "news-b t1 Active"], "{idle:?}");
        assert!(made.as_str().starts_with("news-b#") && id(&all, 1) == made);
        let full = all.create(&tag("t2"), Field::new("{X}$3")).expect_err("is full");
        assert_eq!(full.code, "HO0503");
        let old = id(&all, 0);
        all.disable(&old).expect("is disabled");
        assert_eq!(told(&all), ["news-a Inactive", "news-b t1 Active"]);
        assert_eq!(all.create(&tag("t2"), Field::new("{X}$3")).expect_err("is full").code, "HO0503");
        all.delete(&old).expect("is deleted");
        all.delete(&old).expect("twice is once");
        assert_eq!(told(&all), ["news-b t1 Active"]);
        let (_, username) = all.create(&tag("t2"), Field::new("{X}$3")).expect("is made");
        assert_eq!(username.as_str(), "news-a");
        assert_eq!(told(&all), ["news-a t2 Active", "news-b t1 Active"]);
    }
}

#[test]
fn a_disabled_version_comes_back_as_it_was_with_its_tag() {
    let mut all = logins(Shape::Alternating, &[Some("{X}$1"), None]);
    let (made, _) = all.create(&tag("t1"), Field::new("{X}$2")).expect("is made");
    for _ in 0..2 {
        all.disable(&made).expect("is disabled");
        assert_eq!(told(&all), ["news-a Active", "news-b t1 Inactive"]);
        assert!(all.all[1].field.as_ref().is_some_and(|f| f.expose().starts_with(LOCK)));
    }
    for _ in 0..2 {
        all.enable(&made).expect("is enabled");
        assert_eq!(told(&all), ["news-a Active", "news-b t1 Active"]);
        assert_eq!(all.all[1].field.as_ref().map(Field::expose), Some("{X}$2"));
    }
}

#[test]
fn who_sets_a_password_by_hand_makes_a_version_that_is_not_ours() {
    let mut all = logins(Shape::Alternating, &[Some("{X}$1"), None]);
    let (made, _) = all.create(&tag("t1"), Field::new("{X}$2")).expect("is made");
    all.all[1].field = Some(Field::new("{X}$theirs"));
    assert_eq!(told(&all), ["news-a Active", "news-b Active"]);
    assert_ne!(id(&all, 1), made);
    assert_eq!(all.disable(&made).expect_err("is gone").code, "HO0506");
    assert!(all.delete(&made).is_ok());
    // Ours was disabled, and then they set one: it cannot come back over theirs.
    let mut all = logins(Shape::Alternating, &[Some("{X}$1"), None]);
    let (made, _) = all.create(&tag("t1"), Field::new("{X}$2")).expect("is made");
    all.disable(&made).expect("is disabled");
    all.all[1].field = Some(Field::new("{X}$theirs"));
    assert_eq!(all.enable(&made).expect_err("is taken").code, "HO0510");
}

#[test]
fn in_place_old_and_new_take_turns() {
    let mut all = logins(Shape::InPlace, &[Some("{X}$1")]);
    let old = id(&all, 0);
    let (new, _) = all.create(&tag("t1"), Field::new("{X}$2")).expect("is made");
    assert_eq!(told(&all), ["news-a Inactive", "news-a t1 Active"]);
    all.enable(&old).expect("is put back");
    assert_eq!(told(&all), ["news-a t1 Inactive", "news-a Active"]);
    assert_eq!(all.all[0].field.as_ref().map(Field::expose), Some("{X}$1"));
    all.delete(&new).expect("is deleted");
    assert_eq!(told(&all), ["news-a Active"]);
    all.create(&tag("t2"), Field::new("{X}$3")).expect("is made");
    all.create(&tag("t3"), Field::new("{X}$4")).expect("is made");
    assert_eq!(told(&all), ["news-a t2 Inactive", "news-a t3 Active"], "only the last is kept");
}

#[test]
fn an_account_without_a_login_is_told_and_gets_none() {
    let mut all = logins(Shape::Alternating, &[None, None]);
    assert_eq!(all.versions().expect_err("is not there").code, "HO0502");
    assert_eq!(all.create(&tag("t1"), Field::new("{X}$2")).expect_err("is not there").code, "HO0502");
}

#[test]
fn a_digest_is_only_of_what_has_a_salt() {
    for (field, salted) in [
        ("{ARGON2ID}$argon2id$v=19$m=65536", true),
        ("$2y$05$abc", true),
        ("{SSHA256.hex}00ff", true),
        ("{PLAIN}secret", false),
        ("{SHA256}abc", false),
        ("secret", false),
        ("{MD5}abc", false),
    ] {
        assert_eq!(Field::new(field).is_salted(), salted, "{field}");
        assert_eq!(Field::new(field).digest() == "unsalted", !salted, "{field}");
    }
}

#[test]
fn notes_are_read_as_they_are_written() {
    let texts = ["of=12 tag=handover:r-1.1", "of=12 tag=t kept={X}$a b tag=c", "of=12 kept={X}$a", "of=12"];
    for text in texts {
        assert_eq!(Note::read(text).map(|n| n.text().to_string()).as_deref(), Some(text));
    }
    for wrong in ["", "tag=t", "of", "of=1 tag=a b?=", "of=1 tag=é"] {
        assert!(Note::read(wrong).is_none_or(|n| n.tag.is_some()), "{wrong}");
    }
}
