//! Users and a node: who its connections are, what is done when users change, and where users
//! come from.
//!
//! ```text
//! start:  requirepass ─► user lines of the configuration, or the ACL file
//! then:   ACL SETUSER, DELUSER, LOAD; CONFIG SET requirepass ─► generation moves, gone users'
//!                                                               connections are closed
//! ```

use std::sync::Arc;

use hashbrown::HashSet;
use tandem_base::{Now, up_to_nul};
use tandem_resp::Args;

use super::check::{Denied, name_in_rules};
use super::error::RuleError;
use super::file;
use super::log::{Context, Entry, Reason};
use super::selector::{ChannelUse, Selector, channel_is_in, has_blanks};
use super::user::{Defaults, Rights, User, join_selectors};
use super::{Acl, DEFAULT_USER};
use crate::client::{Client, ClientInfo, Session};
use crate::commands::client_line;
use crate::config::{AclPubsub, Config, FileLine};
use crate::error::ErrorReply;
use crate::node::{Level, Node, lock};
use crate::pubsub::Kind;
use crate::spec::{Flags, Spec};

/// Who a connection is, and what that allows.
pub struct Login {
    user: Arc<User>,
    /// The user's rights at generation `seen`.
    rights: Arc<Rights>,
    seen: u64,
    /// At this generation nothing was forbidden; 0: at none.
    trusted_at: u64,
}

impl Login {
    /// As `user`, whose rights are looked at before the first command.
    pub(crate) fn new(user: Arc<User>) -> Login {
        let rights = user.rights();
        Login { user, rights, seen: 0, trusted_at: 0 }
    }

    /// Whether the payloads of its RESTORE need not be looked into.
    pub fn skips_sanitizing(&self) -> bool {
        self.rights.skips_sanitizing()
    }

    /// Who it is.
    pub fn user(&self) -> &Arc<User> {
        &self.user
    }

    /// Whether nothing is forbidden at this generation of the users.
    #[inline]
    pub fn is_trusted(&self, generation: u64) -> bool {
        self.trusted_at == generation
    }
}

impl Client {
    /// Becomes a user.
    pub(crate) fn log_in(&mut self, user: Arc<User>) {
        self.info.set_user(Arc::clone(&user));
        self.login = Login::new(user);
    }

    /// Becomes who every connection begins as.
    pub(crate) fn log_out(&mut self, acl: &Acl) {
        self.authenticated = !acl.password_needed();
        self.log_in(Arc::clone(acl.default_user()));
    }
}

impl Config {
    /// What new users begin with.
    pub fn acl_defaults(&self) -> Defaults {
        Defaults { all_channels: self.acl_pubsub_default() == AclPubsub::AllChannels }
    }
}

impl Node {
    /// A connection has come: it is the user `default`, and let in if that needs no password.
    pub fn new_session(&self, info: Arc<ClientInfo>) -> Session {
        let user = Arc::clone(self.acl.default_user());
        Session::new(info, user, !self.acl.password_needed())
    }

    /// The rest of the gate for a connection that may not do everything, or whose rights may
    /// have changed: must it prove who it is, and may it do this?
    ///
    /// # Errors
    /// What the client is told; the log has been written.
    #[inline(never)]
    pub(crate) fn admit_user(
        &self,
        client: &mut Client,
        spec: &'static Spec,
        args: Args<'_>,
        now: Now,
    ) -> Result<(), ErrorReply> {
        self.look_at_user(client)?;
        if spec.has(Flags::PROTECTED) {
            self.admit_protected(client, spec)?;
        }
        let let_in = client.authenticated || !self.acl.password_needed();
        if !let_in && !spec.has(Flags::NO_AUTH) {
            return Err(ErrorReply::NoAuth);
        }
        if client.transaction.is_some() && spec.has(Flags::NO_MULTI) {
            return Err(ErrorReply::text("ERR Command not allowed inside a transaction"));
        }
        client.login.rights.check(spec, args).map_err(|denied| {
            let open = client.transaction.is_some();
            let context = if open { Context::Multi } else { Context::TopLevel };
            self.note_denied(client, (spec, args), denied, context, now);
            denied.reply(spec)
        })
    }

