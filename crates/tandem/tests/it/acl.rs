//! Users where processes matter: the start, files, links.

use tandem_harness::{Client, Folder, Kind, Server, wait_until};

use crate::acl_rules::in_one_order;
use crate::pairs::{for_each_kind, for_each_pair};
use crate::{redis, tandem};

for_each_pair!(a_replica_comes_in_as_a_user_of_its_own);
for_each_kind!(
    users_outlive_a_restart_in_their_file,
    wrong_users_stop_the_start,
    an_acl_file_keeps_users_out_of_the_configuration,
);

fn a_replica_comes_in_as_a_user_of_its_own(master: &Kind, replica: &Kind) {
    let m = Server::start(master, &[]);
    let mut c = m.client();
    c.run("ACL SETUSER repl on >secret +psync +replconf +ping").ok();
    c.run("ACL SETUSER admin on >secret +@all ~* &*").ok();
    c.run("AUTH admin secret").ok();
    c.run("ACL SETUSER default resetpass >other").ok();
    c.run("SET a 1").ok();
    let r = Server::start(replica, &["--masterauth", "secret"]);
    let mut to_replica = r.client();
    r.replicate(m.port());
    r.wait_for_log("Unable to AUTH to MASTER:");
    to_replica.run("CONFIG SET masteruser repl").ok();
    r.wait_link_up();
    wait_until("the data is there", || to_replica.run("GET a").text() == "1");
    let replicas = c.run("CLIENT LIST TYPE replica").text();
    assert!(replicas.contains(" user=repl "), "{replicas}");
    let link = to_replica.run("CLIENT LIST TYPE master").text();
    assert!(link.contains(" user=(superuser) "), "{link}");
    // The link outlives what does not concern it, and ends with its user.
    c.run("ACL SETUSER repl -ping").ok();
    c.run("SET a 2").ok();
    wait_until("the data is there", || to_replica.run("GET a").text() == "2");
    assert_eq!(c.run("ACL DELUSER repl").int(), 1);
    wait_until("the link is down", || to_replica.info("master_link_status") == "down");
    c.run("ACL SETUSER repl on >secret +psync +replconf").ok();
    c.run("SET a 3").ok();
    // A stock master asks for PING before it says that it wants a password.
    c.run("ACL SETUSER repl +ping").ok();
    r.wait_link_up();
    wait_until("the data is there", || to_replica.run("GET a").text() == "3");
    assert_eq!(c.info("connected_slaves"), "1");
}

/// Users in the configuration file: what CONFIG REWRITE makes of them, and what a start makes of
/// that, is what Redis makes of it.
#[test]
fn rewritten_users_are_those_of_redis() {
    let seen = |kind: &Kind| {
        let text = "port {port}\nbind 127.0.0.1\ndir {dir}\nlogfile {dir}/log\nsave \"\"\n\
                    user ann on >x ~a* +get\n# between\nuser eve on nopass\nuser bob off\n";
        let mut server = Server::start_with_file(kind, text);
        let mut c = server.client();
        for line in [
            "ACL SETUSER bob on nopass %R~r* %W~w* &c* +@read -get +config|get (~s1 +set) (%R~s2 +get)",
            "ACL SETUSER cid reset",
            "ACL SETUSER dan on skip-sanitize-payload >p >q +@all -@dangerous +debug|object allkeys",
            "ACL SETUSER ann -get +set +select|0 +select|1 resetkeys ~b allchannels",
            "CONFIG SET requirepass 'a b'",
            "CONFIG REWRITE",
        ] {
            c.run(line).ok();
        }
        let _ = c.run("ACL DELUSER eve");
        c.run("CONFIG REWRITE").ok();
        let rewritten = || {
            let text = std::fs::read_to_string(server.file("server.conf")).expect("it is there");
            let about = ["user ", "requirepass", "acl", "#"];
            let lines = text.lines().filter(|line| about.iter().any(|word| line.starts_with(word)));
            lines.map(in_one_order).collect::<Vec<_>>()
        };
        let file = rewritten();
        c.run("CONFIG REWRITE").ok();
        assert_eq!(rewritten(), file, "a second time there is nothing to do");
        let users =
            |c: &mut Client| list(c).iter().map(|user| in_one_order(user)).collect::<Vec<_>>();
        let before = users(&mut c);
        server.kill();
        server.start_again(&[]);
        let mut c = server.client();
        assert_eq!(c.run("PING").error().as_deref(), Some("NOAUTH Authentication required."));
        c.run("AUTH 'a b'").ok();
        // Not quite as before: a start makes `sanitize-payload` of `default` explicit.
        (file, before, users(&mut c))
    };
    let theirs = seen(&redis());
    assert_eq!(theirs.1.len(), 5, "{theirs:?}");
    assert_eq!(seen(&tandem(1)), theirs);
    assert_eq!(seen(&tandem(4)), theirs);
}

/// With an ACL file the configuration file says nothing of users, and what was not saved is lost.
fn an_acl_file_keeps_users_out_of_the_configuration(kind: &Kind) {
    let text =
        "port {port}\nbind 127.0.0.1\ndir {dir}\nlogfile {dir}/log\nsave \"\"\naclfile users.acl\n";
    let lay = |folder: &std::path::Path| {
        std::fs::write(folder.join("users.acl"), "user ann on >x ~a* +get\n").expect("writable");
    };
    let mut server = Server::start_with_file_on(kind, text, lay);
    let mut c = server.client();
    let before = list(&mut c);
    assert_eq!(before.len(), 2);
    c.run("ACL SETUSER bob on nopass ~b (~c +get)").ok();
    c.run("CONFIG REWRITE").ok();
    let conf = std::fs::read_to_string(server.file("server.conf")).expect("it is there");
    assert!(!conf.lines().any(|line| line.starts_with("user ")), "{conf}");
    assert!(conf.contains("aclfile users.acl") || conf.contains("aclfile \"users.acl\""), "{conf}");
    server.kill();
    server.start_again(&[]);
    let mut c = server.client();
    assert_eq!(list(&mut c), before, "bob was not saved");
    c.run("ACL SETUSER bob on nopass ~b (~c +get)").ok();
    c.run("ACL SAVE").ok();
    c.run("CONFIG REWRITE").ok();
    let saved = list(&mut c);
    assert_eq!(saved.len(), 3);
    server.kill();
    server.start_again(&[]);
    assert_eq!(list(&mut server.client()), saved);
}

