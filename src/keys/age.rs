//! The source `age`: wrapping keys are encrypted to an age recipient, and opened by its identity, which is kept elsewhere: on
//! another disk, a stick, or in a token by a plugin.
//!
//! The `age` program does it, by pipes: so plugins work, and its sixty crates stay out of this build. age binds no context to what it
//! encrypts, so the journal's name stands inside, before the key. What this must not do: make an identity, or keep one beside what
//! it opens.

use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::rand;
use handover_rotation::outcome::{Fault, FaultClass};
use handover_rotation::time::Span;
use zeroize::Zeroizing;

use crate::config::fields::Fields;
use crate::journal::{Key, KeySource, Wrapped};
use crate::process::{Codes, Program, Run};

const CODE: &str = "HO0395";
const CODES: Codes = Codes { unusable: CODE, not_started: CODE, failed: CODE, slow: CODE, unseen: CODE };
/// The time the program may take if the file says nothing: a plugin may wait for a person to touch it.
const TIMEOUT: Span = Span::seconds(60);
/// The most that is read of what it prints: one stanza a recipient, and a plugin's may be long.
const MOST: usize = 64 * 1024;
/// How an age file begins, with armour and without.
const AGE_FILES: [&[u8]; 2] = [b"-----BEGIN AGE ENCRYPTED FILE-----", b"age-encryption.org/"];

/// What the file of the sealing key may say about this source.
pub(super) struct Options {
    recipient: String,
    also: Vec<String>,
    identity: PathBuf,
    program: Program,
}

/// Reads the options.
pub(super) fn read(fields: &mut Fields<'_>) -> Option<Options> {
    let recipient = fields.required_str("recipient");
    let identity = fields.required_path("identity");
    let given = fields.has("also");
    let also = fields.optional_list("also");
    let named = fields.optional_str("program");
    let waits = fields.has("timeout");
    let timeout = fields.optional_duration("timeout", Span::seconds(1)..=Span::minutes(5));
    let also = if given { also? } else { Vec::new() };
    let hint =
        "write what `age-keygen -y IDENTITY` prints, such as age1janemchdl66cr33mzc92dz558xzw7m2d6pac7fyfgyawkgvna90ssnqt2z";
    for (key, text) in recipient.iter().map(|r| ("recipient", r)).chain(also.iter().map(|r| ("also", r))) {
        if !is_recipient(text) {
            // It is not shown: it may be an identity, put there by mistake.
            fields.problem("HO0113", key, format!("`{key}` is no age recipient"), hint);
            return None;
        }
    }
    let timeout = if waits { timeout? } else { TIMEOUT };
    let argv = vec![named.unwrap_or_else(|| "age".to_owned())];
    let program = match Program::new(argv, timeout, CODES) {
        Ok(program) => program,
        Err(fault) => {
            fields.problem("HO0113", "program", fault.message, "leave it out, or write the whole path of age or rage");
            return None;
        }
    };
    Some(Options { recipient: recipient?, also, identity: identity?, program })
}

/// Native ones, and those of plugins.
fn is_recipient(text: &str) -> bool {
    text.strip_prefix("age1").is_some_and(|rest| {
        (8..=1990).contains(&rest.len()) && rest.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
    })
}

pub(super) struct Age {
    options: Options,
    /// What an identity must not lie in.
    folder: PathBuf,
}

impl Age {
    pub(super) fn new(options: Options, folder: &Path) -> Self {
        Self { options, folder: folder.to_owned() }
    }

    fn fault(&self, what: impl std::fmt::Display, hint: impl Into<String>) -> Fault {
        Fault::new(FaultClass::Permanent, CODE, format!("age: {what}")).hint(hint)
    }

