//! What can go wrong in this crate.

/// What went wrong, and what to do about it. A refusal is not an error.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A setting cannot be used.
    #[error("clinical.{setting} {what}")]
    Setting {
        /// Its key.
        setting: &'static str,
        /// What is wrong, and what to say instead.
        what: String,
    },
    /// What may be called cannot be read.
    #[error(transparent)]
    Outbound(#[from] medlock_node::Error),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] medlock_store::Error),
    /// The system gives no thread.
    #[error("the thread of the audit does not start: {0}")]
    Thread(std::io::Error),
}
