//! What pages say, and never say: hostile words come out as words (threat T19), and no secret at any role (S21).

use handover::alerts::Report;
use handover::daemon::api::{Role, routes};
use handover::journal::AlertState;
use handover::journal::Register;
use handover::marks::Mark;
use handover::secret::Secret;
use reqwest::{Method, StatusCode};

use super::super::{House, address, run, until};
use super::{Visitor, token};
use crate::support::secrets::{found, needles};

/// What leaves its place, where it is let.
const HOSTILE: &str = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>\u{202e}";

/// How it must come out.
const SHOWN: &str = "&lt;script&gt;alert(1)&lt;/script&gt;&quot;&#39;&gt;&lt;img src=x onerror=alert(2)&gt;\\u{202e}";

#[test]
fn t19_hostile_words_come_out_as_words_and_no_secret_comes_out_at_all() {
    let house = House::new();
    let text = std::fs::read_to_string(house.inventory()).expect("it reads");
    let owner = serde_json::Value::from(HOSTILE).to_string();
    let hostile = text.replace("newsletter-oncall@sandbox.test", &owner);
    assert_ne!(text, hostile);
    std::fs::write(house.inventory(), hostile).expect("it writes");
    let before = house.world.passwords();
    run(async {
        let (daemon, journal) = house.daemon().await;
        let address = address(&daemon);
        // A leak of what is current, told by somebody who writes what they like.
        let (_, password) = super::super::killed::login(&house);
        let mut report = Report::new("scanner", "7").raw(vec![Secret::new(password)]);
        // Past what sources do to words already.
        report.reference = HOSTILE.to_owned();
        report.url = Some("javascript:alert(3)".to_owned());
        daemon.desk.take_in([1; 32], vec![report]).await.expect("it is kept");
        let unknown = Report::new(HOSTILE, HOSTILE).mark(Some(Mark::KeyId("nobody's".to_owned())));
        daemon.desk.take_in([2; 32], vec![unknown]).await.expect("it is kept");
        daemon.desk.tell(handover::daemon::News::NotBegun {
            credential: handover_rotation::name::CredentialName::new("newsletter").expect("a name"),
            why: HOSTILE.to_owned(),
        });
        let admin = Visitor::new(address, &token(&journal, "admin", Role::Admin).await).await;
        let mut pages = vec![admin.get("/").await.text, admin.get("/alerts").await.text];
        let id = until("the closed alert", || async {
            let all = journal.alerts(Some(AlertState::Closed), 10).await.expect("they are there");
            all.into_iter().find_map(|alert| alert.rotation)
        })
        .await;
        let viewer = Visitor::new(address, &token(&journal, "viewer", Role::Viewer).await).await;
        let mut seen = 0;
        for visitor in [&admin, &viewer] {
            for route in routes().iter().filter(|route| route.is_of_pages() && route.method == Method::GET) {
                let path = route.path.replace("{credential}", "newsletter").replace("{rotation}", id.as_str());
                pages.push(visitor.get(&path).await.text);
                seen += 1;
            }
        }
        assert!(seen > 20, "only {seen} were looked at");
        let plan = admin.send("/credentials/newsletter/plan", &[("playbook", "drill")]).await;
        assert_eq!(plan.status, StatusCode::OK, "{}", plan.text);
        pages.push(plan.text);

        let mut passwords = house.world.passwords();
        passwords.extend(before);
        assert!(passwords.len() >= 2, "old and new");
        let needles: Vec<_> = passwords.iter().flat_map(|(id, password)| needles(id, password)).collect();
        for page in &pages {
            assert_eq!(found(page.as_bytes(), &needles), Vec::<String>::new(), "{page}");
            for wrong in ["<script>", "<img", "\u{202e}", "\u{1b}", "href=\"javascript:"] {
                assert!(!page.contains(wrong), "{wrong:?} in {page}");
            }
        }
        let alerts = admin.get("/alerts").await.text;
        for words in [SHOWN, "first tried", "acknowledged", "refused", "after it came in", "fits nothing"] {
            assert!(alerts.contains(words), "{words}: {alerts}");
        }
        let rotation = admin.get(&format!("/rotations/{id}")).await.text;
        let reason = format!("<dt>reason</dt><dd>{SHOWN}</dd>");
        assert!(rotation.contains(&reason) && rotation.contains("<svg"), "{rotation}");
        let credential = admin.get("/credentials/newsletter").await.text;
        assert!(credential.contains(&format!("<td data-label=\"owner\">{SHOWN}</td>")), "{credential}");
        assert!(pages[0].contains(SHOWN), "{}", pages[0]);
        daemon.stop().await;
    });
}