    /// The same for a command of a transaction, when its time has come.
    ///
    /// # Errors
    /// What the client is told; the log has been written.
    #[inline(never)]
    pub(crate) fn admit_queued(
        &self,
        client: &mut Client,
        spec: &'static Spec,
        args: Args<'_>,
        now: Now,
    ) -> Result<(), ErrorReply> {
        self.look_at_user(client)?;
        client.login.rights.check(spec, args).map_err(|denied| {
            self.note_denied(client, (spec, args), denied, Context::Multi, now);
            denied.reply_at_exec()
        })
    }

    /// Takes over what has changed about the client's user; refuses if it is nobody any more.
    fn look_at_user(&self, client: &mut Client) -> Result<(), ErrorReply> {
        let generation = self.acl.generation();
        if client.login.user.is_removed() {
            // Its connection is on its way to be closed; until then it may do nothing.
            client.authenticated = false;
            client.closing = true;
            return Err(ErrorReply::NoAuth);
        }
        let let_in = client.authenticated || !self.acl.password_needed();
        let login = &mut client.login;
        if login.seen != generation {
            login.rights = login.user.rights();
            login.seen = generation;
        }
        login.trusted_at = if let_in && login.rights.is_unlimited() { generation } else { 0 };
        Ok(())
    }

    fn note_denied(
        &self,
        client: &Client,
        (spec, args): (&Spec, Args<'_>),
        denied: Denied,
        context: Context,
        now: Now,
    ) {
        let (reason, object) = match denied {
            Denied::Command => (Reason::Command, name_in_rules(spec).as_bytes()),
            Denied::Key(at) => (Reason::Key, args.get(at)),
            Denied::Channel(at) => (Reason::Channel, args.get(at)),
        };
        self.add_to_acl_log(Entry {
            count: 1,
            reason,
            context,
            object: object.to_vec(),
            username: client.login.user.name().to_vec(),
            at: now.unix,
            client: client_line(client, args, now),
        });
    }

    fn add_to_acl_log(&self, entry: Entry) {
        let most = usize::try_from(self.config().acllog_max_len()).unwrap_or(usize::MAX);
        self.acl.log().add(entry, most);
    }

    /// AUTH and HELLO AUTH: the client becomes `name` if `password` is right.
    ///
    /// # Errors
    /// WRONGPASS, without a word about what was wrong.
    pub(crate) fn authenticate(
        &self,
        client: &mut Client,
        args: Args<'_>,
        (name, password): (&[u8], &[u8]),
        context: Context,
        now: Now,
    ) -> Result<(), ErrorReply> {
        let Some(user) = self.acl.authenticate(name, password) else {
            self.add_to_acl_log(Entry {
                count: 1,
                reason: Reason::Auth,
                context,
                object: args.get(0).to_vec(),
                username: name.to_vec(),
                at: now.unix,
                client: client_line(client, args, now),
            });
            return Err(ErrorReply::WrongPass);
        };
        client.log_in(user);
        client.authenticated = true;
        Ok(())
    }

    /// ACL SETUSER. The keyspace must be held alone.
    ///
    /// # Errors
    /// Redis's words for the first rule that is wrong; nothing has changed then.
    pub(crate) fn set_user(
        &self,
        name: &[u8],
        rules: &[Vec<u8>],
        asking: &mut Client,
    ) -> Result<(), Vec<u8>> {
        let rules = join_selectors(rules).map_err(|at| {
            let before = b"Unmatched parenthesis in acl selector starting at '";
            [before, up_to_nul(&rules[at]), b"'."].concat()
        })?;
        let defaults = self.config().acl_defaults();
        let user = self.acl.find(name);
        let mut rights =
            user.map_or_else(|| Rights::new(defaults), |user| Rights::clone(&user.rights()));
        self.apply_rules(&mut rights, &rules, defaults).map_err(|(rule, error)| {
            let why = error.to_string();
            [b"Error in ACL SETUSER modifier '", up_to_nul(rule), b"': ", why.as_bytes()].concat()
        })?;
        let before = self.acl.find(name).map(|user| (Arc::clone(&user), user.rights()));
        self.acl.put(name, rights);
        if let Some((user, before)) = before {
            self.close_revoked_subscribers(&user, &before, asking);
        }
        Ok(())
    }

    /// Applies rules in order, and logs what there is to say about them; returns the first that
    /// is wrong.
    fn apply_rules<'r>(
        &self,
        rights: &mut Rights,
        rules: &'r [Vec<u8>],
        defaults: Defaults,
    ) -> Result<(), (&'r [u8], RuleError)> {
        let mut notes = Vec::new();
        let wrong = rules.iter().find_map(|rule| {
            let applied = rights.apply(rule, defaults, &mut notes);
            applied.err().map(|error| (rule.as_slice(), error))
        });
        self.log_notes(&notes);
        wrong.map_or(Ok(()), Err)
    }

