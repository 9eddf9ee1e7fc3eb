//! The library as C has it: its header against its code, its example compiled and run, and what it does with callers that
//! break the rules.

mod calls;
mod example;
mod header;
mod keys;
mod library;
mod owner;
#[path = "../../../device/tests/device/platform.rs"]
#[expect(dead_code, reason = "the tests of the SDK use the platform too")]
mod platform;
#[path = "../../../device/tests/device/site.rs"]
#[expect(dead_code, reason = "the tests of the SDK ask more of a site")]
mod site;
mod site_header;
#[path = "../../../device/tests/device/vouchers.rs"]
mod vouchers;
