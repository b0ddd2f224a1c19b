//! The switches that make the sandbox misbehave: `DIR/faults.json`, read anew at every use, so that they work while it
//! runs and from any process. A fault that is to happen a number of times is counted down in the file itself.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use handover_rotation::outcome::{Fault, FaultClass};
use serde::{Deserialize, Serialize};

use super::files::{self, Lasting, file_fault, read_if_there};

/// The names of the faults and what each does, for `--fault list`.
pub const LIST: [(&str, &str); 14] = [
    ("propagation=2s", "a change of a version reaches the SMTP server after this long"),
    ("stale-list=2s", "the provider does not list a version that is younger than this"),
    ("refuse-auth=all|new|USERNAME", "the SMTP server answers 535 to every login, to the newest version, or to one login"),
    ("smtp-4xx=auth|mail|rcpt|data", "the SMTP server answers that command with a temporary 4xx"),
    ("smtp-down", "the SMTP server greets with 421 and closes"),
    ("tls-expired", "the SMTP server shows an expired certificate"),
    (
        "drop-answer=create|disable|enable|delete|write|send|all[:N]",
        "the effect happens and its answer is lost, N times (1 if not said); several with commas",
    ),
    ("create-error=temporary|permanent|unknown", "no version is made, with an error of that kind"),
    ("quota=N", "an account may have N versions"),
    ("provider-down", "the provider cannot be reached"),
    ("ignore-reload=SERVICE|all", "the service says that it reloaded and keeps the old login"),
    ("disk-full=ENTRY|all", "the disk is full for writes of that entry"),
    ("slow=50ms", "every call to the provider and every SMTP reply takes this much longer"),
    ("none", "switches all faults off; NAME=off switches one off"),
];

/// Whose logins are refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RefuseAuth {
    /// Everybody's.
    All,
    /// The newest version's, while an older one is kept.
    New,
    /// This one's.
    Username(String),
}

/// A command of SMTP that can be answered with 4xx.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// AUTH.
    Auth,
    /// MAIL.
    Mail,
    /// RCPT.
    Rcpt,
    /// The end of DATA.
    Data,
}

/// An effect whose answer can be lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Effect {
    /// Making a version.
    Create,
    /// Disabling one.
    Disable,
    /// Enabling one.
    Enable,
    /// Deleting one.
    Delete,
    /// Writing an entry of a store.
    Write,
    /// Taking a message over SMTP.
    Send,
}

/// How the making of a version fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CreateError {
    /// Refused for now; nothing was made.
    Temporary,
    /// Refused for good; nothing was made.
    Permanent,
    /// An answer like a 5xx, which tells nothing; nothing was made.
    Unknown,
}

/// The faults that are on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// `propagation`, in milliseconds.
    pub propagation: u64,
    /// `stale-list`, in milliseconds.
    pub stale_list: u64,
    /// `refuse-auth`.
    pub refuse_auth: Option<RefuseAuth>,
    /// `smtp-4xx`.
    pub smtp_4xx: Option<Stage>,
    /// `smtp-down`.
    pub smtp_down: bool,
    /// `tls-expired`.
    pub tls_expired: bool,
    /// `drop-answer`: how many times are left.
    pub drop_answer: BTreeMap<Effect, u32>,
    /// `create-error`.
    pub create_error: Option<CreateError>,
    /// `quota`.
    pub quota: Option<u8>,
    /// `provider-down`.
    pub provider_down: bool,
    /// `ignore-reload`.
    pub ignore_reload: Option<String>,
    /// `disk-full`.
    pub disk_full: Option<String>,
    /// `slow`, in milliseconds.
    pub slow: u64,
}

/// The file: names and values as people write them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
struct Written(BTreeMap<String, String>);

impl Faults {
    /// The faults that are on in `dir`; none if there is no file.
    ///
    /// # Errors
    /// The file cannot be read or has something that is no fault.
    pub fn load(dir: &Path) -> Result<Self, Fault> {
        let mut faults = Self::default();
        for (name, value) in load_written(dir)?.0 {
            faults.switch(&name, &value)?;
        }
        Ok(faults)
    }

    /// How long each call and reply is to take longer.
    #[must_use]
    pub fn delay(&self) -> std::time::Duration {
        std::time::Duration::from_millis(self.slow)
    }

