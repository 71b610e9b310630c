//! The model's types on top of the seam.

use std::sync::Arc;

use crate::seam::Store;

/// Typed access to the store. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Catalogue {
    store: Arc<dyn Store>,
}
