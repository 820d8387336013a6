//! What of the progress is worth a line: what changes, not what is found as it shall be.

use mesh_api::message::{Action, ImageStage, Progress};
use std::collections::HashSet;

/// Most stand-ins that are kept until it is known whether anything changes.
const HELD_MAX: usize = 1000;

/// Lets through what a reader wants to see. An `up` that has nothing to do says nothing: containers that
/// run already, and images that were stored already, are left out. A stand-in is told with the first
/// change, so that it is never silent.
#[derive(Debug, Default)]
pub(super) struct Sieve {
    begun: HashSet<String>,
    held: Vec<Progress>,
    changing: bool,
}

impl Sieve {
    /// What is to be shown now that this came, in order.
    pub(super) fn pass(&mut self, progress: Progress) -> Vec<Progress> {
        match &progress {
            Progress::Note { .. } | Progress::Said { .. } => vec![progress],
            Progress::Image { reference, stage: ImageStage::Ready { source }, .. } => {
                if self.begun.contains(reference) || (self.changing && is_stand_in(source)) {
                    return vec![progress];
                }
                if is_stand_in(source) && self.held.len() < HELD_MAX {
                    self.held.push(progress);
                }
                Vec::new()
            }
            Progress::Image { reference, .. } => {
                self.begun.insert(reference.clone());
                vec![progress]
            }
            Progress::Object { name, action, .. } => {
                let found = matches!(action, Action::Running | Action::Healthy | Action::Completed);
                if found && !self.begun.contains(name) {
                    return Vec::new();
                }
                self.begun.insert(name.clone());
                self.changing = true;
                let mut shown = std::mem::take(&mut self.held);
                shown.push(progress);
                shown
            }
        }
    }
}

/// Whether something else serves than what was asked for (`debian 15.18 for 16.4`).
fn is_stand_in(source: &str) -> bool {
    source.contains(" for ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use mesh_api::message::ObjectKind;

    fn image(reference: &str, source: Option<&str>) -> Progress {
        let stage = match source {
            Some(source) => ImageStage::Ready { source: source.to_owned() },
            None => ImageStage::Unpacking { done: 0, total: 0 },
        };
        Progress::Image { reference: reference.to_owned(), services: Vec::new(), stage }
    }

    fn container(name: &str, action: Action) -> Progress {
        let (name, service) = (name.to_owned(), None);
        Progress::Object { object: ObjectKind::Container, name, service, action, detail: None, elapsed_ms: 0 }
    }

    fn check(given: &[Progress], shown: &[usize]) {
        let mut sieve = Sieve::default();
        let passed: Vec<Progress> = given.iter().flat_map(|progress| sieve.pass(progress.clone())).collect();
        let want: Vec<Progress> = shown.iter().map(|index| given[*index].clone()).collect();
        assert_eq!(passed, want);
    }

    #[test]
    fn nothing_to_do_is_silent() {
        let stored = image("redis:7", Some("debian 7.0"));
        let stand_in = image("postgres:16", Some("debian 15 for 16"));
        let (running, healthy) = (container("a", Action::Running), container("a", Action::Healthy));
        check(&[stored, stand_in, running, healthy], &[]);
    }

    #[test]
    fn changes_are_told_with_their_stand_ins() {
        let stand_in = image("postgres:16", Some("debian 15 for 16"));
        let stored = image("redis:7", Some("debian 7.0"));
        let (starting, healthy) = (container("a", Action::Starting), container("a", Action::Healthy));
        let other = container("b", Action::Running);
        check(&[stand_in, stored, other, starting, healthy], &[0, 3, 4]);
    }

    #[test]
    fn what_is_fetched_is_told_to_its_end() {
        check(&[image("redis:7", None), image("redis:7", Some("debian 7.0"))], &[0, 1]);
    }
}
