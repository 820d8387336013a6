//! Two checkouts of one name: a project belongs to the directory it was brought up from.
//!
//! Docker Compose takes the containers of the other over. Here that is refused as long as they are there: they
//! may be somebody's running work, and their volumes would go to other files.

use crate::{desk::Desk, turn::Turn, words::refusal};
use mesh_api::message::{ApiError, ErrorKind};
use mesh_model::project::Project;
use mesh_store::checkout;

impl Desk {
    /// Refuses a project from another directory than that of the containers that are there, unless it is to take
    /// them over.
    pub(crate) fn check_checkout(
        &self,
        project: &Project,
        take_over: bool,
        turn: &Turn,
    ) -> Result<(), ApiError> {
        let there = !take_over && !self.owner.now().containers.is_empty();
        let known = turn.record().map(|record| &record.project).filter(|_| there);
        match known.filter(|known| !checkout::is_same(known, project)) {
            None => Ok(()),
            Some(known) => {
                let (message, hint) = checkout::refusal(known, project);
                Err(ApiError { hint: Some(hint), ..refusal(ErrorKind::Request, message) })
            }
        }
    }
}
