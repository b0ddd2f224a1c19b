//! The command line's grammar.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Rotates SMTP credentials without losing mail, and proves it.
#[derive(Debug, Parser)]
#[command(name = "handover", version, propagate_version = true, max_term_width = 100)]
pub struct Cli {
    /// What every command takes.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What every command takes.
#[derive(Clone, Debug, Args)]
pub struct Global {
    /// Inventory: a YAML file, or a folder of them
    #[arg(long, global = true, value_name = "PATH", env = "HANDOVER_INVENTORY")]
    pub inventory: Option<PathBuf>,
    /// Folder of playbooks
    #[arg(long, global = true, value_name = "DIR", env = "HANDOVER_PLAYBOOKS")]
    pub playbooks: Option<PathBuf>,
    /// Folder of the journal and its sealing key
    #[arg(long, global = true, value_name = "DIR", env = "HANDOVER_STATE")]
    pub state: Option<String>,
    /// File that says where the sealing key is kept; by default it is a file in the state folder
    #[arg(long, global = true, value_name = "FILE", env = "HANDOVER_SEAL")]
    pub seal: Option<PathBuf>,
    /// Print one JSON object a line
    #[arg(long, global = true)]
    pub json: bool,
    /// Use the sandbox: its inventory, playbooks and state; started here if it is not running
    #[arg(long, global = true)]
    pub sandbox: bool,
    /// Folder of the sandbox
    #[arg(long, global = true, value_name = "DIR", default_value = "sandbox")]
    pub dir: PathBuf,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Read inventory and playbooks, and report every error
    Check,
    /// Try every failure at every step of a plan in the model, and show what each would end in
    Rehearse(RehearseArgs),
    /// Show the services that stop if a credential dies
    Impact(OfCredential),
    /// Show the exact steps of a rotation, after a live look; changes nothing
    Plan(PlanArgs),
    /// Rotate a credential with live progress: here, or through the daemon where one runs
    Rotate(RotateArgs),
    /// Show what is going on, what is safe to do next, and the undo command
    Status(StatusArgs),
    /// Take in leak reports of scanners, and have what leaked contained
    Alert(AlertArgs),
    /// Run the daemon: schedules, leak alerts, and the API
    Serve(ServeArgs),
    /// Say who may use the API of the daemon
    Token(TokenArgs),
    /// List rotations
    History(HistoryArgs),
    /// Show when each credential is rotated next by itself, and what is in the way
    Schedule(ScheduleArgs),
    /// Go on with a rotation
    Resume(ResumeArgs),
    /// Roll a rotation back
    Abort(AbortArgs),
    /// Open the gate that a rotation waits at
    Approve(ApproveArgs),
    /// Hand over the login that a person made, where the provider has no API
    Supply(SupplyArgs),
    /// Say that what a person was asked to do is done; it is checked
    Done(DoneArgs),
    /// Show who used a credential, from where, and what is unusual
    Usage(UsageArgs),
    /// Check the audit log, or write the evidence
    Audit(AuditArgs),
    /// Show or change what wraps the sealing key; sealed secrets are not touched
    Seal(SealArgs),
    /// Run a relay, a provider and two sample services on this machine
    Sandbox(SandboxArgs),
    /// Print the JSON Schema of a file
    Schema(SchemaArgs),
    /// Print a shell's completions
    Completions(CompletionsArgs),
    /// Say what this installation can and cannot do
    Doctor,
    /// Explain an error code
    Explain(ExplainArgs),
}

/// A credential.
#[derive(Debug, Args)]
pub struct OfCredential {
    /// The credential's name in the inventory
    pub credential: String,
}

/// What a plan is made of.
#[derive(Debug, Args)]
pub struct PlanArgs {
    /// The credential's name in the inventory
    pub credential: String,
    /// The playbook; by default that of the credential's schedule, else `scheduled`, in the sandbox `drill`
    #[arg(long, value_name = "NAME")]
    pub playbook: Option<String>,
    /// Divide the waits of the playbook; only in the sandbox
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub time_scale: u32,
    /// This rotation of another journal is over, although versions that it made are still there
    #[arg(long, value_name = "ROTATION")]
    pub ended_elsewhere: Vec<String>,
}

/// What a rehearsal takes.
#[derive(Debug, Args)]
pub struct RehearseArgs {
    /// The credential's name in the inventory
    pub credential: String,
    /// The playbook; by default that of the credential's schedule, else `scheduled`, in the sandbox `drill`
    #[arg(long, value_name = "NAME")]
    pub playbook: Option<String>,
    /// Try every two failures as well: this takes minutes
    #[arg(long)]
    pub pairs: bool,
    /// Show every case, not only the worst
    #[arg(long)]
    pub all: bool,
    /// Fail on advice too
    #[arg(long)]
    pub strict: bool,
    /// Write the report as a page
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
}

/// What a rotation takes.
#[derive(Debug, Args)]
pub struct RotateArgs {
    /// What is planned.
    #[command(flatten)]
    pub plan: PlanArgs,
    /// Only if the plan has this hash
    #[arg(long = "plan", value_name = "HASH")]
    pub hash: Option<String>,
    /// Do not ask
    #[arg(long)]
    pub yes: bool,
    /// Why, for the audit log
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
    /// Sit out waits of more than five minutes
    #[arg(long)]
    pub wait: bool,
    /// Run it here, also where a daemon runs
    #[arg(long)]
    pub here: bool,
}

/// What `status` takes.
#[derive(Debug, Args)]
pub struct StatusArgs {
    /// A credential or a rotation; by default everything that is under way
    pub what: Option<String>,
}

/// What `history` takes.
#[derive(Debug, Args)]
pub struct HistoryArgs {
    /// Only of this credential
    pub credential: Option<String>,
    /// At most this many
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    pub limit: u32,
}

/// What `schedule` takes.
#[derive(Debug, Args)]
pub struct ScheduleArgs {
    /// Only of this credential
    pub credential: Option<String>,
}

/// What `resume` takes.
#[derive(Debug, Args)]
pub struct ResumeArgs {
    /// The rotation
    #[arg(required_unless_present = "due")]
    pub rotation: Option<String>,
    /// Overwrite this entry of a stuck rotation, whatever someone else has put there: with the old version where it rolls back
    #[arg(long, value_name = "ENTRY", conflicts_with = "due")]
    pub overwrite: Vec<String>,
    /// Every rotation that nobody holds and whose time has come
    #[arg(long, conflicts_with = "rotation")]
    pub due: bool,
    /// Sit out waits of more than five minutes
    #[arg(long)]
    pub wait: bool,
    /// Go on with it here, also where a daemon runs
    #[arg(long)]
    pub here: bool,
}

/// What `abort` takes.
#[derive(Debug, Args)]
pub struct AbortArgs {
    /// The rotation
    pub rotation: String,
    /// Why, for the audit log
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
}

/// What `approve` takes.
#[derive(Debug, Args)]
pub struct ApproveArgs {
    /// The rotation
    pub rotation: String,
}

/// What `supply` takes.
#[derive(Debug, Args)]
pub struct SupplyArgs {
    /// The rotation
    pub rotation: String,
    /// The login name of the version that was made
    #[arg(long, value_name = "NAME")]
    pub username: String,
    /// The file that holds its password; `-` reads it from standard input. Left out, it is asked for at the terminal and not shown
    #[arg(long, value_name = "FILE")]
    pub password_file: Option<PathBuf>,
}

/// What `done` takes.
#[derive(Debug, Args)]
pub struct DoneArgs {
    /// The rotation
    pub rotation: String,
}

/// What `usage` takes.
#[derive(Debug, Args)]
pub struct UsageArgs {
    /// The credential's name in the inventory
    pub credential: String,
    /// From when on; by default when the leak was first exposed, else 30 days ago
    #[arg(long, value_name = "TIME")]
    pub since: Option<String>,
    /// When it was first exposed, such as the time of the commit: what is usual is learned from before
    #[arg(long, value_name = "TIME")]
    pub leaked_at: Option<String>,
}

/// What `audit` takes.
#[derive(Debug, Args)]
pub struct AuditArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: AuditCommand,
}

