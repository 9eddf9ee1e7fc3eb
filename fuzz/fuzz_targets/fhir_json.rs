//! JSON as its author wrote it: what is read is written again without its white space, and means the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use medlock_clinical::json::{Document, Limits, Node, minified};

const SMALL: Limits = Limits { bytes: 1 << 16, depth: 40, nodes: 10_000, members: 500, number: 40 };

fn walk(node: Node<'_, '_>) {
    let _ = (node.text(), node.flag(), node.number().map(|number| (number.key(), number.range())));
    node.items().for_each(walk);
    for (name, value) in node.members() {
        assert!(node.member(&name).is_some());
        walk(value);
    }
}

fuzz_target!(|data: &[u8]| {
    let Ok(document) = Document::read(data, &SMALL) else { return };
    walk(document.root());
    let mut once = Vec::new();
    minified(document.root(), &mut once);
    let again = Document::read(&once, &SMALL).expect("what was read can be read again");
    let mut twice = Vec::new();
    minified(again.root(), &mut twice);
    assert_eq!(once, twice);
});
