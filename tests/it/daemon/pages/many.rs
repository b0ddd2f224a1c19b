//! Ten thousand credentials: a page shows its own fifty and is quick.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use handover::daemon::api::Role;

use super::super::{House, address, run};
use super::{Visitor, token};

const MANY: usize = 10_000;

#[test]
fn ten_thousand_credentials_are_paged_and_found_by_name() {
    let house = House::new();
    let mut text = std::fs::read_to_string(house.inventory()).expect("it reads");
    let at = text.find("services:\n").expect("services");
    let smtp = text.lines().find(|line| line.starts_with("    smtp:")).expect("a server").to_owned();
    let mut more = String::new();
    for n in 1..MANY {
        let schedule = "schedule: {playbook: scheduled, cron: \"0 3 * * *\", timezone: Europe/Berlin}";
        let entry = format!(
            "only: {{store: hosts, path: /nowhere/{n}.env, fields: {{username: U, password: P}}, environment: production}}"
        );
        write!(more, "  mail-{n:05}:\n    provider: sandbox\n    account: a{n}\n{smtp}\n    {schedule}\n").expect("text");
        write!(more, "    probe: {{from: a@b.test, to: c@d.test, arrival: none}}\n    entries: {{{entry}}}\n")
            .expect("text");
    }
    text.insert_str(at, &more);
    std::fs::write(house.inventory(), text).expect("it writes");
    run(async {
        let (daemon, journal) = house.daemon().await;
        let visitor = Visitor::new(address(&daemon), &token(&journal, "v", Role::Viewer).await).await;
        let rows = |text: &str| text.matches("href=\"/credentials/").count();
        let began = Instant::now();
        let first = visitor.get("/").await.text;
        assert!(first.contains("page 1 of 200, 10000 credentials") && rows(&first) == 50, "{first}");
        let last = visitor.get("/?page=200").await.text;
        assert!(last.contains("newsletter") && last.contains("page 200 of 200") && rows(&last) == 50);
        let found = visitor.get("/?name=mail-0999").await.text;
        assert!(rows(&found) == 10 && found.contains("mail-09993") && !found.contains("mail-00001"), "{found}");
        let paged = visitor.get("/?name=9&page=3").await.text;
        assert!(paged.contains("href=\"/?name=9&amp;page=4#all\"") && rows(&paged) == 50, "{paged}");
        let none = visitor.get("/?name=%3Cb%3E").await.text;
        assert!(none.contains("None has “&lt;b&gt;” in its name"), "{none}");
        for odd in ["/?page=0", "/?page=-1", "/?page=99999999999999999999", "/?page=x"] {
            assert_eq!(rows(&visitor.get(odd).await.text), 50, "{odd}");
        }
        // Nine pages, in a build that is not optimised, on a machine that has other things to do.
        assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
        assert!(first.len() < 60_000, "{}", first.len());
        daemon.stop().await;
    });
}