    fn switch(&mut self, name: &str, value: &str) -> Result<(), Fault> {
        let bad = |allowed: &str| bad_value(name, value, allowed);
        match name {
            "propagation" => self.propagation = millis(value).ok_or_else(|| bad("a time such as 2s or 500ms"))?,
            "stale-list" => self.stale_list = millis(value).ok_or_else(|| bad("a time such as 2s or 500ms"))?,
            "slow" => self.slow = millis(value).ok_or_else(|| bad("a time such as 50ms"))?,
            "refuse-auth" => {
                self.refuse_auth = Some(match value {
                    "" => return Err(bad("all, new, or a username")),
                    "all" => RefuseAuth::All,
                    "new" => RefuseAuth::New,
                    username => RefuseAuth::Username(username.to_owned()),
                });
            }
            "smtp-4xx" => {
                self.smtp_4xx = Some(match value {
                    "auth" => Stage::Auth,
                    "mail" => Stage::Mail,
                    "rcpt" => Stage::Rcpt,
                    "data" => Stage::Data,
                    _ => return Err(bad("auth, mail, rcpt, or data")),
                });
            }
            "create-error" => {
                self.create_error = Some(match value {
                    "" | "temporary" => CreateError::Temporary,
                    "permanent" => CreateError::Permanent,
                    "unknown" => CreateError::Unknown,
                    _ => return Err(bad("temporary, permanent, or unknown")),
                });
            }
            "drop-answer" => {
                self.drop_answer = drops(value).ok_or_else(|| {
                    bad("create, disable, enable, delete, write, send, or all, each with :N if it is more than once")
                })?;
            }
            "quota" => {
                self.quota = Some(value.parse().ok().filter(|n| *n > 0).ok_or_else(|| bad("a number from 1 to 255"))?)
            }
            "ignore-reload" if !value.is_empty() => self.ignore_reload = Some(value.to_owned()),
            "disk-full" if !value.is_empty() => self.disk_full = Some(value.to_owned()),
            "ignore-reload" => return Err(bad("the name of a service, or all")),
            "disk-full" => return Err(bad("the name of an entry, or all")),
            "smtp-down" | "tls-expired" | "provider-down" => {
                let on = match value {
                    "" | "on" | "true" => true,
                    "off" | "false" => false,
                    _ => return Err(bad("on or off")),
                };
                match name {
                    "smtp-down" => self.smtp_down = on,
                    "tls-expired" => self.tls_expired = on,
                    _ => self.provider_down = on,
                }
            }
            _ => return Err(unknown(name)),
        }
        Ok(())
    }
}

/// Switches a fault: `NAME=VALUE`, `NAME` for those that take no value, `NAME=off`, or `none` for all of them off.
///
/// # Errors
/// The name or value is not one of [`LIST`], or the file cannot be written.
pub fn set_fault(dir: &Path, text: &str) -> Result<(), Fault> {
    let (name, value) = text.split_once('=').unwrap_or((text, ""));
    let (name, value) = (name.trim(), value.trim());
    if name == "none" && value.is_empty() {
        return change(dir, |written| {
            written.0.clear();
            Ok(())
        });
    }
    if value == "off" {
        // Checked with any value that the name could have: what matters is that there is such a name.
        if !LIST.iter().any(|(form, _)| form.split('=').next() == Some(name)) {
            return Err(unknown(name));
        }
        return change(dir, |written| {
            written.0.remove(name);
            Ok(())
        });
    }
    Faults::default().switch(name, value)?;
    change(dir, |written| {
        written.0.insert(name.to_owned(), value.to_owned());
        Ok(())
    })
}

/// The faults that are on in `dir`, as they were written.
///
/// # Errors
/// The file cannot be read.
pub fn faults_on(dir: &Path) -> Result<BTreeMap<String, String>, Fault> {
    load_written(dir).map(|written| written.0)
}

/// Whether the answer to `effect` is to be lost this time; counts it down if so.
///
/// # Errors
/// The file cannot be read or written.
pub fn take_drop(dir: &Path, effect: Effect) -> Result<bool, Fault> {
    // Most of the time there is nothing to count, and then no lock is taken.
    if !Faults::load(dir)?.drop_answer.contains_key(&effect) {
        return Ok(false);
    }
    let mut taken = false;
    change(dir, |written| {
        let Some(value) = written.0.get("drop-answer") else { return Ok(()) };
        let mut left = drops(value).unwrap_or_default();
        if let Some(count) = left.get_mut(&effect) {
            taken = true;
            *count = count.saturating_sub(1);
        }
        left.retain(|_, count| *count > 0);
        let text: Vec<String> = left.iter().map(|(effect, count)| format!("{}:{count}", effect.word())).collect();
        if text.is_empty() {
            written.0.remove("drop-answer");
        } else {
            written.0.insert("drop-answer".to_owned(), text.join(","));
        }
        Ok(())
    })?;
    Ok(taken)
}

