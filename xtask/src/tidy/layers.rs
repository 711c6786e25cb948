//! The floors of the architecture, read from the manifests: a crate builds on lower floors
//! only, and some neighbours never meet at all.
//!
//! ```text
//! 5  tandem
//! 4  server   cli
//! 3  engine
//! 2  repl                 (never store, never resp)
//! 1  resp     store       (never each other)   tls
//! 0  base
//!    sim, harness, fuzz, counts, xtask: for development; anything may be under them, nothing on them
//! ```

use std::path::Path;

/// A crate, its floor, and lower ones that it must not know all the same.
struct Floor {
    name: &'static str,
    floor: u8,
    never: &'static [&'static str],
}

const FLOORS: &[Floor] = &[
    Floor { name: "base", floor: 0, never: &[] },
    Floor { name: "resp", floor: 1, never: &[] },
    Floor { name: "store", floor: 1, never: &[] },
    Floor { name: "tls", floor: 1, never: &[] },
    Floor { name: "repl", floor: 2, never: &["resp", "store"] },
    Floor { name: "engine", floor: 3, never: &[] },
    Floor { name: "server", floor: 4, never: &[] },
    Floor { name: "cli", floor: 4, never: &[] },
    Floor { name: "tandem", floor: 5, never: &[] },
];

/// Crates that only development needs.
const DEVELOPMENT: &[&str] = &["sim", "harness", "fuzz", "counts", "xtask"];

/// Whether a crate lies below `server`, where nothing touches the world.
pub(super) fn is_below_server(name: &str) -> bool {
    floor_of(name).is_some_and(|f| f.floor < 4)
}

fn floor_of(name: &str) -> Option<&'static Floor> {
    FLOORS.iter().find(|f| f.name == name)
}

/// Findings over all crates.
pub(super) fn check(root: &Path) -> Result<Vec<String>, String> {
    let crates = root.join("crates");
    let entries = std::fs::read_dir(&crates).map_err(|e| format!("crates: {e}"))?;
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|e| format!("crates: {e}"))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let Ok(manifest) = std::fs::read_to_string(entry.path().join("Cargo.toml")) else {
            continue;
        };
        found.extend(check_crate(&name, &manifest));
    }
    Ok(found)
}

fn check_crate(name: &str, manifest: &str) -> Vec<String> {
    if DEVELOPMENT.contains(&name) {
        return Vec::new();
    }
    let Some(own) = floor_of(name) else {
        return vec![format!(
            "crates/{name}: has no floor; give it one in xtask/src/tidy/layers.rs"
        )];
    };
    let mut found = Vec::new();
    for (kind, other) in own_dependencies(manifest) {
        let place = format!("crates/{name}/Cargo.toml: tandem-{other}");
        if DEVELOPMENT.contains(&other.as_str()) {
            if kind != "dev-dependencies" {
                found.push(format!("{place}: is for development only"));
            }
            continue;
        }
        match floor_of(&other) {
            None => found.push(format!("{place}: has no floor")),
            Some(f) if f.floor >= own.floor => {
                found
                    .push(format!("{place}: stands on floor {}, not below {}", f.floor, own.floor));
            }
            Some(f) if own.never.contains(&f.name) => {
                found.push(format!("{place}: {name} must not know it"));
            }
            Some(_) => {}
        }
    }
    found
}

/// The crates of this workspace that a manifest names, each with the kind of its section.
fn own_dependencies(manifest: &str) -> Vec<(String, String)> {
    let mut all = Vec::new();
    let mut kind = String::new();
    for line in manifest.lines().map(str::trim) {
        if let Some(section) = line.strip_prefix('[').and_then(|l| l.strip_suffix(']')) {
            // `[dependencies]`, `[target.….dependencies]`, `[dependencies.tandem-x]`.
            let (head, named) = match section.split_once(".tandem-") {
                Some((head, name)) => (head, Some(name)),
                None => (section, None),
            };
            kind = head.rsplit('.').next().unwrap_or(head).to_string();
            if let Some(name) = named {
                all.push((kind.clone(), name.to_string()));
            }
            continue;
        }
        if !kind.ends_with("dependencies") {
            continue;
        }
        if let Some(rest) = line.strip_prefix("tandem-") {
            let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '-');
            all.push((kind.clone(), rest[..end.unwrap_or(rest.len())].to_string()));
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::check_crate;

    #[test]
    fn an_edge_that_does_not_go_down_is_found() {
        let with = |name: &str| format!("[dependencies]\ntandem-{name}.workspace = true\n");
        assert!(check_crate("engine", &with("store")).is_empty());
        for (from, to) in [
            ("resp", "store"),
            ("store", "resp"),
            ("repl", "store"),
            ("repl", "resp"),
            ("base", "resp"),
            ("engine", "server"),
            ("server", "cli"),
            ("engine", "sim"),
            ("engine", "unheard"),
        ] {
            assert_eq!(check_crate(from, &with(to)).len(), 1, "{from} on {to}");
        }
        assert_eq!(check_crate("unheard", "").len(), 1);
    }

    #[test]
    fn every_form_of_a_manifest_is_read() {
        let of = |text: &str| check_crate("resp", text).len();
        assert_eq!(of("[dependencies.tandem-store]\nworkspace = true\n"), 1);
        assert_eq!(of("[target.'cfg(unix)'.dependencies]\ntandem-store = { path = \"x\" }\n"), 1);
        assert_eq!(of("[build-dependencies]\ntandem-store = { path = \"x\" }\n"), 1);
        assert_eq!(of("[dev-dependencies]\ntandem-harness = { path = \"x\" }\n"), 0);
        assert_eq!(of("[features]\ntandem-store = []\n"), 0);
    }
}
