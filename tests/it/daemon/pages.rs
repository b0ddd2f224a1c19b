//! The pages, as a browser without scripts uses them: signed in with a token, forms and links only.

mod acts;
mod content;
mod forms;
mod lab_chromium;
mod many;

use std::net::SocketAddr;

use handover::daemon::api::{Role, new_token};
use handover::journal::{Register, SqliteJournal, TokenRow};
use reqwest::redirect::Policy;
use reqwest::{Client, Method, RequestBuilder, StatusCode};

use super::House;

/// A token under a name.
pub(super) async fn token(journal: &SqliteJournal, name: &str, role: Role) -> String {
    let (token, hash) = new_token().expect("chance");
    let row = TokenRow { name: name.to_owned(), role: role.text().to_owned(), hash, at_ms: 1 };
    journal.set_token(row).await.expect("it is kept");
    token
}

/// Somebody who has signed in.
pub(super) struct Visitor {
    client: Client,
    address: SocketAddr,
    cookie: String,
    form: String,
}

/// What a browser makes of a form.
pub(super) trait Form {
    fn form(self, fields: &[(&str, &str)]) -> Self;
}

impl Form for RequestBuilder {
    fn form(self, fields: &[(&str, &str)]) -> Self {
        let url = reqwest::Url::parse_with_params("http://x/", fields).expect("fields");
        self.header("content-type", "application/x-www-form-urlencoded").body(url.query().unwrap_or_default().to_owned())
    }
}

/// What a page answers.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) place: String,
    pub(super) text: String,
}

impl Answer {
    async fn of(request: RequestBuilder) -> Self {
        let answer = request.send().await.expect("an answer");
        let header = |name: &str| answer.headers().get(name).map(|v| v.to_str().expect("text").to_owned());
        let (status, place) = (answer.status(), header("location").unwrap_or_default());
        Self { status, place, text: answer.text().await.expect("text") }
    }
}

/// What stands between two texts, for the first time.
pub(super) fn between<'t>(text: &'t str, before: &str, after: &str) -> &'t str {
    let rest = text.split_once(before).unwrap_or_else(|| panic!("no {before:?} in {text}")).1;
    rest.split_once(after).expect("its end").0
}

pub(super) fn client() -> Client {
    Client::builder().no_proxy().redirect(Policy::none()).build().expect("a client")
}

impl Visitor {
    /// Signs in as a browser does.
    pub(super) async fn new(address: SocketAddr, token: &str) -> Self {
        let client = client();
        let request = client.post(format!("http://{address}/login")).header("origin", format!("http://{address}"));
        let answer = request.form(&[("token", token), ("to", "/alerts")]).send().await.expect("an answer");
        assert_eq!(answer.status(), StatusCode::SEE_OTHER);
        assert_eq!(answer.headers()["location"], "/alerts");
        let set = answer.headers()["set-cookie"].to_str().expect("text").to_owned();
        assert!(set.ends_with("; Path=/; HttpOnly; SameSite=Strict"), "{}", set.split('=').next().unwrap_or_default());
        let cookie = set.split(';').next().expect("a cookie").to_owned();
        let mut visitor = Self { client, address, cookie, form: String::new() };
        let home = visitor.get("/").await;
        assert_eq!(home.status, StatusCode::OK, "{}", home.text);
        visitor.form = between(&home.text, "name=\"form\" value=\"", "\"").to_owned();
        visitor
    }

    pub(super) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.client.request(method, format!("http://{}{path}", self.address));
        request.header("cookie", &self.cookie).header("accept", "text/html,*/*;q=0.8")
    }

    pub(super) async fn get(&self, path: &str) -> Answer {
        Answer::of(self.request(Method::GET, path)).await
    }

    /// A form of a page, as a browser sends it.
    pub(super) fn filled(&self, path: &str, fields: &[(&str, &str)]) -> RequestBuilder {
        let fields: Vec<(&str, &str)> = fields.iter().copied().chain([("form", self.form.as_str())]).collect();
        self.request(Method::POST, path).header("origin", format!("http://{}", self.address)).form(&fields)
    }

    pub(super) async fn send(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        Answer::of(self.filled(path, fields)).await
    }
}

/// A playbook made of the drill, with some lines replaced.
pub(super) fn playbook(house: &House, name: &str, changes: &[(&str, &str)]) {
    let folder = house.world.dir().join("playbooks");
    let mut text = std::fs::read_to_string(folder.join("drill.yaml")).expect("the drill is there");
    for (from, to) in [("name: drill", format!("name: {name}").as_str())].iter().chain(changes) {
        assert!(text.contains(from), "{text}");
        text = text.replace(from, to);
    }
    std::fs::write(folder.join(format!("{name}.yaml")), text).expect("it writes");
}

/// A gate before the old version is retired.
pub(super) const GATE: (&str, &str) =
    ("  - deactivate", "  - approve: {by: oncall@example.com, within: 4h}\n  - deactivate");
