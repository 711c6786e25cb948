//! `rename-command`: names that a configuration gives to commands, or takes from them.

use hashbrown::HashMap;

use super::look_up;
use crate::spec::Spec;

/// What a node's configuration has renamed. Names are in lower case; `None` is a name that is no
/// command's any more.
#[derive(Default)]
pub struct Renames {
    names: HashMap<Vec<u8>, Option<&'static Spec>>,
}

impl Renames {
    /// From pairs of old and new name, in order; an empty new name takes the command away.
    /// `None` if nothing is renamed. What is no command's name has been refused before.
    pub fn new(pairs: &[(Vec<u8>, Vec<u8>)]) -> Option<Renames> {
        let mut renames = Renames::default();
        for (old, new) in pairs {
            let Some(spec) = renames.find(old) else { continue };
            renames.names.insert(old.to_ascii_lowercase(), None);
            if !new.is_empty() {
                renames.names.insert(new.to_ascii_lowercase(), Some(spec));
            }
        }
        (!renames.names.is_empty()).then_some(renames)
    }

    /// The command that goes by `name` now, in any case.
    pub fn find(&self, name: &[u8]) -> Option<&'static Spec> {
        match self.names.get(&name.to_ascii_lowercase()) {
            Some(found) => *found,
            None => look_up(name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_change_in_order() {
        let pair = |old: &str, new: &str| (old.as_bytes().to_vec(), new.as_bytes().to_vec());
        let renames = Renames::new(&[
            pair("FLUSHALL", ""),
            pair("get", "Fetch"),
            pair("set", "get"),
            pair("fetch", "fetch2"),
            pair("ping", "ping"),
        ]);
        let renames = renames.expect("something is renamed");
        let found = |name: &str| renames.find(name.as_bytes()).map(|spec| spec.name);
        assert_eq!(found("flushall"), None);
        assert_eq!(found("GET"), Some("set"));
        assert_eq!(found("set"), None);
        assert_eq!(found("fetch"), None);
        assert_eq!(found("FETCH2"), Some("get"));
        assert_eq!(found("ping"), Some("ping"));
        assert_eq!(found("mget"), Some("mget"));
        assert!(Renames::new(&[]).is_none());
    }
}
