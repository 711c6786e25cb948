//! DEBUG PROTOCOL and DEBUG ERROR: replies of every kind, for those who write clients.

use tandem_resp::{Args, Proto};

use crate::cx::Cx;
use crate::error::{ErrorReply, Outcome};

/// `DEBUG PROTOCOL kind`
pub(super) fn protocol(cx: &mut Cx<'_>, args: Args<'_>) -> Outcome {
    let resp3 = cx.out.proto == Proto::V3;
    let out = &mut *cx.out;
    match args.get(2).to_ascii_lowercase().as_slice() {
        b"string" => out.bulk(b"Hello World"),
        b"integer" => out.int(12345),
        b"double" => {
            const DOUBLE: &str = "3.141";
            match resp3 {
                true => out.push(format!(",{DOUBLE}\r\n").as_bytes()),
                false => out.bulk(DOUBLE.as_bytes()),
            }
        }
        b"bignum" => {
            const NUMBER: &str = "1234567999999999999999999999999999999";
            match resp3 {
                true => out.push(format!("({NUMBER}\r\n").as_bytes()),
                false => out.bulk(NUMBER.as_bytes()),
            }
        }
        b"null" => out.null(),
        b"array" => {
            out.array(3);
            (0..3).for_each(|number| out.int(number));
        }
        b"set" => {
            out.set(3);
            (0..3).for_each(|number| out.int(number));
        }
        b"map" => {
            out.map(3);
            for number in 0..3 {
                out.int(number);
                out.bool(number == 1);
            }
        }
        b"attrib" => {
            if resp3 {
                out.push(b"|1\r\n");
                out.bulk(b"key-popularity");
                out.array(2);
                out.bulk(b"key:123");
                out.int(90);
            }
            // An attribute is no reply: one must follow.
            out.bulk(b"Some real reply following the attribute");
        }
        b"push" if !resp3 => {
            return Err(ErrorReply::text("ERR RESP2 is not supported by this command"));
        }
        b"push" => {
            out.push_message(2);
            out.bulk(b"server-cpu-usage");
            out.int(42);
            // A push is no reply either.
            out.bulk(b"Some real reply following the push reply");
        }
        b"true" => out.bool(true),
        b"false" => out.bool(false),
        b"verbatim" => out.verbatim("txt", b"This is a verbatim\nstring"),
        _ => {
            return Err(ErrorReply::text(
                "ERR Wrong protocol type name. Please use one of the following: \
                 string|integer|double|bignum|null|array|set|map|attrib|push|verbatim|true|false",
            ));
        }
    }
    Ok(())
}

/// `DEBUG ERROR text`: replies that error, which is not counted as one.
pub(super) fn error(cx: &mut Cx<'_>, args: Args<'_>) -> Outcome {
    cx.out.error(args.get(2));
    Ok(())
}
