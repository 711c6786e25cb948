//! The two lists: what we claim, and what we leave out with a reason.

/// A case that is not run.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Exception {
    pub(super) file: String,
    pub(super) case: String,
}

/// Lines that say something.
fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let trimmed = text.lines().map(str::trim).enumerate();
    trimmed.filter(|(_, l)| !l.is_empty() && !l.starts_with('#'))
}

/// The claimed files.
pub(super) fn claimed(text: &str) -> Vec<String> {
    lines(text).map(|(_, l)| l.to_string()).collect()
}

/// The exceptions: `file | case | reason`. A case's name may hold ` | ` itself.
pub(super) fn exceptions(text: &str) -> Result<Vec<Exception>, String> {
    let mut all = Vec::new();
    for (number, line) in lines(text) {
        let parts = line.split_once(" | ").and_then(|(file, rest)| {
            let (case, reason) = rest.rsplit_once(" | ")?;
            Some((file.trim(), case.trim(), reason.trim()))
        });
        match parts {
            Some((file, case, reason)) if [file, case, reason].iter().all(|p| !p.is_empty()) => {
                all.push(Exception { file: file.to_string(), case: case.to_string() });
            }
            _ => return Err(format!("exceptions.txt:{}: not file | case | reason", number + 1)),
        }
    }
    Ok(all)
}

/// Whether both lists fit together.
pub(super) fn check(claimed: &[String], exceptions: &[Exception]) -> Result<(), String> {
    for (n, exception) in exceptions.iter().enumerate() {
        if !claimed.contains(&exception.file) {
            return Err(format!("exceptions.txt: {} is not claimed", exception.file));
        }
        if exceptions[..n].contains(exception) {
            return Err(format!("exceptions.txt: {} stands there twice", exception.case));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exception_needs_three_parts_and_a_claim() {
        let all = exceptions("# why\nunit/x | a | b case | no lists yet\n").unwrap();
        assert_eq!(all, [Exception { file: "unit/x".into(), case: "a | b case".into() }]);
        assert!(exceptions("unit/x | a case").is_err());
        assert!(exceptions("unit/x | a case | ").is_err());
        assert!(check(&["unit/x".to_string()], &all).is_ok());
        assert!(check(&["unit/y".to_string()], &all).is_err());
        let twice = exceptions("u | c | r\nu | c | r\n").unwrap();
        assert!(check(&["u".to_string()], &twice).is_err());
    }
}
