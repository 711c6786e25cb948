//! `--eval FILE key … , argument …`: a script from a file.

use crate::command::issue;
use crate::session::Session;
use crate::text::{complain, error_text};
use crate::{Step, Stop};

/// Runs the script with `args`, where a lone comma stands between keys and arguments.
pub(crate) fn eval(session: &mut Session, args: &[Vec<u8>]) -> Step<i32> {
    let path = session.options.eval.clone().unwrap_or_default();
    let script = std::fs::read(&path).map_err(|error| {
        complain(format!("Can't open file '{}': {}", path.display(), error_text(&error)));
        Stop::Exit(1)
    })?;
    let comma = args.iter().position(|arg| arg == b",");
    let keys = &args[..comma.unwrap_or(args.len())];
    let rest = comma.map_or(&[][..], |at| &args[at + 1..]);
    let mut command = vec![b"EVAL".to_vec(), script, keys.len().to_string().into_bytes()];
    command.extend(keys.iter().chain(rest).cloned());
    let repeat = session.options.repeat;
    match issue(session, &command, repeat) {
        Ok(()) => Ok(0),
        Err(Stop::Failed) => Ok(1),
        Err(exit) => Err(exit),
    }
}
