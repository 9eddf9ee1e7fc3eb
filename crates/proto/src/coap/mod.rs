//! CoAP: messages, reliability, blockwise and observe (RFC 7252, 7641, 7959).