/// What can be done with the audit log.
#[derive(Debug, Subcommand)]
pub enum AuditCommand {
    /// Check every row, the chain of hashes and its anchor; or what was sent elsewhere
    Verify(VerifyArgs),
    /// Write the evidence of one rotation
    Export(ExportArgs),
    /// Send what the audit sinks of the inventory lack, once; the daemon does it by itself
    Ship,
    /// Show the public key that checkpoints are checked with: keep it elsewhere
    Key,
}

/// What `audit verify` takes.
#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// Check that this journal has what these checkpoints signed; files that a sink was sent will do
    #[arg(long, value_name = "FILE", num_args = 1.., conflicts_with = "shipped")]
    pub checkpoints: Vec<PathBuf>,
    /// Check files that a sink was sent by themselves, without the journal, the oldest first
    #[arg(long, value_name = "FILE", num_args = 1..)]
    pub shipped: Vec<PathBuf>,
    /// The public key, as `audit key` shows it; by default this journal's own
    #[arg(long, value_name = "PUBLIC")]
    pub key: Option<String>,
}

/// What `seal` takes.
#[derive(Debug, Args)]
pub struct SealArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: SealCommand,
}

/// What can be done with the sealing key.
#[derive(Debug, Subcommand)]
pub enum SealCommand {
    /// Show what wraps it, and that it opens
    Show,
    /// Wrap it anew by the same source, under the newest version of the source's key
    Rotate,
    /// Wrap it by another source; the one before is not needed any more
    Migrate(MigrateArgs),
}