    /// Closes the connections of `user` that listen to what it may not listen to any more.
    fn close_revoked_subscribers(&self, user: &Arc<User>, before: &Rights, asking: &mut Client) {
        let after = user.rights();
        if after.selectors().iter().any(Selector::has_all_channels) {
            return;
        }
        let allowed: Vec<Vec<u8>> =
            after.selectors().iter().flat_map(|selector| selector.channels().to_vec()).collect();
        let is_kept = |selector: &Selector| {
            !selector.has_all_channels()
                && selector.channels().iter().all(|channel| allowed.contains(channel))
        };
        if before.selectors().iter().all(is_kept) {
            return;
        }
        let mut revoked = HashSet::new();
        self.pubsub.each_subscription(|kind, name, id| {
            let how = if kind == Kind::Pattern { ChannelUse::Pattern } else { ChannelUse::Plain };
            if !channel_is_in(&allowed, name, how) {
                revoked.insert(id);
            }
        });
        self.close_connections(asking, |info| {
            revoked.contains(&info.id) && info.user().is_some_and(|other| Arc::ptr_eq(user, &other))
        });
    }

    /// ACL DELUSER for one user: false if there is none. Its connections are closed, the asking
    /// one after its reply. The keyspace must be held alone.
    pub(crate) fn delete_user(&self, name: &[u8], asking: &mut Client) -> bool {
        let Some(user) = self.acl.remove(name) else { return false };
        self.close_connections_of(&[user], asking);
        true
    }

    fn close_connections_of(&self, gone: &[Arc<User>], asking: &mut Client) {
        let is_gone = |info: &ClientInfo| {
            info.user().is_some_and(|user| gone.iter().any(|one| Arc::ptr_eq(one, &user)))
        };
        self.close_connections(asking, is_gone);
    }

    /// Closes the connections that are meant, the asking one after its reply.
    fn close_connections(&self, asking: &mut Client, is_meant: impl Fn(&ClientInfo) -> bool) {
        for info in self.clients.snapshot().iter().filter(|info| is_meant(info)) {
            if info.id == asking.id() {
                asking.closing = true;
            } else {
                self.kill(info);
            }
        }
    }

    /// What `requirepass` says is the only password of the user `default`; without it none is
    /// needed. The keyspace must be held alone, or nobody be there yet.
    pub(crate) fn apply_requirepass(&self) {
        let password = self.config().requirepass().to_vec();
        let mut rights = Rights::clone(&self.acl.default_user().rights());
        rights.set_only_password((!password.is_empty()).then_some(&password));
        self.acl.put(DEFAULT_USER, rights);
    }

    /// Makes the users that the configuration or the ACL file says, before the first connection.
    ///
    /// # Errors
    /// Something is wrong; the log says what, and the server must not start.
    pub fn load_users_at_start(&self) -> Result<(), String> {
        let lines = self.config().user_lines().to_vec();
        let file = self.config().aclfile().to_vec();
        if !file.is_empty() && !lines.is_empty() {
            return Err("Configuring Redis with users defined in redis.conf and at the same \
                setting an ACL file path is invalid. This setup is very likely to lead to \
                configuration errors and security holes, please define either an ACL file or \
                declare users directly in your redis.conf, but not both."
                .to_owned());
        }
        for line in &lines {
            if let Err(why) = self.load_user_line(line) {
                self.log(Level::Warning, &why);
                return Err("Critical error while loading ACLs. Exiting.".to_owned());
            }
        }
        if file.is_empty() {
            return Ok(());
        }
        self.read_acl_file().map(drop).map_err(|errors| {
            let errors = String::from_utf8_lossy(&errors);
            format!("Aborting Redis startup because of ACL errors: {errors}")
        })
    }

