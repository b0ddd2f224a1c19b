//! x
use super::out::Style;
use handover_rotation::{command::Command, event::Event, state::Rotation, time::Millis};
pub(crate) struct Live(u64);
impl Live {
    pub(crate) fn new(_: Style) -> Self {
        Self(0)
    }
    pub(crate) fn recorded(&mut self, e: &[(Millis, Event)], r: &Rotation) {
        for (at, e) in e {
            if self.0 == 0 {
                self.0 = r.started_at.0
            };
            let t = serde_json::to_string(e).unwrap();
            eprintln!("{:6} {}", at.0 - self.0, &t[..t.len().min(200)]);
        }
    }
    pub(crate) fn started(&mut self, _: &[Command], _: Millis) {}
    pub(crate) fn finish(&mut self) {}
}
pub(crate) struct JsonLines;
impl JsonLines {
    pub(crate) fn new() -> Self {
        Self
    }
    pub(crate) fn recorded(&mut self, e: &[(Millis, Event)], _r: &Rotation) {
        for (_, e) in e {
            println!("{}", serde_json::to_string(e).unwrap())
        }
    }
}
pub(crate) fn finished_line(r: &Rotation, o: &str, x: u8) -> String {
    serde_json::json!({"event":"finished","rotation":r.id,"outcome":o,"exit":x}).to_string()
}
