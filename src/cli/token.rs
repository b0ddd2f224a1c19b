//! `token`: who may use the API of the daemon.

use handover_rotation::outcome::{Fault, FaultClass};

use super::args::{TokenArgs, TokenCommand};
use super::context::Context;
use super::failure::{Exit, Failure};
use crate::daemon::api::{Role, new_token, token_hash};
use crate::journal::{Register, TokenRow, system_stamp};
use crate::view::style::visible;

/// The longest name.
const NAME: usize = 64;

pub(super) async fn run(context: &Context, args: TokenArgs) -> Result<Exit, Failure> {
    let journal = context.register().await?;
    match args.command {
        TokenCommand::Add { name, role } => {
            let bad = |message: String, hint: &str| {
                Failure::new(Exit::BadInput, Fault::new(FaultClass::Permanent, "HO1019", message).hint(hint))
            };
            let sound = |c: char| c.is_ascii_alphanumeric() || "-_.@".contains(c);
            if name.is_empty() || name.len() > NAME || !name.chars().all(sound) {
                return Err(bad(format!("{name:?} is not a name for a token"), "use letters, digits and -_.@, at most 64"));
            }
            let Some(role) = Role::parse(&role) else {
                return Err(bad(format!("{role:?} is not a role"), "viewer, operator, approver or admin"));
            };
            let (token, hash) = new_token().map_err(|error| bad(error.to_string(), "the system has no randomness"))?;
            debug_assert_eq!(hash, token_hash(&token));
            let at_ms = system_stamp().wall_ms;
            journal.set_token(TokenRow { name: name.clone(), role: role.text().to_owned(), hash, at_ms }).await?;
            if context.global.json {
                context.text(&serde_json::json!({"name": name, "role": role.text(), "token": token}).to_string())?;
            } else {
                context.say(&format!("{name} may do what {role} may; the token is shown this once:"));
                context.text(&token)?;
            }
        }
        TokenCommand::Remove { name } => {
            if !journal.drop_token(&name).await? {
                let fault =
                    Fault::new(FaultClass::Permanent, "HO1020", format!("nobody named {:?} has a token", visible(&name)));
                return Err(Failure::new(Exit::BadInput, fault.hint("`handover token list` names all who have one")));
            }
            context.say(&format!("the token of {} is worth nothing any more", visible(&name)));
        }
        TokenCommand::List => {
            let tokens = journal.tokens().await?;
            if context.global.json {
                for token in tokens {
                    let line = serde_json::json!({"name": token.name, "role": token.role, "made_at": token.at_ms});
                    context.text(&line.to_string())?;
                }
            } else if tokens.is_empty() {
                context.say("nobody has a token: on this machine the unix socket needs none");
            } else {
                for token in tokens {
                    context.text(&format!("{:24} {}", token.name, token.role))?;
                }
            }
        }
    }
    Ok(Exit::Done)
}
