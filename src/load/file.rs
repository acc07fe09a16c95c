//! A file of the tenants directory, as it was read.

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// 0 where there is no disk.
    pub inode: u64,
    pub content: Content,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    Bytes(Vec<u8>),
    /// It is there and cannot be read; completes "the file …".
    Unreadable(String),
}
