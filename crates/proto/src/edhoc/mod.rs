//! The handshake: EDHOC (RFC 9528).
