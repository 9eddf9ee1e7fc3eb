//! Routing tables: what is accepted is what we would have written, byte for byte.
#![no_main]

use libfuzzer_sys::fuzz_target;
use medlock_node::routes::RoutingTable;

fuzz_target!(|data: &[u8]| {
    if let Ok(table) = RoutingTable::decode(data) {
        assert_eq!(table.encode().expect("a table that was read can be written"), data);
    }
});
