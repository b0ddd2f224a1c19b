//! x
use super::failure::Failure;
pub(crate) struct Style {
    pub(crate) colour: bool,
}
pub(crate) fn style() -> Style {
    Style { colour: false }
}
pub(crate) fn style_err() -> Style {
    Style { colour: false }
}
pub(crate) fn line(t: &str) {
    println!("{t}")
}
pub(crate) fn text(t: &str) {
    print!("{t}")
}
pub(crate) fn say(t: &str) {
    eprintln!("{t}")
}
pub(crate) fn prompt(t: &str) {
    eprint!("{t}")
}
pub(crate) fn failure(f: &Failure, _j: bool) {
    match f {
        Failure::Problems(p) => eprintln!("{}", p.render(false)),
        Failure::Fault(_, f) => eprintln!("error: {f}\nhint: {:?}", f.hint),
    }
}
