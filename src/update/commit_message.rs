//! Messages of the commits that updates become.