/// What `seal migrate` takes.
#[derive(Debug, Args)]
pub struct MigrateArgs {
    /// The file that names the other source; `--seal` still names the one before
    #[arg(long, value_name = "FILE")]
    pub to: PathBuf,
}

/// What `audit export` takes.
#[derive(Debug, Args)]
pub struct ExportArgs {
    /// The rotation
    pub rotation: String,
    /// The form
    #[arg(long, value_enum, default_value_t = Form::Html)]
    pub format: Form,
    /// The file to write; by default standard output
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

/// A form of evidence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Form {
    /// A self-contained page
    Html,
    /// One JSON document
    Json,
}

/// What `sandbox` takes.
#[derive(Debug, Args)]
pub struct SandboxArgs {
    /// Show every version with its state, and leave
    #[arg(long)]
    pub status: bool,
    /// Switch a fault (`NAME=VALUE`), all of them off (`none`), or name them (`list`), and leave
    #[arg(long, value_name = "NAME=VALUE")]
    pub fault: Vec<String>,
    /// Do what a person does at the console of a provider without an API, and leave: create ACCOUNT, disable LOGIN, enable LOGIN
    /// or delete LOGIN
    #[arg(long, num_args = 2, value_names = ["ACTION", "NAME"])]
    pub person: Vec<String>,
    /// How the sandbox's provider keeps versions: reversible, delete-only, alternating, in-place or manual
    #[arg(long, value_name = "SHAPE")]
    pub shape: Option<String>,
    /// Let each sample service send a mail by itself, so often (in milliseconds)
    #[arg(long, value_name = "MS")]
    pub traffic: Option<u64>,
    /// How many credentials
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub credentials: usize,
}

/// What `schema` takes.
#[derive(Debug, Args)]
pub struct SchemaArgs {
    /// The file
    #[arg(value_enum)]
    pub file: SchemaFile,
}

/// A file with a schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum SchemaFile {
    /// The inventory
    Inventory,
    /// A playbook
    Playbook,
}

/// What `completions` takes.
#[derive(Debug, Args)]
pub struct CompletionsArgs {
    /// The shell
    #[arg(value_enum)]
    pub shell: clap_complete::Shell,
}

/// What `explain` takes.
#[derive(Debug, Args)]
pub struct ExplainArgs {
    /// A code such as HO0601; by default all of them, a line each
    pub code: Option<String>,
}

/// What `serve` takes.
#[derive(Debug, Args)]
pub struct ServeArgs {
    /// Where to listen besides the unix socket in the state folder: ADDRESS:PORT or unix:PATH; may be repeated
    #[arg(long, value_name = "ADDRESS")]
    pub listen: Vec<String>,
    /// Certificate with its chain, PEM, for the addresses given with --listen
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub tls_cert: Option<PathBuf>,
    /// Its private key, PEM
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,
    /// Send each rotation as a trace of OpenTelemetry to a collector, by OTLP over HTTP, such as http://127.0.0.1:4318
    #[cfg(feature = "otlp")]
    #[arg(long, value_name = "URL")]
    pub otlp: Option<reqwest::Url>,
}

/// What `token` takes.
#[derive(Debug, Args)]
pub struct TokenArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: TokenCommand,
}

/// What can be done with tokens.
#[derive(Debug, Subcommand)]
pub enum TokenCommand {
    /// Make a token, or replace that of the same name, and show it once
    Add {
        /// Whose it is
        name: String,
        /// What they may do: viewer, operator, approver or admin
        #[arg(long, default_value = "viewer")]
        role: String,
    },
    /// Take a token away
    Remove {
        /// Whose it is
        name: String,
    },
    /// List who has one
    List,
}

/// What `alert` takes.
#[derive(Debug, Args)]
pub struct AlertArgs {
    /// Reports: files, or - for standard input
    #[arg(required_unless_present = "list", value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// List the alerts that came in, the newest first, with how long each took to be shut out
    #[arg(long, conflicts_with = "files")]
    pub list: bool,
    /// At most this many, with --list
    #[arg(long, default_value_t = 20, requires = "list", value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub limit: u32,
    /// Their format: auto, or that of a scanner
    #[arg(long, default_value = "auto", conflicts_with = "list")]
    pub format: String,
}
