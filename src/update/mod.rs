//! Updates (RFC 2136): a message and a zone in, what becomes of its RRsets out.
