//! MODULE: there are none, and none can be loaded.

use tandem_resp::Args;

use super::docs::help;
use super::facts::{arg, command, container};
use crate::cx::Cx;
use crate::error::{ErrorReply, Outcome};
use crate::node::Level;
use crate::spec::{Group::Server, Spec};

const LOADS: &str = "no_async_loading admin noscript protected";

/// The commands of this module.
pub(super) const SPECS: &[Spec] = &[container(
    "module",
    Server,
    "",
    &[
        command("module|help", Server, 2, "loading stale", help).doc(
            "5.0.0",
            "Lists the subcommands.",
            "O(1)",
        ),
        command("module|list", Server, 2, "admin noscript", list)
            .tips(&["nondeterministic_output_order"])
            .doc("4.0.0", "The modules, of which there are none.", "O(N) for N modules"),
        command("module|load", Server, -3, LOADS, load)
            .doc("4.0.0", "Refuses to load a module.", "O(1)")
            .args(&[arg::string("path"), arg::string("arg").multiple().optional()]),
        command("module|loadex", Server, -3, LOADS, load)
            .doc("7.0.0", "Refuses to load a module.", "O(1)")
            .args(&[
                arg::string("path"),
                arg::block("configs", &[arg::string("name"), arg::string("value")])
                    .token("CONFIG")
                    .multiple_token()
                    .optional(),
                arg::block("args", &[arg::string("arg")]).token("ARGS").multiple().optional(),
            ]),
        command("module|unload", Server, 3, LOADS, unload)
            .doc("4.0.0", "Refuses to unload a module.", "O(1)")
            .args(&[arg::string("name")]),
    ],
)
.doc("4.0.0", "Modules, of which there are none.", "Depends on the subcommand")];

/// `MODULE LIST`
fn list(cx: &mut Cx<'_>, _: Args<'_>) -> Outcome {
    cx.out.array(0);
    Ok(())
}

/// `MODULE LOAD path [arg …]` and `MODULE LOADEX …`
fn load(cx: &mut Cx<'_>, args: Args<'_>) -> Outcome {
    let path = String::from_utf8_lossy(args.get(2));
    let text = format!("Module {path} failed to load: modules are not supported");
    cx.node.log(Level::Warning, &text);
    Err(ErrorReply::text("ERR Error loading the extension. Please check the server logs."))
}

/// `MODULE UNLOAD name`
fn unload(_: &mut Cx<'_>, _: Args<'_>) -> Outcome {
    Err(ErrorReply::text("ERR Error unloading module: no such module with that name"))
}
