//! What an abstract syntax asks for: the operation that follows from a presentation context.

use medlock_trust::Operation;

/// Everything whose identifier begins like this belongs to the query/retrieve service class (PS3.4 annex C).
const QUERY_RETRIEVE: &str = "1.2.840.10008.5.1.4.1.2.";

/// Abstract syntaxes that only ask and fetch (PS3.6 table A-1). Sorted, for a binary search.
const READ: &[&str] = &[
    "1.2.840.10008.1.1",             // verification (C-ECHO)
    "1.2.840.10008.5.1.4.1.1.200.4", // protocol approval, find
    "1.2.840.10008.5.1.4.1.1.200.5", // protocol approval, move
    "1.2.840.10008.5.1.4.1.1.200.6", // protocol approval, get
    "1.2.840.10008.5.1.4.1.1.201.2", // inventory, find
    "1.2.840.10008.5.1.4.1.1.201.3", // inventory, move
    "1.2.840.10008.5.1.4.1.1.201.4", // inventory, get
    "1.2.840.10008.5.1.4.20.1",      // defined procedure protocol, find
    "1.2.840.10008.5.1.4.20.2",      // defined procedure protocol, move
    "1.2.840.10008.5.1.4.20.3",      // defined procedure protocol, get
    "1.2.840.10008.5.1.4.31",        // modality worklist
    "1.2.840.10008.5.1.4.34.6.5",    // unified procedure step, query
    "1.2.840.10008.5.1.4.37.1",      // relevant patient information, general
    "1.2.840.10008.5.1.4.37.2",      // relevant patient information, breast imaging
    "1.2.840.10008.5.1.4.37.3",      // relevant patient information, cardiac
    "1.2.840.10008.5.1.4.38.2",      // hanging protocol, find
    "1.2.840.10008.5.1.4.38.3",      // hanging protocol, move
    "1.2.840.10008.5.1.4.38.4",      // hanging protocol, get
    "1.2.840.10008.5.1.4.39.2",      // colour palette, find
    "1.2.840.10008.5.1.4.39.3",      // colour palette, move
    "1.2.840.10008.5.1.4.39.4",      // colour palette, get
    "1.2.840.10008.5.1.4.41",        // product characteristics query
    "1.2.840.10008.5.1.4.42",        // substance approval query
    "1.2.840.10008.5.1.4.43.2",      // generic implant template, find
    "1.2.840.10008.5.1.4.43.3",      // generic implant template, move
    "1.2.840.10008.5.1.4.43.4",      // generic implant template, get
    "1.2.840.10008.5.1.4.44.2",      // implant assembly template, find
    "1.2.840.10008.5.1.4.44.3",      // implant assembly template, move
    "1.2.840.10008.5.1.4.44.4",      // implant assembly template, get
    "1.2.840.10008.5.1.4.45.2",      // implant template group, find
    "1.2.840.10008.5.1.4.45.3",      // implant template group, move
    "1.2.840.10008.5.1.4.45.4",      // implant template group, get
];

/// What begins like this and is not in [`READ`] is a kind of stored object: its only service is C-STORE (PS3.4 annex B).
const STORAGE: &str = "1.2.840.10008.5.1.4.1.1.";

/// Services in the midst of the kinds of stored objects: inventory creation and repository query.
const INVENTORY_SERVICES: &[&str] = &["1.2.840.10008.5.1.4.1.1.201.5", "1.2.840.10008.5.1.4.1.1.201.6"];

/// Abstract syntaxes by which a machine that treats is set up (PS3.4 annex DD).
const TREAT: &[&str] = &[
    "1.2.840.10008.5.1.4.34.8", // RT conventional machine verification
    "1.2.840.10008.5.1.4.34.9", // RT ion machine verification
];

/// The operation a presentation context with this abstract syntax asks for.
///
/// What only asks and fetches is `read`; the two services that verify a treatment machine's set-up are `treat`; all else
/// is `store`, also what this version does not know (private storage classes are common): `store` is at least as strict
/// as `read` in every row of the policy and needs a role.
#[must_use]
pub fn operation(abstract_syntax: &str) -> Operation {
    if abstract_syntax.starts_with(QUERY_RETRIEVE) || READ.binary_search(&abstract_syntax).is_ok() {
        Operation::Read
    } else if TREAT.contains(&abstract_syntax) {
        Operation::Treat
    } else {
        Operation::Store
    }
}

/// Whether a standard SOP class is only stored: nothing can be asked or fetched by it.
#[must_use]
pub fn is_only_stored(class: &str) -> bool {
    class.starts_with(STORAGE) && operation(class) == Operation::Store && !INVENTORY_SERVICES.contains(&class)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted() {
        assert!(READ.is_sorted());
    }

    /// Shows REQ-GUARD-04.
    #[test]
    fn operations_follow_from_abstract_syntaxes() {
        let cases = [
            ("1.2.840.10008.1.1", Operation::Read),
            ("1.2.840.10008.5.1.4.1.1.2", Operation::Store),
            ("1.2.840.10008.5.1.4.1.1.200.2", Operation::Store),
            ("1.2.840.10008.1.20.1", Operation::Store),
            ("1.2.840.10008.5.1.4.1.2.2.1", Operation::Read),
            ("1.2.840.10008.5.1.4.1.2.1.3", Operation::Read),
            ("1.2.840.10008.5.1.4.31", Operation::Read),
            ("1.2.840.10008.3.1.2.3.3", Operation::Store),
            ("1.2.840.10008.5.1.4.34.8", Operation::Treat),
            ("1.3.12.2.1107.5.9.1", Operation::Store),
            ("", Operation::Store),
        ];
        for (uid, expected) in cases {
            assert_eq!(operation(uid), expected, "{uid}");
        }
    }
}
