//! x
pub(crate) mod plan {
    use super::super::out::Style;
    use handover_rotation::plan::Plan;
    pub(crate) fn plan(p: &Plan, h: &str, r: &[String], _: Style) -> String {
        format!("{p:#?}\n{h}\n{r:?}\n")
    }
    pub(crate) fn plan_json(p: &Plan, h: &str, _r: &[String]) -> serde_json::Value {
        serde_json::json!({"plan":p,"hash":h})
    }
}
pub(crate) mod status {
    use super::super::out::Style;
    use handover_rotation::{event::Event, state::Rotation, time::Millis};
    pub(crate) fn status(r: &Rotation, _: &[(Millis, Event)], _: Millis, _: Option<&str>, _: Style) -> String {
        format!("{:?} step {} {:?}\n", r.phase, r.step, r.failure)
    }
}
pub(crate) mod report {
    use super::super::out::Style;
    use handover_rotation::{event::Event, state::Rotation, time::Millis};
    pub(crate) fn report(r: &Rotation, e: &[(Millis, Event)], _: Style) -> String {
        format!("{:?} {:?} {} events\n", r.phase, r.failure, e.len())
    }
}
