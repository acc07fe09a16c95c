//! The sandbox: a stand-in FusionPBX inside the binary, for `tenantd sandbox` and for the tests.

pub mod standin;
