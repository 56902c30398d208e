//! The index's notes about itself.

use super::*;

#[test]
fn a_deletion_during_a_compaction_is_left_for_the_next_one() {
    let dir = tempfile::tempdir().unwrap();
    let index = Index::open(dir.path(), 1 << 20).unwrap();
    index.note_deletion(Timestamp(1)).unwrap();
    index.compaction_begins().unwrap();
    index.note_deletion(Timestamp(5)).unwrap();
    assert_eq!(index.deleted_at().unwrap(), Some(Timestamp(1)), "the compaction may end too early");
    index.deletions_compacted().unwrap();
    assert_eq!(index.deleted_at().unwrap(), Some(Timestamp(5)));
}

#[test]
fn an_index_without_its_mark_is_found_out() {
    let dir = tempfile::tempdir().unwrap();
    let index = Index::open(dir.path(), 1 << 20).unwrap();
    assert!(index.require_applied(1).is_err());
    index.flush(7).unwrap();
    index.require_applied(7).unwrap();
    assert!(index.require_applied(8).is_err());
}
