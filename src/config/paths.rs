//! Paths in the configuration are relative to its file.

use std::path::{Path, PathBuf};

use crate::yaml::{Field, Reader};

/// A path, made absolute from the configuration's directory.
pub(super) fn file_path(reader: &mut Reader, field: &Field<'_>, base: &Path) -> Option<PathBuf> {
    let text = reader.text(field, "a path")?;
    reader.visible(text, &field.path, &[]).then(|| base.join(text.text))
}
