//! DNS messages read section by section, names and data written out (RFC 1035 §4).
