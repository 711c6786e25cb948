//! Relative links in the documents must lead somewhere.

use std::path::Path;

use super::read;

/// Findings over all documents.
pub(super) fn check(root: &Path, files: &[String]) -> Result<Vec<String>, String> {
    let mut found = Vec::new();
    for name in files {
        let text = read(root, name)?;
        let folder = root.join(name).parent().map(Path::to_path_buf).unwrap_or_default();
        for (line, target) in targets(&text) {
            if !folder.join(&target).exists() {
                found.push(format!("{name}:{line}: a link to {target}, which is not there"));
            }
        }
    }
    Ok(found)
}

/// The files that `text` links to, each with its line: neither web addresses nor anchors.
fn targets(text: &str) -> Vec<(usize, String)> {
    let mut all = Vec::new();
    let mut fenced = false;
    for (number, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        }
        if fenced {
            continue;
        }
        for (at, _) in line.match_indices("](") {
            let rest = &line[at + 2..];
            let target = rest.split([')', ' ']).next().unwrap_or("");
            let file = target.split('#').next().unwrap_or("");
            if !file.is_empty() && !file.contains("://") && !file.starts_with("mailto:") {
                all.push((number + 1, file.to_string()));
            }
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::targets;

    #[test]
    fn only_links_to_files_count() {
        let text = "[a](docs/a.md#x) [b](https://x.y/z) [c](#here)\n```\n[d](d.md)\n```\n![e](e.png \"t\")";
        assert_eq!(targets(text), [(1, "docs/a.md".to_string()), (5, "e.png".to_string())]);
    }
}
