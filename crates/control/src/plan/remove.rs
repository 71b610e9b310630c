//! Services that leave, and the end of a group.

use sterna_model::ServiceName;

use super::{End, Next, Step};

/// The next step for a service that leaves. `removed`: the record says so; `released`: its nodes were let go.
pub(crate) fn next(service: &ServiceName, promote: bool, removed: bool, released: bool) -> Next {
    if !removed {
        return Next::Do(Step::Remove(service.clone()));
    }
    if !released {
        return Next::Do(Step::Release {
            service: service.clone(),
            promote,
        });
    }
    Next::Done(End::Removed {
        service: service.clone(),
        promoted: promote,
    })
}

/// The next step for a group that is deleted, or whose creation is taken back; `end` says which.
pub(crate) fn next_of_group(released: bool, deleted: bool, end: End) -> Next {
    if !released {
        return Next::Do(Step::ReleaseAll);
    }
    if !deleted {
        return Next::Do(Step::Delete);
    }
    Next::Done(end)
}
