//! Random updates of random zones, against the RFC's text followed word by word.
