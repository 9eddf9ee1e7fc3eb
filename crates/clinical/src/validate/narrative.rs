//! Narratives: well-formed XHTML of the elements that R4 allows (section 2.29.1), so that nobody's page runs them.

/// Elements that may stand in a narrative: basic formatting of HTML 4.0, chapters 7 to 11 (but 4 of 9 and 15), links and images.
const ALLOWED: [&str; 52] = [
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
    "map",
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
    "tt",
    "ul",
    "var",
];
/// Attributes that lead somewhere.
const LEADS: [&str; 7] = ["href", "src", "cite", "longdesc", "background", "usemap", "xlink:href"];
/// Attributes that send, load or run something.
const RUNS: [&str; 6] = ["action", "formaction", "srcdoc", "srcset", "ping", "data"];
/// Schemes by which nothing runs; an address without one is relative.
const SCHEMES: [&str; 6] = ["http", "https", "mailto", "tel", "urn", "ftp"];
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
    let (name, rest) = text.strip_prefix('&').and_then(|text| text.split_once(';')).ok_or(wrong)?;
    let fits = (1..=10).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'#');
    if fits { Ok(rest) } else { Err(wrong) }
}

/// An opening or closing tag, or a comment.
fn tag<'t>(text: &'t str, open: &mut Vec<&'t str>) -> Result<&'t str, &'static str> {
    if let Some(comment) = text.strip_prefix("<!--") {
        let (inside, rest) = comment.split_once("--").ok_or("a comment of the narrative is not closed")?;
        // Pages that read it as HTML end a comment there already.
        let ends = inside.starts_with('>') || inside.starts_with("->");
        return rest.strip_prefix('>').filter(|_| !ends).ok_or("a comment of the narrative has -- or begins with >");
    }
    if let Some(closing) = text.strip_prefix("</") {
        let (name, rest) = closing.split_once('>').ok_or("a tag of the narrative is not closed")?;
        return if open.pop() == Some(name.trim_end()) { Ok(rest) } else { Err("elements of the narrative overlap") };
    }
    let body = text.get(1..).unwrap_or_default();
    let end = body.find(|c: char| !c.is_ascii_alphanumeric()).ok_or("a tag of the narrative is not closed")?;
    let (name, mut rest) = body.split_at(end);
    if !ALLOWED.contains(&name) {
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
    let name = name.to_ascii_lowercase();
    if name.starts_with("on") || RUNS.contains(&&*name) || value.contains('<') {
        return Err("an attribute of the narrative is not allowed there");
    }
    let mut rest_of_value = value;
    while let Some(start) = rest_of_value.find('&') {
        rest_of_value = entity(rest_of_value.get(start..).unwrap_or_default())?;
    }
    if LEADS.contains(&&*name) && !leads_to_a_page(value) {
        return Err(
            "an address of the narrative is a relative one, or of http, https, mailto, tel, ftp, urn, or data:image/",
        );
    }
    Ok(rest)
}

/// Whether nothing runs by an address; an entity could hide which scheme it has.
fn leads_to_a_page(value: &str) -> bool {
    let plain: String = value.chars().filter(|c| !c.is_whitespace() && !c.is_control()).collect();
    let head = plain.split(['/', '?', '#']).next().unwrap_or_default().to_ascii_lowercase();
    match head.split_once(':') {
        _ if head.contains('&') => false,
        None => true,
        Some(("data", of)) => of == "image",
        Some((scheme, _)) => SCHEMES.contains(&scheme),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::proptest;

    /// Shows REQ-GEN-09.
    #[test]
    fn what_is_shown_is_taken_and_what_runs_is_not() {
        for yes in [
            "<div xmlns=\"http://www.w3.org/1999/xhtml\">x</div>",
            "<div><p title='a'>1 &lt; 2<br/><!-- c --></p><img src=\"#x\" alt=\"y\"/></div>",
            " <div><ul><li>a</li></ul></div>\n",
            "<div><a href=\"https://a.example/?b&amp;c\" title=\"&#228; &amp; b\">x</a><a href=\"Patient/1:2\">y</a></div>",
            "<div><img src=\"data:image/png;base64,AAAA\"/><a href=\"urn:uuid:1\">z</a><tt>t</tt><var>v</var></div>",
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
            "<div><!--><img src=\"x\"/>--></div>",
            "<div><!---><img src=\"x\"/>--></div>",
            "<div><!-- a -- b --></div>",
            "<div><!-- a --!><img src=\"x\"/>--></div>",
            "<div><a href=\"&#106;avascript:x\">y</a></div>",
            "<div><a href=\"java&#10;script&colon;x\">y</a></div>",
            "<div><a href=\" vbscript:x\">y</a></div>",
            "<div><img src=\"data:text/html,x\"/></div>",
            "<div title=\"a & b\"></div>",
            "<div ping=\"https://a.example\"></div>",
            "<div>&&amp;</div>",
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