    /// Looks at the identity's file as far as one may without using it.
    fn identity(&self) -> Result<&str, Fault> {
        let path = &self.options.identity;
        let shown = path.display();
        let unread = |e: std::io::Error| {
            let hint = "put it where `identity` says, readable by Handover's user only";
            self.fault(format!("cannot read the identity {shown}: {}", e.kind()), hint)
        };
        let file = std::fs::File::open(path).map_err(unread)?;
        let seen = file.metadata().map_err(unread)?;
        if !seen.is_file() {
            return Err(
                self.fault(format!("the identity {shown} is no file"), "name the file that `age-keygen` has written")
            );
        }
        // Its group may read it: so systemd hands out credentials.
        if seen.permissions().mode() & 0o027 != 0 {
            return Err(
                self.fault(format!("others may read or change the identity {shown}"), format!("chmod go-rwx {shown}"))
            );
        }
        // The same folder, however it is reached.
        if let (Ok(identity), Ok(folder)) = (path.canonicalize(), self.folder.canonicalize())
            && identity.starts_with(folder)
        {
            let hint = "keep it elsewhere: beside the journal it would protect nothing";
            return Err(self.fault(format!("the identity {shown} lies in the state folder"), hint));
        }
        let mut begin = Zeroizing::new(Vec::with_capacity(64));
        file.take(64).read_to_end(&mut begin).map_err(unread)?;
        if AGE_FILES.iter().any(|start| begin.starts_with(start)) {
            let what = format!("the identity {shown} has a passphrase, which nobody is there to type");
            return Err(
                self.fault(what, "keep one without a passphrase where only Handover's user can read it, or use a plugin")
            );
        }
        path.to_str().ok_or_else(|| self.fault(format!("the path {shown} is no text"), "give it another name"))
    }

    async fn run(&self, args: &[&str], input: &[u8], doing: &str, hint: &str) -> Result<Zeroizing<Vec<u8>>, Fault> {
        match self.options.program.run(args, Some(input), MOST).await {
            Run::Ended(status, output) if status.success() && !output.is_empty() => Ok(output),
            Run::Ended(..) => {
                let what = format!("{} does not {doing}", self.options.program.who());
                Err(Fault::new(FaultClass::Permanent, CODE, what).hint(hint))
            }
            Run::NotStarted(fault) => Err(fault.hint("install age (the Debian package `age`), or name it by `program`")),
            Run::TimedOut(fault) => Err(fault),
        }
    }
}

/// What stands before a key: what it is and whose.
fn header(instance: &str) -> Vec<u8> {
    format!("handover wrapping key 1\njournal {instance}\n").into_bytes()
}

#[async_trait]
impl KeySource for Age {
    fn kind(&self) -> &'static str {
        "age"
    }

    fn id(&self) -> String {
        // Not the identity: it may lie elsewhere tomorrow.
        self.options.recipient.clone()
    }

    fn strength(&self) -> String {
        let also = match self.options.also.len() {
            0 => String::new(),
            n => format!(", or an identity of the {n} in `also`,"),
        };
        let identity = self.options.identity.display();
        format!("the state folder alone opens nothing; whoever has it and the identity {identity}{also} has everything")
    }

    async fn make(&self, instance: &str) -> Result<(Key, Wrapped), Fault> {
        let mut key = Key::default();
        let broken = |_| Fault::new(FaultClass::Permanent, "HO0328", "the system's cryptography does not work");
        rand::fill(key.as_mut_slice()).map_err(broken)?;
        let head = header(instance);
        let mut plain = Zeroizing::new(Vec::with_capacity(head.len() + key.len()));
        plain.extend_from_slice(&head);
        plain.extend_from_slice(key.as_slice());
        let mut args = vec!["--encrypt", "--armor"];
        for recipient in std::iter::once(&self.options.recipient).chain(&self.options.also) {
            args.extend(["--recipient", recipient.as_str()]);
        }
        let hint = "is each recipient one that `age` knows, and is its plugin installed?";
        let text = self.run(&args, &plain, "encrypt", hint).await?;
        let text = String::from_utf8(text.to_vec()).map_err(|_| self.fault("it printed no text", hint))?;
        // What this identity does not open must never wrap anything.
        let again = self.unwrap(instance, &text).await?;
        if verify_slices_are_equal(again.as_slice(), key.as_slice()).is_err() {
            return Err(self.fault("it gives another key than was wrapped", "is `program` age?"));
        }
        Ok((key, Wrapped { text, version: None }))
    }

    async fn unwrap(&self, instance: &str, text: &str) -> Result<Key, Fault> {
        let args = ["--decrypt", "--identity", self.identity()?];
        let hint = "is `identity` the one that belongs to `recipient`? a plugin's token must be plugged in";
        let plain = self.run(&args, text.as_bytes(), "decrypt with this identity", hint).await?;
        let foreign = || {
            let hint = "put the journal's own `seal.json` back";
            self.fault("what it decrypted is no wrapping key of this journal", hint)
        };
        let bytes = plain.strip_prefix(header(instance).as_slice()).ok_or_else(foreign)?;
        let mut key = Key::default();
        match bytes.len() == key.len() {
            true => key.copy_from_slice(bytes),
            false => return Err(foreign()),
        }
        Ok(key)
    }

    async fn rewrap(&self, _: &str, _: &str) -> Result<Option<Wrapped>, Fault> {
        Ok(None)
    }
}