    fn load_user_line(&self, line: &FileLine) -> Result<(), String> {
        let (name, rules) = (&line.words[1], &line.words[2..]);
        if has_blanks(name) {
            return Err("Spaces not allowed in ACL usernames".to_owned());
        }
        let rules = join_selectors(rules).expect("checked when the line was read");
        let shown = String::from_utf8_lossy(name);
        let defaults = self.config().acl_defaults();
        let mut rights = Rights::new(defaults);
        if name == DEFAULT_USER {
            rights.apply(b"reset", defaults, &mut Vec::new()).expect("always possible");
        }
        self.apply_rules(&mut rights, &rules, defaults).map_err(|(rule, error)| {
            let rule = String::from_utf8_lossy(rule);
            format!("Error loading ACL rule '{rule}' for the user named '{shown}': {error}")
        })?;
        if !rights.is_enabled() {
            self.log(
                Level::Notice,
                &format!(
                    "The user '{shown}' is disabled (there is no 'on' modifier in the user \
                     description). Make sure this is not a configuration error."
                ),
            );
        }
        self.acl.put(name, rights);
        Ok(())
    }

    /// Replaces all users by those of the ACL file; returns those that were. The keyspace must be
    /// held alone, or nobody be there yet.
    fn read_acl_file(&self) -> Result<Vec<Arc<User>>, Vec<u8>> {
        let path = self.config().aclfile().to_vec();
        let text = self.host.read_file(&path).map_err(|why| {
            [b"Error loading ACLs, opening file '", &path[..], b"': ", why.as_bytes()].concat()
        })?;
        let mut notes = Vec::new();
        let users = file::parse(&text, &path, self.config().acl_defaults(), &mut notes);
        self.log_notes(&notes);
        Ok(self.acl.replace_all(users?))
    }

    /// ACL LOAD: the connections of all users but `default` are closed, the asking one after its
    /// reply. The keyspace must be held alone.
    ///
    /// # Errors
    /// All that is wrong with the file; nothing has changed then.
    pub(crate) fn load_acl_file(&self, asking: &mut Client) -> Result<(), Vec<u8>> {
        let gone = self.read_acl_file()?;
        self.close_connections_of(&gone, asking);
        Ok(())
    }

    /// ACL SAVE: the file is replaced as a whole or not at all; false if that failed, which is
    /// then in the log.
    pub(crate) fn save_acl_file(&self) -> bool {
        // Who comes second writes what is true then.
        let _one_at_a_time = lock(&self.acl.saving);
        let path = self.config().aclfile().to_vec();
        let mut text = self.acl.lines().join(b"\n".as_slice());
        text.push(b'\n');
        let saved = self.host.replace_file(&path, &text);
        if let Err(why) = &saved {
            self.log(Level::Warning, &format!("Writing ACL file for ACL SAVE: {why}"));
        }
        saved.is_ok()
    }

    fn log_notes(&self, notes: &[String]) {
        notes.iter().for_each(|note| self.log(Level::Warning, note));
    }
}

/// Checks a `user` line of a configuration file after the lines `before` it. Commands and
/// categories are not looked up yet.
///
/// # Errors
/// What is wrong, in Redis's words.
pub fn check_user_line(
    line: &FileLine,
    before: &[FileLine],
    defaults: Defaults,
) -> Result<(), String> {
    // Which word is blamed is Redis's choice, not always the one that is wrong.
    let blame = |at: usize, error: RuleError| {
        let word = String::from_utf8_lossy(&line.words[at]);
        Err(format!("Error in user declaration '{word}': {error}"))
    };
    if before.iter().any(|other| other.words[1] == line.words[1]) {
        return blame(1, RuleError::DuplicateUser);
    }
    let rules = match join_selectors(&line.words[2..]) {
        Ok(rules) => rules,
        Err(at) => return blame(at, RuleError::OpenParenthesis),
    };
    let mut rights = Rights::new(defaults);
    for (at, rule) in rules.iter().enumerate() {
        match rights.apply(rule, defaults, &mut Vec::new()) {
            Ok(()) | Err(RuleError::UnknownCommand) => {}
            Err(error) => return blame(at, error),
        }
    }
    Ok(())
}
