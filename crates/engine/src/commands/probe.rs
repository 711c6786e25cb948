//! Commands that only tests have: blocking commands on strings, which show what the mechanism of
//! `blocking/` does. A string stands for a list of bytes.
//!
//! | command | does |
//! |---|---|
//! | `test.pop key … timeout` | waits for a byte at one of the keys; replies key and byte |
//! | `test.move from to timeout` | waits for a byte and appends it to another key |
//! | `test.lost key timeout` | waits for the key to be no string |
//! | `test.chop key`, `test.shift from to` | what the first two do to replicas |

use tandem_resp::{Args, OutBuf};

use super::facts::{command, key_at, key_range};
use crate::blocking::{Serving, Turn, Wait, timeout};
use crate::cx::Cx;
use crate::db::Db;
use crate::error::{ErrorReply, Outcome};
use crate::spec::{Group::Generic, Spec};

pub(super) const SPECS: &[Spec] = &[
    command("test.pop", Generic, -3, "write blocking", pop).keys(&[key_range(1, -2, 1, "RW")]),
    command("test.move", Generic, 4, "write blocking", move_byte)
        .keys(&[key_range(1, 1, 1, "RW"), key_range(2, 0, 1, "RW")]),
    command("test.lost", Generic, 3, "write blocking", lost).keys(&[key_at(1, "RW")]),
    command("test.chop", Generic, 2, "write", chop).keys(&[key_at(1, "RW")]),
    command("test.shift", Generic, 3, "write", shift).keys(&[key_range(1, 1, 1, "RW")]),
];

/// Takes the first byte at `key`.
fn take_byte(db: &mut Db<'_>, key: &[u8]) -> Result<Option<u8>, ErrorReply> {
    let Some(length) = db.string_for_write(key)?.map(|value| value.len()).filter(|&n| n > 0) else {
        return Ok(None);
    };
    let byte = db.edit_string(key, |bytes| bytes.remove(0));
    if length == 1 {
        db.delete(key, false);
    }
    db.effects.changed(1);
    Ok(Some(byte))
}

fn add_byte(db: &mut Db<'_>, key: &[u8], byte: u8) {
    db.edit_string(key, |bytes| bytes.push(byte));
}

fn try_pop(serving: &mut Serving<'_, '_>) -> Result<Turn, ErrorReply> {
    let Serving { db, out, key, .. } = serving;
    let Some(byte) = take_byte(db, key)? else { return Ok(Turn::NotYet) };
    db.effects.send_instead(db.index, &[b"TEST.CHOP", key]);
    out.array(2);
    out.bulk(key);
    out.bulk(&[byte]);
    Ok(Turn::Served)
}

fn try_move(serving: &mut Serving<'_, '_>) -> Result<Turn, ErrorReply> {
    let Serving { db, out, args, key } = serving;
    if args.get(2) == b"forbidden" {
        return Err(ErrorReply::WrongType);
    }
    let Some(byte) = take_byte(db, key)? else { return Ok(Turn::NotYet) };
    add_byte(db, args.get(2), byte);
    db.effects.send_instead(db.index, &[b"TEST.SHIFT", key, args.get(2)]);
    out.bulk(&[byte]);
    Ok(Turn::Served)
}

fn try_lost(serving: &mut Serving<'_, '_>) -> Result<Turn, ErrorReply> {
    if serving.db.exists(serving.key) {
        return Ok(Turn::NotYet);
    }
    Err(ErrorReply::text("UNBLOCKED the key no longer exists"))
}

fn pop(cx: &mut Cx<'_>, args: Args<'_>) -> Outcome {
    let last = args.len() - 1;
    let until = timeout::seconds(args.get(last), cx.now())?;
    for key in args.iter().take(last).skip(1) {
        let mut serving = Serving { db: &mut cx.db, out: cx.out, args, key };
        if try_pop(&mut serving)? == Turn::Served {
            return Ok(());
        }
    }
    cx.wait_for_keys(args.to_owned(), Wait { keys: 1..last, until, ..wait(try_pop) })
}

fn move_byte(cx: &mut Cx<'_>, args: Args<'_>) -> Outcome {
    let until = timeout::seconds(args.get(3), cx.now())?;
    let nothing = !cx.db.exists(args.get(1));
    let mut serving = Serving { db: &mut cx.db, out: cx.out, args, key: args.get(1) };
    if nothing || try_move(&mut serving)? == Turn::NotYet {
        let wait = Wait { until, reaches: Some(2), ..wait(try_move) };
        return cx.wait_for_keys(args.to_owned(), wait);
    }
    Ok(())
}

fn lost(cx: &mut Cx<'_>, args: Args<'_>) -> Outcome {
    let until = timeout::seconds(args.get(2), cx.now())?;
    let wait = Wait { until, kind: Some("none such"), wakes_on_loss: true, ..wait(try_lost) };
    cx.wait_for_keys(args.to_owned(), wait)
}

fn wait(serve: crate::blocking::Serve) -> Wait {
    Wait {
        keys: 1..2,
        reaches: None,
        kind: Some("string"),
        wakes_on_loss: false,
        until: None,
        serve,
        refused: OutBuf::null_array,
    }
}

fn chop(cx: &mut Cx<'_>, args: Args<'_>) -> Outcome {
    take_byte(&mut cx.db, args.get(1))?.expect("the master had one");
    cx.out.ok();
    Ok(())
}

fn shift(cx: &mut Cx<'_>, args: Args<'_>) -> Outcome {
    let byte = take_byte(&mut cx.db, args.get(1))?.expect("the master had one");
    add_byte(&mut cx.db, args.get(2), byte);
    cx.out.ok();
    Ok(())
}
