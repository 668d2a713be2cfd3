//! Signed messages: TSIG (RFC 8945).
