//! The ACL file: a line for each user, `user name rule …`, and nothing else.
//!
//! It is read as a whole or not at all: every wrong line is told, and one is enough to leave the
//! users as they are.

use std::collections::BTreeMap;

use tandem_base::up_to_nul;

use super::error::RuleError;
use super::selector::has_blanks;
use super::user::{Defaults, Rights, join_selectors};

/// Users by name.
pub(super) type Users = BTreeMap<Vec<u8>, Rights>;

/// Reads a file's text; `name` is the file's, for the errors. `notes` takes what to log.
///
/// # Errors
/// All that is wrong, in one line.
pub(super) fn parse(
    text: &[u8],
    name: &[u8],
    defaults: Defaults,
    notes: &mut Vec<String>,
) -> Result<Users, Vec<u8>> {
    let mut users = Users::new();
    let mut errors = Vec::new();
    for (index, line) in text.split(|&byte| byte == b'\n').enumerate() {
        let line = trim(line, b" \t\r\n");
        if !line.is_empty() {
            let mut reader =
                Reader { name, number: index + 1, defaults, notes, errors: &mut errors };
            reader.line(line, &mut users);
        }
    }
    if errors.is_empty() {
        return Ok(users);
    }
    errors.extend(
        b"WARNING: ACL errors detected, no change to the previously active ACL rules was performed",
    );
    Err(errors)
}

struct Reader<'a> {
    name: &'a [u8],
    number: usize,
    defaults: Defaults,
    notes: &'a mut Vec<String>,
    errors: &'a mut Vec<u8>,
}

impl Reader<'_> {
    fn line(&mut self, line: &[u8], users: &mut Users) {
        let words: Vec<Vec<u8>> = line.split(|&byte| byte == b' ').map(<[u8]>::to_vec).collect();
        let [b"user", user, ..] = words.iter().map(Vec::as_slice).collect::<Vec<_>>()[..] else {
            let why = b" should start with user keyword followed by the username. ";
            return self.error_here(&[why]);
        };
        if has_blanks(user) {
            self.errors.push(b'\'');
            let user = up_to_nul(user);
            return self.error_here(&[b": username '", user, b"' contains invalid characters. "]);
        }
        if users.contains_key(user) {
            let after = format!("' found on line {}. ", self.number);
            let text = [b"WARNING: Duplicate user '", up_to_nul(user), after.as_bytes()].concat();
            return self.errors.extend(text);
        }
        let rights = self.rights(&words[2..]);
        users.insert(user.to_vec(), rights);
    }

    fn rights(&mut self, words: &[Vec<u8>]) -> Rights {
        let mut rights = Rights::new(self.defaults);
        let Ok(rules) = join_selectors(words) else {
            self.error_here(&[b": Unmatched parenthesis in selector definition."]);
            return rights;
        };
        let mut told = false;
        for rule in &rules {
            let rule = trim(rule, b"\t\r\n");
            match rights.apply(rule, self.defaults, self.notes) {
                Ok(()) => {}
                // What is unknown holds no secret, and there may be more of it.
                Err(error @ RuleError::UnknownCommand) => {
                    let after = format!("': {error}. ");
                    let rule = up_to_nul(rule);
                    self.error_here(&[b": Error in applying operation '", rule, after.as_bytes()]);
                }
                Err(_) if told => {}
                Err(error) => {
                    self.error_here(&[format!(": {error}. ").as_bytes()]);
                    told = true;
                }
            }
        }
        rights
    }

    /// Adds an error that begins with the file's name and the number of the line.
    fn error_here(&mut self, text: &[&[u8]]) {
        self.errors.extend(self.name);
        self.errors.extend(format!(":{}", self.number).bytes());
        text.iter().for_each(|part| self.errors.extend(*part));
    }
}

fn trim<'a>(text: &'a [u8], blanks: &[u8]) -> &'a [u8] {
    let is_text = |byte: &u8| !blanks.contains(byte);
    let Some(start) = text.iter().position(is_text) else { return &[] };
    let end = text.iter().rposition(is_text).expect("one is not blank");
    &text[start..=end]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn errors(text: &str) -> String {
        let parsed = parse(text.as_bytes(), b"f", Defaults::default(), &mut Vec::new());
        let errors = parsed.map(drop).expect_err("something is wrong");
        String::from_utf8(errors).expect("text")
    }

    #[test]
    fn users_are_read_line_by_line() {
        let text = b"user a on nopass ~* +@all\n\n  user b  on (+get ~x ) \t\r\nuser c ( +set  )";
        let users = parse(text, b"f", Defaults::default(), &mut Vec::new()).expect("all is right");
        let shown: Vec<_> = users
            .iter()
            .map(|(name, rights)| [name.as_slice(), b" ", &rights.describe()].concat())
            .map(|line| String::from_utf8(line).expect("text"))
            .collect();
        assert_eq!(
            shown,
            [
                "a on nopass ~* resetchannels +@all",
                "b on resetchannels -@all (~x resetchannels -@all +get)",
                "c off resetchannels -@all (resetchannels -@all +set)"
            ]
        );
    }

    #[test]
    fn everything_wrong_is_told_at_once() {
        let told = errors("user a +nosuch +@no on #12 >x\nx\nuser b\nuser b\nuser c (+get\nuser");
        assert_eq!(
            told,
            "f:1: Error in applying operation '+nosuch': Unknown command or category name in ACL. \
             f:1: Error in applying operation '+@no': Unknown command or category name in ACL. \
             f:1: The password hash must be exactly 64 characters and contain only lowercase \
             hexadecimal characters. \
             f:2 should start with user keyword followed by the username. \
             WARNING: Duplicate user 'b' found on line 4. \
             f:5: Unmatched parenthesis in selector definition.\
             f:6 should start with user keyword followed by the username. \
             WARNING: ACL errors detected, no change to the previously active ACL rules was \
             performed"
        );
        assert!(errors("user a\tb on").contains("username 'a\tb' contains invalid characters"));
    }
}
