//! The file as a whole: its opcodes, and a key with its value after each type byte.

use std::io::Read;

use super::reader::{Fault, Reader};
use super::tally::{Key, Tally};
use super::value;

const MAGIC: &[u8] = b"REDIS";

const FUNCTION: u8 = 245;
const MODULE_AUX: u8 = 247;
const IDLE: u8 = 248;
const FREQUENCY: u8 = 249;
const AUX: u8 = 250;
const RESIZE_DB: u8 = 251;
const EXPIRE_MS: u8 = 252;
const EXPIRE_S: u8 = 253;
const SELECT_DB: u8 = 254;
const END: u8 = 255;

/// Reads to the end mark and counts.
pub(super) fn walk<R: Read>(reader: &mut Reader<R>, tally: &mut Tally) -> Result<(), Fault> {
    let head: [u8; 9] = reader.array()?;
    let version = std::str::from_utf8(&head[MAGIC.len()..]).ok().and_then(|v| v.parse().ok());
    match version {
        Some(version) if head.starts_with(MAGIC) => tally.version = version,
        _ => return Err("Wrong signature trying to load DB from file".to_owned()),
    }
    let mut db = 0;
    let mut expiry_ms = None;
    loop {
        match reader.byte()? {
            END => return Ok(()),
            SELECT_DB => db = reader.count()?,
            RESIZE_DB => {
                reader.count()?;
                reader.count()?;
            }
            AUX => {
                let (name, text) = (reader.string()?, reader.string()?);
                tally.note(&name, &text);
            }
            EXPIRE_MS => expiry_ms = Some(i64::from_le_bytes(reader.array()?)),
            EXPIRE_S => {
                expiry_ms = Some(i64::from(i32::from_le_bytes(reader.array()?)) * 1000);
            }
            IDLE => {
                reader.count()?;
            }
            FREQUENCY => {
                reader.byte()?;
            }
            FUNCTION => {
                reader.skip_string()?;
                tally.functions += 1;
            }
            MODULE_AUX => {
                // Its id, and when it was written.
                for _ in 0..3 {
                    reader.count()?;
                }
                value::module(reader)?;
            }
            value_type => {
                let name = reader.string()?;
                let from = reader.at();
                let shape = value::read(reader, value_type)?;
                let bytes = reader.at() - from;
                tally.take(Key { db, name, shape, bytes, expiry_ms: expiry_ms.take() });
            }
        }
    }
}
