//! Protected messages: OSCORE (RFC 8613).
