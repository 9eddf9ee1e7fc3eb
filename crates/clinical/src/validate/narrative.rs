//! Narratives: well-formed XHTML of the elements that R4 allows (section 2.29.1), so that nobody's page runs them.

/// Elements that may stand in a narrative: basic formatting of HTML 4.0, chapters 7 to 11 (but 4 of 9 and 15), links and images.
const ALLOWED: [&str; 48] = [
    "a",
    "abbr",
    "acronym",
    "address",
    "b",
    "bdo",
    "big",
    "blockquote",
    "br",
    "caption",
    "cite",
    "code",
    "col",
    "colgroup",
    "dd",
    "dfn",
    "div",
    "dl",
    "dt",
    "em",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
    "hr",
    "i",
    "img",
    "kbd",
    "li",
    "ol",
    "p",
    "pre",
    "q",
    "samp",
    "small",
    "span",
    "strong",
    "sub",
    "sup",
    "table",
    "tbody",
    "td",
    "tfoot",
    "th",
    "thead",
    "tr",
];
/// Further ones that were found wanting.
const ALSO: [&str; 4] = ["tt", "ul", "var", "map"];
/// Elements within one another, at most.
const DEPTH: usize = 64;

/// Whether `text` is one `div` of what is allowed; else what is wrong.
pub(super) fn check(text: &str) -> Result<(), &'static str> {
    let text = text.trim();
    if !text.starts_with("<div") {
        return Err("a narrative is one div");
    }
    let mut open: Vec<&str> = Vec::new();
    let mut rest = text;
    while let Some(start) = rest.find(['<', '&']) {
        if open.is_empty() && !(start == 0 && rest.len() == text.len()) {
            return Err("a narrative is one div and nothing beside it");
        }
        rest = rest.get(start..).unwrap_or_default();
        rest = if rest.starts_with('&') { entity(rest)? } else { tag(rest, &mut open)? };
        if open.is_empty() {
            break;
        }
    }
    if open.is_empty() && rest.is_empty() { Ok(()) } else { Err("an element of the narrative is not closed") }
}

/// `&name;`, `&#1;`
fn entity(text: &str) -> Result<&str, &'static str> {
    let wrong = "an ampersand of the narrative begins no entity";
    let (name, rest) = text.trim_start_matches('&').split_once(';').ok_or(wrong)?;
    let fits = (1..=10).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'#');
    if fits { Ok(rest) } else { Err(wrong) }
}

/// An opening or closing tag, or a comment.
fn tag<'t>(text: &'t str, open: &mut Vec<&'t str>) -> Result<&'t str, &'static str> {
    if let Some(comment) = text.strip_prefix("<!--") {
        return comment.split_once("-->").map(|(_, rest)| rest).ok_or("a comment of the narrative is not closed");
    }
    if let Some(closing) = text.strip_prefix("</") {
        let (name, rest) = closing.split_once('>').ok_or("a tag of the narrative is not closed")?;
        return if open.pop() == Some(name.trim_end()) { Ok(rest) } else { Err("elements of the narrative overlap") };
    }
    let body = text.get(1..).unwrap_or_default();
    let end = body.find(|c: char| !c.is_ascii_alphanumeric()).ok_or("a tag of the narrative is not closed")?;
    let (name, mut rest) = body.split_at(end);
    if !ALLOWED.contains(&name) && !ALSO.contains(&name) {
        return Err("an element of the narrative is not allowed there");
    }
    loop {
        let spaced = rest.trim_start();
        if let Some(after) = spaced.strip_prefix("/>") {
            return Ok(after);
        }
        if let Some(after) = spaced.strip_prefix('>') {
            if open.len() == DEPTH {
                return Err("elements of the narrative are too deep within one another");
            }
            open.push(name);
            return Ok(after);
        }
        if spaced.len() == rest.len() {
            return Err("a tag of the narrative is not closed");
        }
        rest = attribute(spaced)?;
    }
}

/// `name="value"`; none that runs something.
fn attribute(text: &str) -> Result<&str, &'static str> {
    let wrong = "an attribute of the narrative has no value in quotation marks";
    let (name, value) = text.split_once('=').ok_or(wrong)?;
    let name = name.trim_end();
    let plain = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b":-_".contains(&byte));
    let value = value.trim_start();
    let quote = value.chars().next().filter(|quote| plain && matches!(quote, '"' | '\'')).ok_or(wrong)?;
    let (value, rest) = value.get(1..).and_then(|value| value.split_once(quote)).ok_or(wrong)?;
    let address: String =
        value.chars().filter(|c| !c.is_whitespace() && !c.is_control()).flat_map(char::to_lowercase).collect();
    if name.to_ascii_lowercase().starts_with("on")
        || address.starts_with("javascript:")
        || address.starts_with("vbscript:")
        || value.contains('<')
    {
        return Err("an attribute of the narrative is not allowed there");
    }
    Ok(rest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::proptest;

    #[test]
    fn what_is_shown_is_taken_and_what_runs_is_not() {
        for yes in [
            "<div xmlns=\"http://www.w3.org/1999/xhtml\">x</div>",
            "<div><p title='a'>1 &lt; 2<br/><!-- c --></p><img src=\"#x\" alt=\"y\"/></div>",
            " <div><ul><li>a</li></ul></div>\n",
        ] {
            assert_eq!(check(yes), Ok(()), "{yes}");
        }
        for no in [
            "",
            "x",
            "<p>x</p>",
            "<div>",
            "<div></p></div>",
            "<div></div>x",
            "<div></div><div></div>",
            "<div><script>x</script></div>",
            "<div onclick=\"x\"></div>",
            "<div><a href=\"java\tscript:x\">y</a></div>",
            "<div>a & b</div>",
            "<div a></div>",
            "<div a=b></div>",
            "<div <p></div>",
            "<div><object/></div>",
            "<divx></divx>",
            "<div><!-- x</div>",
        ] {
            assert!(check(no).is_err(), "{no}");
        }
        let deep = |count: usize| format!("{}{}", "<div>".repeat(count), "</div>".repeat(count));
        assert!(check(&deep(DEPTH)).is_ok() && check(&deep(DEPTH + 1)).is_err());
    }

    proptest! {
        #[test]
        fn no_text_makes_it_fail(text in "(<div>|</div>|<p|>|/|a=|\"|'|&|;|x|é| |<!--|-->){0,24}") {
            let _ = check(&text);
        }
    }
}