fn list(client: &mut Client) -> Vec<String> {
    client.run("ACL LIST").items().iter().map(tandem_harness::Value::text).collect()
}

fn users_outlive_a_restart_in_their_file(kind: &Kind) {
    let lay = |folder: &std::path::Path| {
        let text = "user ann on >x ~a* &c +get (+set ~b)\n\nuser bob off\n";
        std::fs::write(folder.join("users.acl"), text).expect("our own folder is writable");
    };
    let mut server = Server::start_on(kind, &["--aclfile", "users.acl"], lay);
    let mut c = server.client();
    let before = list(&mut c);
    assert_eq!(before.len(), 3, "{before:?}");
    assert!(before[2] == "user default on nopass ~* &* +@all", "{before:?}");
    c.run("ACL SETUSER eve on >y +@all -@dangerous").ok();
    c.run("ACL SETUSER default reset on >z ~* +@all").ok();
    c.run("ACL DELUSER bob");
    c.run("ACL SAVE").ok();
    let saved = std::fs::read_to_string(server.file("users.acl")).expect("it is there");
    assert_eq!(saved.lines().collect::<Vec<_>>(), list(&mut c));
    let others = std::fs::read_dir(
        std::path::Path::new(&server.file("users.acl")).parent().expect("a folder"),
    )
    .expect("a readable folder")
    .filter(|file| file.as_ref().is_ok_and(|f| f.file_name().to_string_lossy().contains("tmp")))
    .count();
    assert_eq!(others, 0, "nothing is left beside the file");
    server.kill();
    server.start_again(&[]);
    let mut c = server.client();
    assert_eq!(c.run("PING").error().as_deref(), Some("NOAUTH Authentication required."));
    c.run("AUTH z").ok();
    assert_eq!(saved.lines().collect::<Vec<_>>(), list(&mut c));
    // One wrong line, and all stays as it is.
    std::fs::write(server.file("users.acl"), format!("{saved}user ann on\nuser x +nosuch\n"))
        .expect("our own folder is writable");
    let refused = c.run("ACL LOAD").error().expect("the file is wrong");
    assert_eq!(
        refused,
        "ERR WARNING: Duplicate user 'ann' found on line 4. users.acl:5: Error in applying \
         operation '+nosuch': Unknown command or category name in ACL. WARNING: ACL errors \
         detected, no change to the previously active ACL rules was performed"
    );
    assert_eq!(saved.lines().collect::<Vec<_>>(), list(&mut c));
    std::fs::remove_file(server.file("users.acl")).expect("it is there");
    let refused = c.run("ACL LOAD").error().expect("there is no file");
    assert_eq!(
        refused,
        "ERR Error loading ACLs, opening file 'users.acl': No such file or directory"
    );
    // A file may leave `default` out: then everybody may come in again, whatever requirepass says.
    std::fs::write(server.file("users.acl"), "user ann on >x +@all ~*\n").expect("writable");
    let mut ann = server.client();
    ann.run("AUTH eve y").ok();
    c.run("ACL LOAD").ok();
    wait_until("eve's connection is closed", || ann.try_cmd(&["PING"]).is_err());
    assert_eq!(server.client().run("PING").text(), "PONG");
}

fn wrong_users_stop_the_start(kind: &Kind) {
    for (text, acl_file) in [
        ("user ann nonsense\n", ""),
        ("user ann on >x #12\n", ""),
        ("user ann on &* &a\n", ""),
        ("user ann on +config|get|x\n", ""),
        ("user ann on\nuser bob on\nuser ann off\n", ""),
        ("user ann +nosuch\n", ""),
        ("user \"a b\" on\n", ""),
        ("user ann on\naclfile users.acl\n", "user bob on\n"),
        ("aclfile users.acl\n", "user bob nonsense\nsomething else\n"),
        ("aclfile users.acl\n", "user bob +nosuch +@nosuch on\nuser bob\n"),
        ("aclfile missing.acl\n", ""),
    ] {
        let folder = Folder::new();
        let file = folder.file("redis.conf");
        let dir = std::path::Path::new(&file).parent().expect("a folder").display().to_string();
        let text = format!("port 0\nunixsocket {dir}/s\ndir {dir}\n{text}");
        std::fs::write(&file, &text).expect("our own folder is writable");
        std::fs::write(folder.file("users.acl"), acl_file).expect("our own folder is writable");
        let told = |kind: &Kind| {
            let (code, output) = Server::run_in_vain(kind, &folder, &[&file]);
            assert_eq!(code, Some(1), "{text}{output}");
            let about_users = |line: &&str| {
                ["ACL", "user", "Duplicate", ">>>", "at line"]
                    .iter()
                    .any(|word| line.contains(word))
            };
            let message = |line: &str| {
                let from = line.find(" # ").map_or(0, |at| at + 3);
                line[from..].trim().to_owned()
            };
            output.lines().filter(about_users).map(message).collect::<Vec<_>>()
        };
        assert_eq!(told(kind), told(&redis()), "{text}{acl_file}");
    }
}
