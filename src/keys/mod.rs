//! The keys clients sign with, and what each may do.
