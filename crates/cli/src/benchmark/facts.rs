//! What the server says about itself: settings that matter for its speed, and the processor
//! time that it has used.

use tandem_resp::reply::ReplyValue;

use super::options::Options;
use crate::client::{Client, ClientError};
use crate::text::complain;
use crate::{Step, Stop};

/// Settings that the report repeats.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Facts {
    /// The values of `save` and `appendonly`; `None` when the server does not tell.
    pub(super) settings: Option<(String, String)>,
}

impl Facts {
    /// Asks the server. That it refuses the password ends the program; that it knows no CONFIG
    /// does not.
    pub(super) fn fetch(options: &Options) -> Step<Facts> {
        let mut client = connect(options)?;
        let mut values = Vec::new();
        for setting in ["save", "appendonly"] {
            match client.call(&["CONFIG", "GET", setting]) {
                Ok(reply) => match reply.as_error() {
                    Some(error) if error.starts_with(b"NOAUTH") => {
                        return Err(node_refused(options, error));
                    }
                    _ => values.extend(second_value(&reply)),
                },
                Err(_) => break,
            }
        }
        let settings = <[String; 2]>::try_from(values).ok().map(|[save, append]| (save, append));
        if settings.is_none() {
            complain("WARNING: Could not fetch server CONFIG");
        }
        Ok(Facts { settings })
    }
}

/// Connects and authenticates; failures are told.
fn connect(options: &Options) -> Step<Client> {
    let address = options.address();
    let mut client = options.target.dial(&address).map_err(|error| {
        complain(match error {
            ClientError::Tls(text) => format!("Could not negotiate a TLS connection: {text}"),
            error => format!("Could not connect to Redis at {address}: {error}"),
        });
        Stop::Exit(1)
    })?;
    for command in options.greeting_of_control() {
        match client.expect_ok(&command) {
            Ok(()) => {}
            Err(ClientError::Refused(text)) => return Err(node_refused(options, text.as_bytes())),
            Err(_) => {
                complain(format!("ERROR: failed to fetch reply from {address}"));
                return Err(Stop::Exit(1));
            }
        }
    }
    Ok(client)
}

fn node_refused(options: &Options, error: &[u8]) -> Stop {
    let error = String::from_utf8_lossy(error);
    complain(format!("Node {} replied with error:\n{error}", options.address()));
    Stop::Exit(1)
}

fn second_value(reply: &ReplyValue) -> Option<String> {
    let (_, value) = reply.pairs()?.into_iter().next()?;
    value.as_bytes().map(|bytes| String::from_utf8_lossy(bytes).into_owned())
}

/// Seconds of processor time that the server has used so far, its own and the system's for it;
/// `None` when it does not tell.
pub(super) fn server_cpu(options: &Options) -> Option<f64> {
    let mut client = options.target.dial(&options.address()).ok()?;
    for command in options.greeting_of_control() {
        client.expect_ok(&command).ok()?;
    }
    let reply = client.call(&["INFO", "cpu"]).ok()?;
    seconds_used(&String::from_utf8_lossy(reply.as_bytes()?))
}

fn seconds_used(info: &str) -> Option<f64> {
    let field = |name: &str| {
        let line = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        line.trim().parse::<f64>().ok()
    };
    Some(field("used_cpu_sys")? + field("used_cpu_user")?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processor_time_is_the_systems_and_its_own() {
        let info = "# CPU\r\nused_cpu_sys:1.5\r\nused_cpu_user:2.25\r\nused_cpu_sys_children:9\r\n";
        assert_eq!(seconds_used(info), Some(3.75));
        assert_eq!(seconds_used("used_cpu_sys:1\r\n"), None);
    }
}
