//! The statistics of files that a stock server wrote, with every type and encoding that it has.

mod common;

use std::process::Command;

use common::{Server, example};

/// Keys of every type, small (packed) and large (not), and what the survey must say of them.
fn fill(server: &Server) {
    let mut client = server.client();
    let mut run = |line: &str| {
        let words: Vec<&str> = line.split(' ').collect();
        client.expect_ok(&words).unwrap_or_else(|error| panic!("{line}: {error}"));
    };
    run("FLUSHALL");
    run("SET int 1234");
    run("SET text hello EX 100000000");
    run(&format!("SET zip {}", "abc".repeat(200)));
    run("RPUSH list-small a b c");
    run("SADD set-ints 1 2 3 4");
    run("SADD set-words a b");
    run("HSET hash-small f v g w");
    run("ZADD zset-small 1 a 2.5 b 3 c");
    run("XADD stream 1-1 f v");
    run("XADD stream 2-1 f v");
    run("XGROUP CREATE stream g 0");
    run("XREADGROUP GROUP g c COUNT 1 STREAMS stream >");
    run("SELECT 5");
    for member in 0..700 {
        run(&format!("HSET hash-large field:{member} {member}"));
        run(&format!("ZADD zset-large {member} member:{member}"));
        run(&format!("SADD set-large member:{member}"));
        run(&format!("RPUSH list-large element:{member}"));
    }
}

/// The number behind `"name":` in the JSON object that follows `after`.
fn number(json: &str, after: &str, name: &str) -> u64 {
    let rest = json.split_once(after).unwrap_or_else(|| panic!("no {after} in {json}")).1;
    let rest = rest.split_once(&format!("\"{name}\":")).expect(name).1;
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().expect("a number")
}

#[test]
fn a_file_of_all_types_is_counted() {
    let server = Server::start("survey");
    fill(&server);
    server.client().expect_ok(&["SAVE"]).expect("it saves");
    let file = server.dir.join("dump.rdb");
    let output = Command::new(example("survey"))
        .args(["--stats", "--json", "--top", "3"])
        .arg(&file)
        .output()
        .expect("it runs");
    let json = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{json} {}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(number(&json, "\"total\":", "keys"), 13);
    assert_eq!(number(&json, "\"0\":", "keys"), 9);
    assert_eq!(number(&json, "\"5\":", "keys"), 4);
    assert_eq!(number(&json, "\"total\":", "expires"), 1);
    assert_eq!(number(&json, "\"expiry\":", "later"), 1);
    for (kind, keys, elements, most) in [
        ("string", 3, 4 + 5 + 600, 600),
        ("list", 2, 703, 700),
        ("set", 3, 4 + 2 + 700, 700),
        ("zset", 2, 703, 700),
        ("hash", 2, 702, 700),
        ("stream", 1, 2, 2),
    ] {
        let types = &json[json.find("\"types\":").expect("types")..];
        let after = format!("\"{kind}\":{{\"keys\"");
        assert_eq!(number(types, &format!("\"{kind}\":"), "keys"), keys, "{after}");
        assert_eq!(number(types, &format!("\"{kind}\":"), "elements"), elements, "{kind}");
        assert_eq!(number(types, &format!("\"{kind}\":"), "most_elements"), most, "{kind}");
    }
    assert_eq!(json.matches("\"elements\":700").count(), 3, "the largest three of four");
    let text = Command::new(example("survey")).arg("--stats").arg(&file).output().expect("it runs");
    let text = String::from_utf8_lossy(&text.stdout).into_owned();
    for part in ["redis-ver 7.0.15", "lzf 1", "set-intset 1", "hash-listpack 1", "hash-hashtable 1"]
    {
        assert!(text.contains(part), "{part} in {text}");
    }
    // Cut short it says so, after what it has.
    let bytes = std::fs::read(&file).expect("it is there");
    std::fs::write(&file, &bytes[..bytes.len() / 2]).expect("ours");
    let output = Command::new(example("survey")).arg("--stats").arg(&file).output().expect("it");
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("Unexpected EOF reading RDB file"));
}