/// Whether the disk is to be full for the entry whose file is at `path`. For `EnvFileStore::with_fault`.
///
/// The fault names an entry, `staging`; the files of the sandbox are called `CREDENTIAL-ENTRY.env`. A file's whole name
/// without `.env`, its path, and `all` are understood too.
#[must_use]
pub fn disk_full(dir: &Path, path: &Path) -> bool {
    let Some(named) = Faults::load(dir).ok().and_then(|f| f.disk_full) else { return false };
    let stem = path.file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default();
    named == "all"
        || stem == named
        || stem.strip_suffix(&named).is_some_and(|front| front.ends_with('-'))
        || path == Path::new(&named)
}

impl Effect {
    const ALL: [Self; 6] = [Self::Create, Self::Disable, Self::Enable, Self::Delete, Self::Write, Self::Send];

    fn word(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Disable => "disable",
            Self::Enable => "enable",
            Self::Delete => "delete",
            Self::Write => "write",
            Self::Send => "send",
        }
    }
}

/// Reads `create,delete:2`. With `all`, each effect is counted by itself.
fn drops(value: &str) -> Option<BTreeMap<Effect, u32>> {
    let mut all = BTreeMap::new();
    for part in value.split(',') {
        let (word, count) = part.trim().split_once(':').unwrap_or((part.trim(), "1"));
        let count: u32 = count.parse().ok().filter(|n| *n > 0)?;
        if word == "all" {
            all.extend(Effect::ALL.map(|effect| (effect, count)));
        } else {
            all.insert(Effect::ALL.into_iter().find(|effect| effect.word() == word)?, count);
        }
    }
    Some(all)
}

/// Reads `50ms`, `2s`, `1m`.
fn millis(value: &str) -> Option<u64> {
    let digits = value.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let each: u64 = match &value[digits.len()..] {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(each).filter(|n| *n <= 3_600_000)
}

fn path(dir: &Path) -> PathBuf {
    dir.join("faults.json")
}

fn load_written(dir: &Path) -> Result<Written, Fault> {
    let path = path(dir);
    let Some(bytes) = read_if_there(&path).map_err(|e| file_fault("HO0512", "read", &path, &e))? else {
        return Ok(Written::default());
    };
    serde_json::from_slice(&bytes).map_err(|e| {
        let message = format!("{} is no list of faults: {e}", path.display());
        Fault::new(FaultClass::Permanent, "HO0512", message).hint("write them with `handover sandbox --fault NAME=VALUE`")
    })
}

fn change(dir: &Path, change: impl FnOnce(&mut Written) -> Result<(), Fault>) -> Result<(), Fault> {
    let (path, lock) = (path(dir), dir.join("faults.lock"));
    if !dir.is_dir() {
        let message = format!("there is no sandbox in {}", dir.display());
        return Err(Fault::new(FaultClass::Permanent, "HO0501", message)
            .hint(format!("start one with `handover sandbox --dir {}`", dir.display())));
    }
    let _held = files::lock(&lock).map_err(|e| file_fault("HO0512", "lock", &lock, &e))?;
    let mut written = load_written(dir)?;
    change(&mut written)?;
    let bytes = serde_json::to_vec_pretty(&written).map_err(|e| file_fault("HO0512", "write", &path, &e.into()))?;
    files::replace(&path, &bytes, Lasting::Kill).map_err(|e| file_fault("HO0512", "write", &path, &e.into()))
}

fn unknown(name: &str) -> Fault {
    let known = || LIST.iter().filter_map(|(form, _)| form.split('=').next());
    let near = known().map(|k| (strsim::damerau_levenshtein(k, name), k)).min().filter(|(far, _)| *far <= name.len() / 3);
    let hint = match near {
        Some((_, near)) => format!("did you mean {near}? `--fault list` names them all"),
        None => format!("the faults are {}", known().collect::<Vec<_>>().join(", ")),
    };
    Fault::new(FaultClass::Permanent, "HO0513", format!("the sandbox has no fault {name:?}")).hint(hint)
}

fn bad_value(name: &str, value: &str, allowed: &str) -> Fault {
    let message = format!("the fault {name} cannot be {value:?}");
    Fault::new(FaultClass::Permanent, "HO0513", message).hint(format!("it takes {allowed}"))
}

#[cfg(test)]
#[path = "faults_tests.rs"]
mod tests;
