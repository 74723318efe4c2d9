//! A stand-in for the tenant.
