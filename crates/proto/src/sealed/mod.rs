//! Sealed commands and receipts. docs/sealed-command.md is the wire format.
