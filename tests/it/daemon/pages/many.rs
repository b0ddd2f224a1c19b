//! Many credentials: a page shows its own fifty and is quick. Reading the files of ten thousand takes a build that is not optimised
//! half a minute, so fewer are tried unless `HANDOVER_MANY` says how many.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use handover::daemon::api::Role;

use super::super::{House, address, run};
use super::{Visitor, token};

/// As many as are tried by themselves.
const MANY: usize = 2_000;
const A_FILE: usize = 400;

#[test]
fn many_credentials_are_paged_and_found_by_name() {
    let house = House::new();
    let many: usize = std::env::var("HANDOVER_MANY").ok().and_then(|text| text.parse().ok()).unwrap_or(MANY);
    let pages = many.div_ceil(50);
    let text = std::fs::read_to_string(house.inventory()).expect("it reads");
    let smtp = text.lines().find(|line| line.starts_with("    smtp:")).expect("a server");
    // As a folder of files, each of which is small.
    std::fs::remove_file(house.inventory()).expect("it goes");
    std::fs::create_dir(house.inventory()).expect("a folder");
    std::fs::write(house.inventory().join("base.yaml"), &text).expect("it writes");
    let schedule = "schedule: {playbook: scheduled, cron: \"0 3 * * *\", timezone: Europe/Berlin}";
    for file in 0..many.div_ceil(A_FILE) {
        let mut text = "version: 1\ncredentials:\n".to_owned();
        for n in (file * A_FILE).max(1)..((file + 1) * A_FILE).min(many) {
            let fields = "fields: {username: U, password: P}, environment: production";
            write!(text, "  mail-{n:05}:\n    provider: sandbox\n    account: a{n}\n{smtp}\n    {schedule}\n")
                .expect("text");
            writeln!(text, "    probe: {{from: a@b.test, to: c@d.test, arrival: none}}").expect("text");
            writeln!(text, "    entries: {{only: {{store: hosts, path: /nowhere/{n}.env, {fields}}}}}").expect("text");
        }
        text += "services:\n";
        for n in (file * A_FILE).max(1)..((file + 1) * A_FILE).min(many) {
            let reads = format!(
                "credential: mail-{n:05}, entry: only, environment: production, owner: ops, reload: {{command: [\"true\"]}}"
            );
            writeln!(text, "  app-{n:05}: {{{reads}}}").expect("text");
        }
        std::fs::write(house.inventory().join(format!("part-{file:02}.yaml")), text).expect("it writes");
    }
    run(async {
        let (daemon, journal) = house.daemon().await;
        let visitor = Visitor::new(address(&daemon), &token(&journal, "v", Role::Viewer).await).await;
        let rows = |text: &str| text.matches("href=\"/credentials/").count();
        let began = Instant::now();
        let first = visitor.get("/").await.text;
        assert!(first.contains(&format!("page 1 of {pages}, {many} credentials")) && rows(&first) == 50, "{first}");
        let last = visitor.get(&format!("/?page={pages}")).await.text;
        assert!(last.contains("newsletter") && last.contains(&format!("page {pages} of {pages}")));
        let found = visitor.get("/?name=mail-0199").await.text;
        assert!(rows(&found) == 10 && found.contains("mail-01993") && !found.contains("mail-00001"), "{found}");
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
