//! OBJECT, by scripts.

use crate::commands::script::check;

#[test]
fn a_value_from_inside() {
    check(
        r#"
        > MSET int 9999 large 10000 negative -1 text abc
        +OK
        > SET raw aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
        +OK
        > SET emb aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
        +OK
        > OBJECT ENCODING int
        "int"
        > OBJECT ENCODING emb
        "embstr"
        > OBJECT ENCODING raw
        "raw"
        > OBJECT ENCODING missing
        nil
        > OBJECT REFCOUNT int
        :2147483647
        > OBJECT REFCOUNT large
        :1
        > OBJECT REFCOUNT negative
        :1
        > OBJECT REFCOUNT text
        :1
        > OBJECT FREQ missing
        nil
        > OBJECT FREQ int
        -ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please note that when switching between policies at runtime LRU and LFU data will take some time to adjust.
        > OBJECT IDLETIME missing
        nil
        > OBJECT ENCODING
        -ERR wrong number of arguments for 'object|encoding' command
        > OBJECT NONSENSE int
        -ERR unknown subcommand 'NONSENSE'. Try OBJECT HELP.
        "#,
    );
}

#[test]
fn asking_does_not_make_a_key_fresh() {
    check(
        r#"
        > SET k v
        +OK
        + 7000
        > EXISTS k
        :1
        > TTL k
        :-1
        > TYPE k
        +string
        > OBJECT IDLETIME k
        :7
        > TOUCH k
        :1
        > OBJECT IDLETIME k
        :0
        + 3000
        > OBJECT IDLETIME k
        :3
        > GET k
        "v"
        > OBJECT IDLETIME k
        :0
        "#,
    );
}
