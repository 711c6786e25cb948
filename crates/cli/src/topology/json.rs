//! The tree as JSON, one line.

use super::draw::{Standard, lag_seconds, state};
use super::walk::{Node, Tree};

/// The whole document, with its line end.
pub(super) fn text(tree: &Tree) -> String {
    let mut out = format!("{{\"time_ms\":{},\"top\":", tree.at.0);
    push_node(&mut out, &tree.top, &Standard::of(tree));
    out.push_str("}\n");
    out
}

fn push_node(out: &mut String, node: &Node, top: &Standard<'_>) {
    let facts = node.facts.as_ref().ok();
    let number = |value: Option<u64>| value.map_or("null".to_owned(), |value| value.to_string());
    let is_top = node.reported.is_none() && facts.is_some_and(|facts| facts.link.is_none());
    out.push_str("{\"host\":");
    push_string(out, Some(&node.place.host));
    out.push_str(&format!(",\"port\":{},\"named\":{},\"state\":", node.place.port, node.named));
    push_string(out, Some(&state(node)));
    out.push_str(&format!(
        ",\"offset\":{},\"lag_bytes\":{},\"lag_seconds\":{},\"replid\":",
        number(node.offset().map(|offset| offset.0)),
        number(if is_top { Some(0) } else { top.lag_bytes(node) }),
        number(lag_seconds(node))
    ));
    push_string(out, facts.and_then(|facts| facts.replid.as_deref()));
    out.push_str(",\"run_id\":");
    push_string(out, facts.and_then(|facts| facts.run_id.as_deref()));
    out.push_str(",\"version\":");
    push_string(out, facts.and_then(|facts| facts.version.as_deref()));
    out.push_str(",\"error\":");
    push_string(out, node.facts.as_ref().err().map(String::as_str));
    out.push_str(",\"replicas\":[");
    for (index, replica) in node.replicas.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        push_node(out, replica, top);
    }
    out.push_str("]}");
}

fn push_string(out: &mut String, text: Option<&str>) {
    let Some(text) = text else { return out.push_str("null") };
    out.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_control() => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::super::draw::tests::sample;

    #[test]
    fn every_node_is_there_with_its_lag() {
        let text = super::text(&sample());
        assert!(text.starts_with("{\"time_ms\":12,\"top\":{\"host\":\"h\",\"port\":1,"), "{text}");
        assert!(text.contains("\"run_id\":\"r\\\"un\""), "{text}");
        assert_eq!(text.matches("\"lag_bytes\"").count(), 5);
        assert!(
            text.contains("\"state\":\"syncing 40%\",\"offset\":90,\"lag_bytes\":10,"),
            "{text}"
        );
        assert!(text.contains("\"error\":\"Connection refused\",\"replicas\":[]"), "{text}");
    }
}
